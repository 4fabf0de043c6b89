"""What a run that has ended in the middle leaves behind: hosts out of the load balancers, and nodes that it has cordoned."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from runbooks.commands import haproxy
from runbooks.commands.haproxy import Backend
from runbooks.engine.steps import Run
from runbooks.errors import RunbookError
from runbooks.inventory.model import Host
from runbooks.lb import traffic
from runbooks.text import listed
from runbooks.view.cluster import Survey

MAY_BE = "in the middle: hosts may be out of the load balancers (inv lb.status), and nodes cordoned (inv cluster.status); the same command goes on"


def add_notes(run: Run, error: RunbookError, ours: Collection[Host]) -> None:
    """Add to an error, as it is shown to the operator, what is left behind. Nothing in a plan. ``ours``: hosts that an upgrade has begun with."""
    if run.plan:
        return
    for note in notes(run, ours):
        error.add_note(note)


def taken_out(run: Run) -> dict[Host, list[Host]]:
    """Return the control plane hosts that are in maintenance, each with the LBs that say so; those that do not answer say nothing."""
    return _out(run, _tables(run))


def notes(run: Run, ours: Collection[Host]) -> list[str]:
    """Return what is left, one text each, as the load balancers and the Nodes say it now; also what could not be read."""
    run.look_anew()
    tables = _tables(run)
    back = ": the same command lets it in again, or inv upgrade.rollback --host {0}"
    found = [
        f"{host} is out of the load balancers ({listed(where)}){back.format(host) if host in ours else ', by somebody else'}"
        for host, where in _out(run, tables).items()
    ]
    silent = [balancer for balancer, each in tables.items() if isinstance(each, RunbookError)]
    found += [f"{listed(silent)}: not known which hosts are taken out there (no answer)"] if silent else []
    survey = Survey()
    try:
        nodes = survey.nodes(run, survey.serving(run))
    except RunbookError as error:
        return [*found, f"whether a node is still cordoned is not known: {str(error).partition(chr(10))[0]}"]
    found += [
        f"{name} is still cordoned by this upgrade and takes no Pods: the same command lets it take them again, or kubectl uncordon {name}"
        for name, node in nodes.items()
        if node.marked and node.cordoned
    ]
    return found


def _tables(run: Run) -> dict[Host, tuple[Backend, ...] | RunbookError | None]:
    return run.read_each(dict.fromkeys(run.site.load_balancers, haproxy.backends()))


def _out(run: Run, tables: Mapping[Host, tuple[Backend, ...] | RunbookError | None]) -> dict[Host, list[Host]]:
    out: dict[Host, list[Host]] = {}
    for balancer, table in tables.items():
        if isinstance(table, RunbookError):
            continue
        names = {each.server for each in table or () if each.proxy == traffic.BACKEND and each.out and not each.maintenance}
        for host in run.site.control_plane:
            if host.name in names:
                out.setdefault(host, []).append(balancer)
    return out
