"""`inv upgrade.containerd`: containerd and runc, node by node, each drained before and proved after.

Control plane hosts first, one at a time and out of the load balancers, the host of etcd's leader last; then one worker alone, then the
others in groups. Static pods and DaemonSets keep running: their shims outlive containerd.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from typing import TYPE_CHECKING

from runbooks import gates
from runbooks.commands import drain_look, prepare, runtime_upgrade
from runbooks.commands import service_packages as commands
from runbooks.commands.drain_objects import Cluster
from runbooks.commands.runtime_upgrade import KIND
from runbooks.commands.service_packages import Choice, Services
from runbooks.engine.steps import Procedure, Run, Step, Together
from runbooks.errors import PrecheckError
from runbooks.inventory.model import Host, Site
from runbooks.lb import traffic
from runbooks.rules.finding import Finding, at_least, told
from runbooks.rules.upgrade_seen import Seen
from runbooks.rules.upgrade_standing import Standing, standing
from runbooks.rules.verify import node_of
from runbooks.text import indented, listed
from runbooks.upgrade import (
    clients,
    containerd_proof,
    containerd_state,
    containerd_steps,
    control_plane,
    gate,
    judge,
    node,
    observe,
)
from runbooks.upgrade.containerd_state import NAMES, UNITS, Runtimes
from runbooks.upgrade.context import Upgrade
from runbooks.upgrade.forecast import leading, nodes_of
from runbooks.upgrade.observe import First
from runbooks.upgrade.procedure import in_groups
from runbooks.upgrade.rules import drain_findings, drains, order, runtimes, services, status
from runbooks.upgrade.rules.choices import Choices
from runbooks.upgrade.rules.going_on import refusals
from runbooks.view import health
from runbooks.view.health import ClusterReadings

if TYPE_CHECKING:
    from runbooks.engine.session import Session

SETTLED_S, PASSING_S = 180, 60


def upgrade_containerd(session: Session, choices: Choices, asked: Mapping[str, str]) -> None:
    """Upgrade the container runtime of the nodes that ``choices`` name. ``asked``: the versions that the operator named, by package.

    Raises PrecheckError when a version is not offered or does not fit the kubelet, or the cluster is not well.
    """
    run, site = session.run, session.site
    notes = run.read_all({host: runtime_upgrade.read() for host in site.nodes})
    noted = frozenset(host for host, there in notes.items() if there)
    refuse(left_out(choices, noted))
    first, versions, state = look(run, noted)
    begun = out_of_service(site, first.health, noted)
    one = Upgrade(site, state.to or choices.to, choices, survey=first.survey)
    chosen = in_order(run, choices, leading(first.view), noted)
    all_ = Runtimes(one, wanted(run, chosen, asked))
    refuse(not_served(all_, versions, {host.name for host in begun}))
    cluster = objects(run, one)
    refuse(drained(all_, cluster, noted))
    due = unfinished(all_, run, noted)
    refuse(stopped(all_, cluster, [host for host in due if host not in begun]))
    steps = procedure(all_, due, noted)
    with clients.watched(session) if due else nullcontext():
        session.carry_out(steps, resume=False)  # it looks at what the nodes run; with --resume as without


def refuse(found: Iterable[Finding]) -> None:
    """Raise PrecheckError with every failure that is found."""
    if wrong := at_least("fail", found):
        raise PrecheckError(
            f"the container runtime is not upgraded now; nothing was changed:{indented(told(each) for each in wrong)}",
            hint=next((each.fix for each in wrong if each.fix), "inv cluster.verify"),
        )


def left_out(choices: Choices, noted: Collection[Host]) -> Iterator[Finding]:
    """Yield a failure for each host on which an earlier run has begun and that --only leaves out: it is finished before others are begun."""
    names = listed(sorted({*(host.name for host in choices.only or ()), *(host.name for host in noted)}))
    for host in noted:
        if not choices.takes(host):
            seen = "an earlier run has begun there, and has not finished"
            yield Finding("fail", topic=runtimes.TOPIC, host=host.name, seen=seen, fix=f"name it as well: --only {names}")


def out_of_service(site: Site, seen: ClusterReadings, noted: Collection[Host]) -> frozenset[Host]:
    """Return the hosts of ``noted`` whose Node is cordoned: they are out of service for this work, and may look broken.

    One that takes Pods (its drain has not begun, or its work is over) is judged like every other. So is each when no Node can be read.
    """
    known = () if isinstance(seen.cluster, str) else seen.cluster.nodes
    found = {host: node_of(known, host) for host in noted}
    return frozenset(host for host, each in found.items() if each and (each.marked or each.cordoned))


def look(run: Run, noted: Collection[Host]) -> tuple[First, Seen, Standing]:
    """Return what was read, and how far an upgrade of Kubernetes has come. Raises PrecheckError when it is no time for this one.

    Hosts in ``noted`` that are out of service may look broken: that is what the run repairs. What is wrong elsewhere gets PASSING_S seconds
    to pass by itself, after an interrupted run SETTLED_S.
    """

    def in_work(seen: ClusterReadings) -> set[str]:
        return {host.name for host in out_of_service(run.site, seen, noted)}

    def wrong(seen: ClusterReadings) -> list[Finding]:
        names = in_work(seen)
        return refusals(runtimes.unrepaired(health.wrong(run.site, seen), names), names, names)

    first = observe.settled(run, wrong, SETTLED_S if noted else PASSING_S)
    names = in_work(first.health)
    versions = status.seen(run.site, first.versions.hosts, first.versions.cluster)
    state = standing(versions)
    left = refusals([*judge.leftovers(first)], names, names)
    refuse([*wrong(first.health), *left, *runtimes.unfinished(state, first.kubeadm, names)])
    return first, versions, state


def in_order(run: Run, choices: Choices, leader: Host | None, noted: Collection[Host]) -> list[Host]:
    """Return the hosts that the operator wants, in their order; ``noted``: those on which an earlier run has begun come first."""
    site, names = run.site, {host.name for host in noted}
    hosts = (*order.control_plane_order(site.control_plane, leader, names), *order.workers(site.nodes, names))
    return [host for host in hosts if choices.takes(host)]


def wanted(run: Run, hosts: Sequence[Host], asked: Mapping[str, str]) -> dict[Host, dict[str, str]]:
    """Return the versions that each of ``hosts`` is to have. Says which repositories cannot be used."""
    seen: dict[Host, Services] = run.read_all({host: commands.look(KIND, NAMES, UNITS) for host in hosts})
    offers: dict[Host, Choice] = run.read_all({host: commands.choice(NAMES) for host in hosts})
    found = {}
    for host, there in seen.items():
        names = [name for name in NAMES if name in there.known]
        if not {"containerd", "containerd.io"} & set(names):
            raise PrecheckError(f"{host}: containerd is not installed as a package", hint="inv cluster.prepare installs it")
        if asked.get("runc") and "runc" not in names:
            raise PrecheckError(
                f"{host}: its containerd brings its own runc; --to-runc cannot be given", hint="leave --to-runc out"
            )
        for each in offers[host].broken:
            run.listener.say(f"{host}: the package repository {each.repository} cannot be used: {each.reason}")
        found[host] = services.wanted(host, {name: there.packages.get(name, "") for name in names}, offers[host], asked)
    return found


def not_served(all_: Runtimes, seen: Seen, begun: Collection[str]) -> Iterator[Finding]:
    """Yield a failure for each kubelet that runs and that its new containerd would not serve, or whose version is not known.

    The kubelet of a host in ``begun`` may not run: then the installed one is judged.
    """
    nodes = {node.name: node for node in seen.nodes}
    for host, versions in all_.versions.items():
        kubelet = nodes[host.name].kubelet_runs or (nodes[host.name].kubelet if host.name in begun else None)
        package = versions.get("containerd.io") or versions["containerd"]
        why = runtimes.not_served(package, kubelet) if kubelet else "which kubelet runs there is not known"
        if why:
            fix = "name another version: --to-containerd" if kubelet else f"on {host}: systemctl status kubelet"
            yield Finding("fail", topic=runtimes.TOPIC, host=host.name, seen=why, fix=fix)


def objects(run: Run, one: Upgrade) -> Cluster:
    """Return what decides how drains go. Raises PrecheckError when a part of it cannot be read."""
    api_host = one.survey.serving(run)
    cluster = run.read(api_host, drain_look.look(api_host))
    refuse([Finding("fail", topic=drain_findings.TOPIC, seen=f"{kind}: {why}") for kind, why in cluster.errors.items()])
    return cluster


def drained(all_: Runtimes, cluster: Cluster, noted: Collection[Host]) -> Iterator[Finding]:
    """Yield a failure for each node that an upgrade of Kubernetes has drained: this command has its note on those that it drains."""
    for host, name in nodes_of(all_.site, cluster).items():
        if host not in noted and name in cluster.nodes and cluster.nodes[name].marked:
            seen = "it was drained by an upgrade of Kubernetes, which has not taken its cordon back"
            fix = f"inv upgrade.run with the same --to goes on; if none is wanted any more: kubectl uncordon {name}"
            yield Finding("fail", topic="upgrade", host=host.name, seen=seen, fix=fix)


def unfinished(all_: Runtimes, run: Run, noted: Collection[Host]) -> list[Host]:
    """Return the hosts to work on, in their order: not at their versions, or begun by an earlier run and not ended."""
    run.read_all(dict.fromkeys(all_.versions, prepare.runtime()))  # all at the same time
    return [host for host in all_.versions if host in noted or not all_.current(run, host)]


def stopped(all_: Runtimes, cluster: Cluster, hosts: Sequence[Host]) -> list[Finding]:
    """Return the findings of the drains of ``hosts``, simulated in their order."""
    if not hosts:
        return []
    names, choices = nodes_of(all_.site, cluster), all_.one.choices
    masters = [host for host in hosts if host.is_control_plane]
    workers = [host for host in hosts if not host.is_control_plane]
    groups = [*((host,) for host in masters), *order.groups(workers, choices.workers_at_once)]
    turns = [[names[host] for host in group] for group in groups]
    simulated = drains.simulate(cluster, turns, choices.named)
    found = drain_findings.findings(cluster, turns, choices.named, simulated)
    return [*found, *drain_findings.too_long(simulated, choices.drain_s)]


def procedure(all_: Runtimes, due: Sequence[Host], noted: Collection[Host] = ()) -> Procedure:
    """Return the procedure for the hosts that are ``due``; the others have arrived, and are looked at first.

    ``noted``: those on which an earlier run has begun. They are finished before anything else, whatever they are: they may be what is broken.
    """
    one, hosts = all_.one, list(all_.versions)
    ahead = [host for host in due if host in noted]
    gates_ = tuple(gated(all_, host) for host in hosts if host not in due)
    arrived = [Together(gates_)] if gates_ else []
    items: list[Step | Together] = [] if ahead else [*arrived]
    if due:
        if not ahead:  # a Pod may have no other place than a node that an interrupted run has drained
            items.append(gate.pods_start(one, all_.site.control_plane[0]))
        items.append(Together(tuple(containerd_steps.try_new(all_, host) for host in due)))
    for host in ahead:
        items += steps(all_, host)
    items += arrived if ahead else []
    rest = [host for host in due if host not in noted]
    for host in rest:
        if host.is_control_plane:
            items += steps(all_, host)
    workers = [host for host in rest if not host.is_control_plane]
    # A worker that has arrived, in this run or before, was the canary.
    canary = len(workers) == sum(not host.is_control_plane for host in hosts)
    items += in_groups(one, workers, lambda host: steps(all_, host), canary=canary)
    items.append(gates.cluster_verified(all_.site))
    names = {host.name: dict(each) for host, each in all_.versions.items()}
    title = f"Upgrade the container runtime of {listed(due) or all_.site.name}"
    return Procedure("upgrade.containerd", title, items, inputs={"versions": names})


def steps(all_: Runtimes, host: Host) -> list[Step]:
    """Return the steps of one node. The note on it goes last: until then an interrupted run knows that it is not done."""
    one = all_.one
    first = [containerd_steps.begin(all_, host), containerd_steps.drain(all_, host)]
    work = [containerd_steps.upgrade(all_, host)]
    if host.is_control_plane:
        out = containerd_steps.out_of_traffic(all_, host)
        work = [*out, *work, control_plane.serves(one, host), traffic.let_in(host)]
    return [*first, *work, node.uncordon(one, host), gated(all_, host), containerd_proof.end(host)]


def gated(all_: Runtimes, host: Host) -> Step:
    """Return the gate of one node: it is back in service, with its versions."""
    return gate.gate(
        all_.one,
        host,
        arrived=lambda run: all_.current(run, host) and containerd_state.is_ready(all_.one, run, host),
        image=lambda run: containerd_state.runtime(run, host).config.sandbox,
    )
