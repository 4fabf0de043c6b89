"""What work begins with that takes one node after the other out of service: what was read, who is due, and whether it is the time for it.

`inv upgrade.containerd` and `inv cluster.reboot` drain the nodes that they work on. A host on which one of them has begun has a note; the
host is finished before another one is begun.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from runbooks.commands import drain_look
from runbooks.commands.drain_objects import Cluster
from runbooks.engine.steps import Run, Step
from runbooks.errors import PrecheckError
from runbooks.inventory.model import Host, Site
from runbooks.lb import traffic
from runbooks.rules.finding import Finding, at_least, told
from runbooks.rules.upgrade_seen import Seen
from runbooks.rules.upgrade_standing import Standing, standing
from runbooks.rules.verify import node_of
from runbooks.text import indented, listed
from runbooks.upgrade import control_plane, judge, observe, restart
from runbooks.upgrade.context import Upgrade
from runbooks.upgrade.forecast import nodes_of
from runbooks.upgrade.observe import First
from runbooks.upgrade.restart import Spared
from runbooks.upgrade.rules import drain_findings, drains, node_work, order, status
from runbooks.upgrade.rules.choices import Choices
from runbooks.upgrade.rules.going_on import refusals
from runbooks.view import health
from runbooks.view.health import ClusterReadings

SETTLED_S, PASSING_S = 180, 60
HOSTLESS = frozenset(
    {"kube-proxy", "coredns", "other pods"}
)  # rows about Pods of several nodes: what a kubelet in work has made of them, too


@dataclass(frozen=True, slots=True)
class Work:
    """What is done, in words. ``topic``: of its own findings; ``not_now``: the first words when it is refused; ``flag``: names the hosts.

    ``cordons``: a host in work is cordoned. Otherwise every host with a note is in work.
    """

    topic: str
    not_now: str
    flag: str
    cordons: bool = True

    def refuse(self, found: Iterable[Finding]) -> None:
        """Raise PrecheckError with every failure that is found."""
        if wrong := at_least("fail", found):
            raise PrecheckError(
                f"{self.not_now}; nothing was changed:{indented(told(each) for each in wrong)}",
                hint=next((each.fix for each in wrong if each.fix), "inv cluster.verify"),
            )

    def left_out(self, chosen: Sequence[Host], noted: Collection[Host]) -> Iterator[Finding]:
        """Yield a failure for each host on which an earlier run has begun and that is not chosen: it is finished before others are begun."""
        names = listed(sorted({*(host.name for host in chosen), *(host.name for host in noted)})).replace(" ", "")
        for host in noted:
            if host not in chosen:
                seen = "an earlier run has begun there, and has not finished"
                fix = f"name it as well: {self.flag} {names}"
                yield Finding("fail", topic=self.topic, host=host.name, seen=seen, fix=fix)

    def look(self, run: Run, noted: Collection[Host]) -> tuple[First, Seen, Standing]:
        """Return what was read, and how far an upgrade of Kubernetes has come. Raises PrecheckError when it is no time for this work.

        Hosts in ``noted`` that are out of service may look broken: that is what the run repairs. What is wrong elsewhere gets PASSING_S
        seconds to pass by itself, after an interrupted run SETTLED_S.
        """

        def in_work(seen: ClusterReadings) -> set[str]:
            return {host.name for host in (out_of_service(run.site, seen, noted) if self.cordons else noted)}

        def wrong(seen: ClusterReadings) -> list[Finding]:
            names, found = in_work(seen), health.wrong(run.site, seen)
            if names and not self.cordons:
                found = [each for each in found if each.host or each.topic not in HOSTLESS]
            return refusals(node_work.unrepaired(found, names), names, names)

        first = observe.settled(run, wrong, SETTLED_S if noted else PASSING_S)
        names = in_work(first.health)
        versions = status.seen(run.site, first.versions.hosts, first.versions.cluster)
        state = standing(versions)
        left = refusals([*judge.leftovers(first)], names, names)
        self.refuse([*wrong(first.health), *left, *node_work.unfinished(state, first.kubeadm, names)])
        return first, versions, state

    def objects(self, run: Run, one: Upgrade) -> Cluster:
        """Return what decides how drains go. Raises PrecheckError when a part of it cannot be read."""
        api_host = one.survey.serving(run)
        cluster = run.read(api_host, drain_look.look(api_host))
        self.refuse([Finding("fail", topic=drain_findings.TOPIC, seen=f"{kind}: {why}") for kind, why in cluster.errors.items()])
        return cluster


def out_of_service(site: Site, seen: ClusterReadings, noted: Collection[Host]) -> frozenset[Host]:
    """Return the hosts of ``noted`` whose Node is cordoned: they are out of service for this work, and may look broken.

    One that takes Pods (its drain has not begun, or its work is over) is judged like every other. So is each when no Node can be read.
    """
    known = () if isinstance(seen.cluster, str) else seen.cluster.nodes
    found = {host: node_of(known, host) for host in noted}
    return frozenset(host for host, each in found.items() if each and (each.marked or each.cordoned))


def in_order(run: Run, choices: Choices, leader: Host | None, noted: Collection[Host]) -> list[Host]:
    """Return the hosts that the operator wants, in their order; ``noted``: those on which an earlier run has begun come first."""
    site, names = run.site, {host.name for host in noted}
    hosts = (*order.control_plane_order(site.control_plane, leader, names), *order.workers(site.nodes, names))
    return [host for host in hosts if choices.takes(host)]


def drained(site: Site, cluster: Cluster, noted: Collection[Host]) -> Iterator[Finding]:
    """Yield a failure for each node that other work has drained: this command has its note on those that it drains."""
    for host, name in nodes_of(site, cluster).items():
        if host not in noted and name in cluster.nodes and cluster.nodes[name].marked:
            seen = "it was drained by a run (inv upgrade.run, for example) that has not taken its cordon back"
            fix = f"the same command again finishes it (inv runs.list names it); if it is not wanted any more: kubectl uncordon {name}"
            yield Finding("fail", topic="upgrade", host=host.name, seen=seen, fix=fix)


def stopped(one: Upgrade, cluster: Cluster, hosts: Sequence[Host], *, stay: bool = False) -> list[Finding]:
    """Return the findings of the drains of ``hosts``, simulated in their order: as they stand, but workers in their groups.

    ``stay``: nodes stay cordoned after their drain, instead of taking Pods again before the next one is drained.
    """
    if not hosts:
        return []
    names, choices = nodes_of(one.site, cluster), one.choices
    turns = [[names[host] for host in group] for group in order.turns(hosts, choices.workers_at_once)]
    simulated = drains.simulate(cluster, turns, choices.named, stay=stay)
    found = drain_findings.findings(cluster, turns, choices.named, simulated)
    return [*found, *drain_findings.too_long(simulated, choices.drain_s)]


def may_be_away(one: Upgrade, run: Run, host: Host) -> None:
    """Raise PrecheckError when clients or etcd cannot do without ``host`` now.

    Of the other API servers only those count that every load balancer that answers uses: one that was left in maintenance serves nobody.
    """
    control_plane.may_be_away(one, run, host)
    others = [other for other in one.site.control_plane if other != host]
    if not any(traffic.in_use(run, other) for other in others) and not traffic.not_ours(run):
        raise PrecheckError(f"{host}: the load balancers use no other control plane host", hint="inv lb.status")


def out_of_traffic(one: Upgrade, host: Host, spared: Spared) -> list[Step]:
    """Return the steps that send clients and etcd's leadership to other hosts, if there are any. ``spared``: it is not needed any more."""
    step = restart.take_out(one, host, spared)

    def check(run: Run) -> None:
        if step.done and not step.done(run):
            may_be_away(one, run, host)

    return [replace(step, check=check), restart.hand_over(one, host, spared)]
