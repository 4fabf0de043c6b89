"""What a run that has ended in the middle leaves behind: hosts out of the load balancers, and nodes that it has cordoned."""

from __future__ import annotations

from runbooks.commands import lb
from runbooks.engine.steps import Run
from runbooks.errors import RunbookError
from runbooks.lb import traffic
from runbooks.text import listed
from runbooks.view.cluster import Survey


def add_notes(run: Run, error: RunbookError) -> None:
    """Add to an error, as it is shown to the operator, what is left behind. Nothing in a plan."""
    if run.plan:
        return
    for note in notes(run):
        error.add_note(note)


def notes(run: Run) -> list[str]:
    """Return what is left, one text each, as the load balancers and the Nodes say it now; also what could not be read."""
    run.look_anew()
    found = [
        f"{host} is out of the load balancers ({listed(where)}): the same command lets it in again, or inv upgrade.rollback --host {host}"
        for host, where in traffic.taken_out(run).items()
    ]
    balancers = run.read_each(dict.fromkeys(run.site.load_balancers, lb.backends()))
    silent = [balancer for balancer, each in balancers.items() if isinstance(each, RunbookError)]
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
