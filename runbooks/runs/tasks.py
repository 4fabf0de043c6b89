"""Runs: the history of every command that changed something on this machine's sites."""

from __future__ import annotations

from typing import TYPE_CHECKING

from runbooks.engine.tasks import query

if TYPE_CHECKING:
    from runbooks.engine.session import Session


@query(
    name="list",
    help={"last": "number of runs to list; 0: all that are kept", "command": "only runs of this command: lb.setup"},
)
def list_(session: Session, last: int = 20, command: str = "") -> None:
    """List the latest runs: who, when, how they ended.

    Newest first. "running" is at work now; "not ended" was killed or lost its power: run the command again. Connects to no host.
    """
    from runbooks.runs.show import show_list  # noqa: PLC0415 - start-up time

    show_list(session, last, command)


@query(
    positional=["id_"],
    help={
        "id_": "the run, or a part of its id that no other has; last: the newest",
        "html": "write it as a page with a timeline, beside the report",
        "to": "file to write the page into",
    },
)
def show(session: Session, id_: str, html: bool = False, to: str = "") -> None:
    """Show what a run did on which host, and when.

    Every step with its time, and below it every command, every diff (secrets masked) and every note. With --html one file that
    needs nothing else: it can be opened anywhere, attached to a ticket, or printed. Connects to no host.
    """
    from runbooks.runs.show import show_run  # noqa: PLC0415 - start-up time

    show_run(session, id_, as_html=html, to=to)


@query(
    help={
        "prometheus": "in Prometheus' text format",
        "to": "a .prom file in node_exporter's textfile directory, replaced atomically; otherwise they are printed",
    }
)
def export(session: Session, prometheus: bool = False, to: str = "") -> None:
    """Export metrics of the runs, for node_exporter.

    Of each command: when it last ran and last succeeded, how long that took, how it ended. Connects to no host.
    """
    from runbooks.runs.show import export as export_runs  # noqa: PLC0415 - start-up time

    export_runs(session, prometheus=prometheus, to=to)
