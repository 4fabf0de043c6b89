"""Monitoring: rules that alert people in time, what Prometheus scrapes, and dashboards."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from runbooks.engine.tasks import query
from runbooks.errors import DiskError, InventoryError

if TYPE_CHECKING:
    from runbooks.engine.session import Session

MOST = 1000
FASTER = "divide every duration by so many: for rehearsals, in which nobody can wait for an hour"


@query(
    help={
        "to": "directory to write to; created when missing",
        "faster": FASTER,
    }
)
def render(session: Session, to: str, faster: int = 1) -> None:
    """Write rules, targets, dashboards and the hosts' files to a directory.

    For the Prometheus operator, or for an ordinary Prometheus: monitoring.form in hosts.yaml. Connects to no host.
    """
    from runbooks.monitor.files import everything  # noqa: PLC0415 - start-up time
    from runbooks.monitor.rules.scope import Scope  # noqa: PLC0415

    _sound(faster)
    for name, text in everything(Scope(session.site, faster)).items():
        path = Path(to).expanduser() / name
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
            path.chmod(0o755 if text.startswith("#!") else 0o644)
        except OSError as error:
            raise DiskError(f"{path}: cannot be written: {error.strerror or error}", hint="another --to") from None
        print(path)


@query(help={"faster": f"as for monitor.render: {FASTER}"})
def check(session: Session, faster: int = 1) -> None:
    """Show whether monitoring works: targets, rules, series, alerts.

    Asks the Prometheus of hosts.yaml (monitoring.prometheus). A rule whose series do not exist never fires: every one is looked at.
    Also shows what fires now. Exit status 1 when something is missing or a critical alert fires.
    """
    from runbooks.monitor.check import check  # noqa: PLC0415 - start-up time

    _sound(faster)
    check(session, faster)


def _sound(faster: int) -> None:
    if not 1 <= faster <= MOST:
        raise InventoryError(f"--faster {faster} is not a whole number from 1 to {MOST}")
