"""`inv cluster.reboot`: hosts are rebooted one after the other, each out of service meanwhile and proved before the next one.

https://kubernetes.io/docs/tasks/administer-cluster/safely-drain-node/

Nodes are drained first. Control plane hosts go one at a time, out of the load balancers, etcd's leader last. Of the load balancers the standby
goes first; the VIP moves to it before the other one is rebooted, and back in the end.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from runbooks import gates
from runbooks.commands import reboot as commands
from runbooks.commands.reboot import Boot
from runbooks.day2.reboot_steps import Reboots, back_in_service, begin, end, out_of_service, reboot
from runbooks.day2.rules import reboots as rules
from runbooks.engine.steps import Procedure, Run, Step, Together
from runbooks.errors import HostErrors, InventoryError, PrecheckError, RunbookError
from runbooks.inventory.model import Host, Site
from runbooks.lb import traffic
from runbooks.lb.failover import can_hold, comes_back, empties, observer, take_over
from runbooks.rules import lb as lb_rules
from runbooks.rules.kubeadm import parse
from runbooks.text import listed
from runbooks.upgrade import clients, node, nodes, pod_proof
from runbooks.upgrade.context import Upgrade
from runbooks.upgrade.forecast import leading
from runbooks.upgrade.lb_steps import Pair, all_arrived, pair_is_whole
from runbooks.upgrade.nodes import Work
from runbooks.upgrade.procedure import in_groups
from runbooks.upgrade.rules import order, services
from runbooks.upgrade.rules.choices import Choices
from runbooks.upgrade.rules.services import Moves

if TYPE_CHECKING:
    from runbooks.engine.session import Session

WORK: Final = Work("reboot", "no host is rebooted now", "--host")
BOOT_S: Final = 900  # a server with much memory needs several minutes before its kernel starts


@dataclass(frozen=True, slots=True)
class Wanted:
    """The hosts that the operator names, and whether only those that need a reboot are meant."""

    hosts: tuple[Host, ...]
    if_needed: bool


def wanted(site: Site, host: str, *, every: bool, if_needed: bool) -> Wanted:
    """Return what the flags mean. Raises InventoryError for hosts that are not in the site, and when none are named."""
    if bool(host) == every:
        raise InventoryError(
            "which hosts?" if not every else "--host and --all exclude each other", hint="--host master2,worker1; or --all"
        )
    return Wanted(site.named(host), if_needed)


def reboot_hosts(session: Session, asked: Wanted, choices: Choices, within: int) -> None:
    """Reboot the hosts. Raises PrecheckError when the cluster or the load balancers are not well, or a drain would not end."""
    run, site = session.run, session.site
    boots = _boots(run, asked.hosts)
    noted = [host for host, each in boots.items() if each.note]
    WORK.refuse(WORK.left_out(asked.hosts, noted))
    due = _due(run, asked, boots, noted)
    if not due:
        run.listener.say("no host needs a reboot")
        return
    pair = Pair(site, {host: {} for host in site.load_balancers})
    way = _moves(run, pair, boots, due)
    workload = [host for host in due if host.is_node]
    one, ordered = _nodes(run, choices, workload, boots) if workload else (None, workload)
    plan = {host.name: boots[host].boot for host in due} | _plan(boots)
    turns = Turns(ordered, way, frozenset(_begun(boots)), goes_on=bool(noted), plan=plan)
    watching = observer(run) if way and (way.away or way.back or site.load_balancer.vips) else None
    with clients.watched(session) if one else nullcontext():
        session.carry_out(procedure(Reboots(one, pair, within), turns, watching), resume=False)


def give_up(session: Session) -> None:
    """Take away what an interrupted run has left: hosts are in service again as they are, and nothing is rebooted."""
    run, site = session.run, session.site
    said = run.read_each({host: commands.look() for host in site.hosts})
    noted = [host for host, each in said.items() if isinstance(each, Boot) and each.note]
    if not noted:
        run.listener.say("no run was interrupted: there is nothing to give up")
        return
    one = Upgrade(site, parse(site.kubernetes.version), Choices(to=parse(site.kubernetes.version)))
    items: list[Step | Together] = []
    for host in noted:
        items += [traffic.let_in(host)] if host.is_control_plane else []
        items += [node.uncordon(one, host)] if host.is_node else []
        items.append(end(host))
    names = [host.name for host in noted]
    session.carry_out(
        Procedure("cluster.reboot", f"Give up the reboot of {listed(names)}", items, inputs={"forget": names}), resume=False
    )


def _boots(run: Run, asked: Collection[Host]) -> dict[Host, Boot]:
    """Return the present boot of every host that answers. Raises the error of one that was ``asked`` for and does not."""
    said = run.read_each({host: commands.look() for host in run.site.hosts})
    silent = {str(host): each for host, each in said.items() if host in asked and isinstance(each, RunbookError)}
    if silent:
        raise next(iter(silent.values())) if len(silent) == 1 else HostErrors(silent, len(asked))
    return {host: each for host, each in said.items() if isinstance(each, Boot)}


def _begun(boots: Mapping[Host, Boot]) -> Iterator[Host]:
    """Yield the hosts that an interrupted run has rebooted, and has not finished."""
    return (host for host, each in boots.items() if each.note and each.note.boot != each.boot)


def _due(run: Run, asked: Wanted, boots: Mapping[Host, Boot], noted: Collection[Host]) -> list[Host]:
    """Return the hosts to reboot, and say why. One that an interrupted run has rebooted since it began, and has finished, is not among them."""
    plan = _plan(boots)
    done = [host for host in asked.hosts if host not in noted and plan.get(host.name, boots[host].boot) != boots[host].boot]
    if noted:
        left = f"; it has finished {listed(done)}" if done else ""
        run.listener.say(f"an interrupted run goes on; left of it: {listed(noted)}{left}")
    found = [host for host in asked.hosts if host in noted]
    for host in asked.hosts:
        if host in noted or host in done:
            continue
        why = rules.reasons(boots[host])
        if why:
            run.listener.say(f"{host}: {'; '.join(why)}")
        if why or not asked.if_needed:
            found.append(host)
    return found


def _plan(boots: Mapping[Host, Boot]) -> dict[str, str]:
    """Return the IDs of the boots in which the hosts of an interrupted run were when it began, by name; {} for none."""
    return {name: boot for each in boots.values() if each.note for name, boot in each.note.plan.items()}


def _moves(run: Run, pair: Pair, boots: Mapping[Host, Boot], due: Sequence[Host]) -> Moves | None:
    """Return how the VIP moves while load balancers are rebooted; None when none of them is. Raises PrecheckError when none holds it."""
    balancers = [host for host in due if host.is_lb]
    if not balancers:
        return None
    states = {host: state for host, (_, state) in pair.states(run).items()}
    holder = next((host for host in pair.site.load_balancers if states[host].holds_vip), None)
    if not holder:
        raise PrecheckError("no load balancer holds the VIP; nothing was changed", hint="inv recover.vip; inv lb.status")
    origin = next((host for host, each in boots.items() if each.note and each.note.vip), None)
    left = set(balancers) - set(_begun(boots))
    way = services.moves(lb_rules.change_order(pair.site.load_balancers, states), holder, origin, left)
    return Moves(tuple(host for host in way.order if host in balancers), way.away, way.back, way.holder)


def _nodes(run: Run, choices: Choices, hosts: Sequence[Host], boots: Mapping[Host, Boot]) -> tuple[Upgrade, list[Host]]:
    """Return what drains and gates need to know, and the nodes in their order. Raises PrecheckError when it is no time for it."""
    site, noted = run.site, [host for host, each in boots.items() if each.note]
    first, _, state = WORK.look(run, noted)
    begun = {*nodes.out_of_service(site, first.health, noted), *_begun(boots)}
    one = Upgrade(site, state.to or choices.to, choices, survey=first.survey)
    masters = order.control_plane_order(site.control_plane, leading(first.view))
    ordered = rules.in_order(hosts, masters, begun)
    cluster = WORK.objects(run, one)
    WORK.refuse(nodes.drained(site, cluster, noted))
    WORK.refuse(nodes.stopped(one, cluster, [host for host in ordered if host not in begun]))
    return one, ordered


@dataclass(frozen=True, slots=True)
class Turns:
    """In which order hosts are rebooted.

    nodes    in their order; a node that is a load balancer as well goes with those.
    way      of the load balancers, and how the VIP moves; None when none of them is rebooted.
    begun    hosts that an interrupted run has rebooted, and has not finished: before all others.
    goes_on  an interrupted run goes on: hosts that it has finished are not among these.
    plan     the IDs of the boots in which the hosts are now, by name.
    """

    nodes: Sequence[Host]
    way: Moves | None = None
    begun: frozenset[Host] = frozenset()
    goes_on: bool = False
    plan: Mapping[str, str] = field(default_factory=dict)

    @property
    def balancers(self) -> tuple[Host, ...]:
        """The load balancers in their order."""
        return self.way.order if self.way else ()

    @property
    def hosts(self) -> list[Host]:
        """All hosts."""
        return list(dict.fromkeys([*self.nodes, *self.balancers]))


def procedure(all_: Reboots, turns: Turns, watching: Host | None = None) -> Procedure:
    """Return the procedure: nodes, then load balancers. ``watching``: the host that measures what clients see while the VIP moves."""
    way, site = turns.way, all_.pair.site
    holder = turns.balancers[-1] if way and way.away else None
    items: list[Step | Together] = [pair_is_whole(all_.pair)] if way else []
    if all_.one and not turns.goes_on:  # a Pod may have no other place than a node that an interrupted run has drained
        items.append(pod_proof.pods_start(all_.one, site.control_plane[0]))
    items.append(Together(tuple(begin(host, turns.plan, vip=host == holder) for host in turns.hosts)))
    items += _of_nodes(all_, turns)
    items += _of_balancers(all_, way, watching) if way else []
    if all_.one:
        items.append(gates.cluster_verified(site))
    named = [host.name for host in turns.hosts]
    return Procedure("cluster.reboot", f"Reboot {listed(named)}", items, inputs={"hosts": named})


def _of_nodes(all_: Reboots, turns: Turns) -> list[Step | Together]:
    """Return the steps of the nodes that are no load balancers; workers go in groups, the first one alone unless others went before."""
    hosts = [host for host in turns.nodes if host not in turns.balancers]
    items: list[Step | Together] = []
    for host in hosts:
        if host in turns.begun:
            items += steps(all_, host)
    rest = [host for host in hosts if host not in turns.begun]
    workers = [host for host in rest if not host.is_control_plane]
    if all_.one:
        items += in_groups(all_.one, workers, lambda host: steps(all_, host), canary=not turns.goes_on)
    for host in rest:
        if host.is_control_plane:
            items += steps(all_, host)
    return items


def _of_balancers(all_: Reboots, way: Moves, watching: Host | None) -> list[Step | Together]:
    """Return the steps of the load balancers. The one that gets the VIP back keeps its note until it has it."""
    items: list[Step | Together] = []
    site = all_.pair.site
    for host in way.order:
        if way.away and host == way.order[-1]:
            items += [can_hold(way.away), take_over(way.away, watching, every=bool(site.load_balancer.vips))]
        else:
            items += empties(site, host, way.holder, watching)
        found = steps(all_, host)
        items += found[:-1] if host == way.back else found
    items += comes_back(site, way.back, way.end, watching)
    items += [end(way.back)] if way.back and way.back in way.order else []
    return [*items, all_arrived(all_.pair)]


def steps(all_: Reboots, host: Host) -> list[Step]:
    """Return the steps of one host. Its note goes last: until then an interrupted run knows that it is not done."""
    return [*out_of_service(all_, host), reboot(all_, host), *back_in_service(all_, host), end(host)]
