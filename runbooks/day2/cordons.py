"""`inv cluster.cordon`, `cluster.drain` and `cluster.uncordon`: single steps of what upgrades and reboots do with a node.

https://kubernetes.io/docs/tasks/administer-cluster/safely-drain-node/

A cordon of these commands stays until somebody takes it away: no upgrade, and no reboot, does.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final

from runbooks.commands import drain as commands
from runbooks.commands.kubectl import kubectl
from runbooks.commands.node_objects import Node
from runbooks.engine.by_hand import by_hand
from runbooks.engine.steps import Procedure, Run, Step, Unmet
from runbooks.errors import PrecheckError
from runbooks.inventory.model import Host, Site
from runbooks.rules.finding import at_least, told
from runbooks.text import listed
from runbooks.upgrade import node, nodes
from runbooks.upgrade.context import Upgrade, object_of
from runbooks.upgrade.nodes import Work
from runbooks.upgrade.rules.choices import Choices
from runbooks.view.cluster import Survey

if TYPE_CHECKING:
    from runbooks.engine.session import Session

WORK: Final = Work("drain", "no node is drained now", "--host")


def known(survey: Survey, run: Run, host: Host) -> tuple[Host, Node]:
    """Return the host whose API server was asked, and the Node of ``host``. Raises NotServing, or PrecheckError when there is no such Node."""
    api_host = survey.serving(run)
    found = object_of(host, survey.nodes(run, api_host))
    if not found:
        raise PrecheckError(f"{host} is no node of the cluster", hint="inv cluster.status")
    return api_host, found


def cordon(survey: Survey, host: Host) -> Step:
    """Keep new Pods away from ``host``; a cordon that a run of this tool has set becomes the operator's."""

    def done(run: Run) -> bool | Unmet:
        _, own = known(survey, run, host)
        return Unmet.of(
            "" if own.cordoned and not own.marked else "it takes new Pods" if not own.cordoned else "the cordon is a run's"
        )

    def do(run: Run) -> None:
        api_host, own = known(survey, run, host)
        if own.marked:
            run.change(api_host, commands.unmark(api_host, own.name))
        if not own.cordoned:
            run.change(api_host, kubectl(api_host, "cordon", own.name))

    return Step("keep new Pods away", host, done=done, do=do, within=30, by_hand=by_hand("day2", "cordon", host=host))


def uncordon(survey: Survey, host: Host) -> Step:
    """Let ``host`` take Pods again. Never while a run of this tool has it in work: that one takes its cordon away itself."""

    def check(run: Run) -> None:
        _, own = known(survey, run, host)
        if own.cordoned and own.marked:
            raise PrecheckError(
                f"{host}: a run of this tool has cordoned it (an upgrade or a reboot), and has not finished",
                hint=f"the same command again finishes it (inv runs.list names it); if it is not wanted any more: kubectl uncordon {own.name}",
            )

    def done(run: Run) -> bool | Unmet:
        own = known(survey, run, host)[1]
        return Unmet.of("it is cordoned" if own.cordoned else "a mark of a run is left on it" if own.marked else "")

    def do(run: Run) -> None:
        api_host, own = known(survey, run, host)
        run.change(api_host, kubectl(api_host, "uncordon", own.name) if own.cordoned else commands.unmark(api_host, own.name))

    text = by_hand("day2", "uncordon", host=host)
    return Step("let it take Pods again", host, check=check, done=done, do=do, within=30, by_hand=text)


def each(key: str, title: str, hosts: Sequence[Host], steps: Callable[[Host], Sequence[Step]]) -> Procedure:
    """Return the procedure of one of these commands: the ``steps`` of each host."""
    names = [host.name for host in hosts]
    items = [step for host in hosts for step in steps(host)]
    return Procedure(key, f"{title} {listed(names)}", items, inputs={"hosts": names}, flags=f"--host {','.join(names)}")


def cordoned(hosts: Sequence[Host]) -> Procedure:
    """Return the procedure of `inv cluster.cordon`."""
    survey = Survey()
    return each("cluster.cordon", "Cordon", hosts, lambda host: [cordon(survey, host)])


def uncordoned(hosts: Sequence[Host]) -> Procedure:
    """Return the procedure of `inv cluster.uncordon`."""
    survey = Survey()
    return each("cluster.uncordon", "Uncordon", hosts, lambda host: [uncordon(survey, host)])


def drained(site: Site, hosts: Sequence[Host], choices: Choices) -> Procedure:
    """Return the procedure of `inv cluster.drain`: each node is cordoned for good, then drained, one after the other."""
    one = Upgrade(site, choices.to, choices)

    def steps(host: Host) -> list[Step]:
        return [cordon(one.survey, host), node.drain(one, host, lambda _: False, newer=False)]

    return each("cluster.drain", "Drain", hosts, steps)


def drain(session: Session, hosts: Sequence[Host], choices: Choices) -> None:
    """Drain nodes one after the other, after simulating that. Raises PrecheckError when a drain would not end."""
    run, site = session.run, session.site
    one = Upgrade(site, choices.to, choices)
    for host in hosts:
        known(one.survey, run, host)
    found = nodes.stopped(one, WORK.objects(run, one), hosts, stay=True)
    for each_ in at_least("note", found):
        if each_.severity != "fail":
            run.listener.say(told(each_))
    WORK.refuse(found)
    session.carry_out(drained(site, hosts, choices))
