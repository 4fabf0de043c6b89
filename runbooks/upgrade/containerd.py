"""`inv upgrade.containerd`: containerd and runc, node by node, each drained before and proved after.

Control plane hosts first, one at a time and out of the load balancers, the host of etcd's leader last; then one worker alone, then the
others in groups. Static pods and DaemonSets keep running: their shims outlive containerd.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import nullcontext
from typing import TYPE_CHECKING, Final

from runbooks import gates
from runbooks.commands import prepare, runtime_upgrade
from runbooks.commands import service_packages as commands
from runbooks.commands.runtime_upgrade import KIND
from runbooks.commands.service_packages import Choice, Services
from runbooks.engine.steps import Procedure, Run, Step, Together
from runbooks.errors import PrecheckError
from runbooks.inventory.model import Host
from runbooks.lb import traffic
from runbooks.rules.finding import Finding
from runbooks.rules.upgrade_seen import Seen
from runbooks.text import listed
from runbooks.upgrade import (
    clients,
    containerd_proof,
    containerd_state,
    containerd_steps,
    control_plane,
    gate,
    node,
    nodes,
    pod_proof,
)
from runbooks.upgrade.containerd_state import NAMES, UNITS, Runtimes
from runbooks.upgrade.context import Upgrade
from runbooks.upgrade.forecast import leading
from runbooks.upgrade.nodes import Work
from runbooks.upgrade.procedure import in_groups
from runbooks.upgrade.rules import runtimes, services
from runbooks.upgrade.rules.choices import Choices

if TYPE_CHECKING:
    from runbooks.engine.session import Session

WORK: Final = Work(runtimes.TOPIC, "the container runtime is not upgraded now", "--only")


def upgrade_containerd(session: Session, choices: Choices, asked: Mapping[str, str]) -> None:
    """Upgrade the container runtime of the nodes that ``choices`` name. ``asked``: the versions that the operator named, by package.

    Raises PrecheckError when a version is not offered or does not fit the kubelet, or the cluster is not well.
    """
    run, site = session.run, session.site
    notes = run.read_all({host: runtime_upgrade.read() for host in site.nodes})
    noted = frozenset(host for host, there in notes.items() if there)
    WORK.refuse(WORK.left_out(choices.only or site.nodes, noted))
    first, versions, state = WORK.look(run, noted)
    begun = nodes.out_of_service(site, first.health, noted)
    one = Upgrade(site, state.to or choices.to, choices, survey=first.survey)
    chosen = nodes.in_order(run, choices, leading(first.view), noted)
    all_ = Runtimes(one, wanted(run, chosen, asked))
    WORK.refuse(not_served(all_, versions, {host.name for host in begun}))
    cluster = WORK.objects(run, one)
    WORK.refuse(nodes.drained(site, cluster, noted))
    due = unfinished(all_, run, noted)
    WORK.refuse(nodes.stopped(one, cluster, [host for host in due if host not in begun]))
    steps = procedure(all_, due, noted)
    with clients.watched(session) if due else nullcontext():
        session.carry_out(steps, resume=False)  # it looks at what the nodes run; with --resume as without


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
    known = {node.name: node for node in seen.nodes}
    for host, versions in all_.versions.items():
        kubelet = known[host.name].kubelet_runs or (known[host.name].kubelet if host.name in begun else None)
        package = versions.get("containerd.io") or versions["containerd"]
        why = runtimes.not_served(package, kubelet) if kubelet else "which kubelet runs there is not known"
        if why:
            fix = "name another version: --to-containerd" if kubelet else f"on {host}: systemctl status kubelet"
            yield Finding("fail", topic=runtimes.TOPIC, host=host.name, seen=why, fix=fix)


def unfinished(all_: Runtimes, run: Run, noted: Collection[Host]) -> list[Host]:
    """Return the hosts to work on, in their order: not at their versions, or begun by an earlier run and not ended."""
    run.read_all(dict.fromkeys(all_.versions, prepare.runtime()))  # all at the same time
    return [host for host in all_.versions if host in noted or not all_.current(run, host)]


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
            items.append(pod_proof.pods_start(one, all_.site.control_plane[0]))
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
