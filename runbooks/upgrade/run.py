"""`inv upgrade.run`: forecast, backup, every host in its order, measured from the outside."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from runbooks.commands import upgrade_kubeadm
from runbooks.commands.upgrade_kubeadm import Progress
from runbooks.engine.steps import Run
from runbooks.errors import DegradedError, PrecheckError, RunbookError
from runbooks.inventory.model import Host
from runbooks.rules.finding import told
from runbooks.rules.upgrade_seen import Version, text
from runbooks.rules.upgrade_standing import standing
from runbooks.text import indented, listed
from runbooks.upgrade import clients, fresh_set, interrupted, left, look, packages
from runbooks.upgrade.context import Upgrade
from runbooks.upgrade.forecast import Forecast, forecast
from runbooks.upgrade.hosts_yaml import change, set_version
from runbooks.upgrade.node import kubelet_arrived
from runbooks.upgrade.procedure import Order, procedure
from runbooks.upgrade.rules import path, status
from runbooks.upgrade.rules.choices import Choices
from runbooks.upgrade.rules.packages import newest_between
from runbooks.upgrade.rules.remaining import in_order

if TYPE_CHECKING:
    from runbooks.engine.session import Session


def upgrade(session: Session, choices: Choices) -> None:
    """Upgrade to ``choices.to``: one hop, or several with ``choices.several``, each a whole upgrade with its own gates.

    Raises PrecheckError with what the plan refuses, DegradedError when workers were left out or the time of --until is over.
    """
    way = hops(Upgrade(session.site, choices.to, choices), session)
    for number, to in enumerate(way, start=1):
        if len(way) > 1:
            session.run.listener.say(f"hop {number} of {len(way)}: to {text(to)}")
        one_hop(session, Upgrade(session.site, to, choices))
        if number < len(way) and (session.options.plan or choices.only or choices.pause_after):
            session.run.listener.say(f"then, once every node is at {text(to)}: to {listed(map(text, way[number:]))}")
            return


def hops(one: Upgrade, session: Session) -> tuple[Version, ...]:
    """Return the versions to go through, the target last. Raises PrecheckError when a patch release in between is not known."""
    if not one.choices.several:
        return (one.to,)
    said = look.look(session.run)
    state = standing(status.seen(session.site, said.hosts, said.cluster))
    now = state.since or state.to
    offered = packages.between(session.run, now, one.to, said.hosts) if now else {}
    way = path.hops(now, one.to, newest_between(offered)) if now else ()
    if unknown := [str(hop) for hop in way if not hop.to]:
        raise PrecheckError(
            f"the repositories of the hosts do not say which version {listed(unknown)} is",
            hint=f"one hop after the other: inv upgrade.run --to VERSION, with {listed(map(str, way))}",
        )
    unfinished = (state.to,) if state.state == "nodes" and state.to and state.to < one.to else ()
    return (*unfinished, *(hop.to for hop in way if hop.to)) or (one.to,)


def one_hop(session: Session, one: Upgrade) -> None:
    """Carry out one hop. An error also says what is left behind in the middle."""
    run = session.run
    progress = interrupted.look(run, one.version)
    begun = interrupted.begun(progress)
    try:
        progress = interrupted.finish_kubeadm(run, progress)
        interrupted.settle(run, progress)
        one.begun |= interrupted.in_work(run, progress)
        _one_hop(session, one, progress)
    except RunbookError as error:
        if run.changed or begun:
            left.add_notes(run, error, interrupted.ours(progress) | one.begun)
        raise
    except KeyboardInterrupt:
        if run.changed or begun:
            run.listener.say(left.MAY_BE)
        raise


def _one_hop(session: Session, one: Upgrade, progress: Mapping[Host, Progress]) -> None:
    choices = replace(one.choices, to=one.to, several=False)
    found = forecast(session, one.to, choices)
    if found.refusals and interrupted.may_pass(session.run, found.refusals):
        interrupted.wait(session.run, progress)
        found = forecast(session, one.to, choices)
    refuse(one, found)
    if fresh_set.require(session, one.choices, begun=interrupted.begun(progress)):
        found = forecast(session, one.to, choices)  # etcd's members are compared with those in the new set
        refuse(one, found)
    hosts = order(one, session.run, found, progress)
    steps = procedure(one, hosts, [set_version(session.site_file, one.version)])
    with clients.watched(session):
        session.carry_out(steps, resume=False)  # it looks at what the nodes run; with --resume as without
    if by_hand := change(session.site_file, one.version).by_hand:
        session.run.listener.say(f"hosts.yaml: {by_hand}")
    report_failed(one)
    if choices.pause_after and choices.pause_after not in {*hosts.done, *one.failed} and not session.run.plan:
        session.run.listener.say(
            f"ended after {choices.pause_after}, as --pause-after says; the same command goes on with the rest"
        )


def refuse(one: Upgrade, found: Forecast) -> None:
    """Raise PrecheckError with every finding that forbids this upgrade. Hosts that an interrupted one has left in the middle are no reason."""
    if wrong := found.refusals:
        raise PrecheckError(
            f"no upgrade to {one.version} now:{indented(told(each) for each in wrong)}",
            hint=next((each.fix for each in wrong if each.fix), f"inv upgrade.plan --to {one.version}"),
        )


def order(one: Upgrade, run: Run, found: Forecast, progress: Mapping[Host, Progress]) -> Order:
    """Return the hosts in their order: what an earlier run has begun or finished first, etcd's leader last, one worker alone.

    A host on which `kubeadm upgrade apply` has not ended well gets it again, also when kubeadm-config has the target already: kubeadm
    writes that before the rest. What is in the middle comes before what is whole: a node that is cordoned, a member of etcd that may be away.
    """
    masters, workers = in_order(run.site.nodes, found.versions, one.to, found.leader)
    unfinished = [host for host in masters if host in progress and progress[host].attempt == f"apply v{one.version}"]
    middle = [host for host in masters if host in progress and progress[host].attempt]
    drained = [host for host in run.site.nodes if host.name in found.in_work]
    masters = tuple(dict.fromkeys((*unfinished, *middle, *(host for host in drained if host in masters), *masters)))
    workers = tuple(dict.fromkeys((*(host for host in drained if host in workers), *workers)))
    chosen = [host for host in masters if one.choices.takes(host)]
    first = None if found.left.applied and not unfinished else next(iter(chosen), None)
    done = frozenset(host for host in run.site.nodes if _finished(one, run, host))
    return Order(masters, workers, first, done)


def _finished(one: Upgrade, run: Run, host: Host) -> bool:
    """Return whether nothing is left to do on a node: its kubelet has arrived, kubeadm is done, and it is not cordoned by us."""
    try:
        progress = run.read(host, upgrade_kubeadm.look())
        known = one.node_object(run, host)
        arrived = bool(kubelet_arrived(one, run, host))
    except RunbookError:
        return False
    return arrived and not (progress.attempt or progress.running) and bool(known and not known.marked)


def report_failed(one: Upgrade) -> None:
    """Raise DegradedError when workers were left out."""
    if one.failed:
        raise DegradedError(
            f"{listed(one.failed)} is not upgraded:{indented(one.failed.values())}",
            hint=f"repair that, then inv upgrade.run --to {one.version}: hosts that are done are not touched again",
        )
