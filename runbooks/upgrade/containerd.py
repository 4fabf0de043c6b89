"""`inv upgrade.containerd`: containerd and runc, node by node, each drained before and proved after.

Control plane hosts first, one at a time and out of the load balancers, the host of etcd's leader last; then one worker alone, then the
others in groups. Static pods and DaemonSets keep running: their shims outlive containerd.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from runbooks import gates
from runbooks.commands import service_packages as commands
from runbooks.commands.drain_look import look as drain_look
from runbooks.commands.service_packages import Choice, Services
from runbooks.commands.versions import look as look_versions
from runbooks.engine.steps import Procedure, Run, Step, Together
from runbooks.errors import PrecheckError
from runbooks.inventory.model import Host
from runbooks.lb import traffic
from runbooks.rules.etcd_leader import leader_of
from runbooks.rules.upgrade_seen import NodeSeen, text
from runbooks.text import indented, listed
from runbooks.upgrade import gate, node
from runbooks.upgrade.containerd_steps import KIND, NAMES, UNITS, Runtimes, take_out, try_new, upgrade
from runbooks.upgrade.context import Upgrade, seen_alone
from runbooks.upgrade.rules import order
from runbooks.upgrade.rules import services as rules
from runbooks.upgrade.rules.choices import Choices
from runbooks.view import etcd as view_etcd

if TYPE_CHECKING:
    from runbooks.engine.session import Session


def upgrade_containerd(session: Session, choices: Choices, asked: Mapping[str, str]) -> None:
    """Upgrade the container runtime of the nodes that ``choices`` name. ``asked``: the versions that the operator named, by package.

    Raises PrecheckError when a version is not offered, a host has no containerd, or an upgrade of Kubernetes is under way.
    """
    run, site = session.run, session.site
    hosts = (*order.control_plane_order(site.control_plane, leader(run)), *order.workers(site.nodes))
    chosen = [host for host in hosts if choices.takes(host)]
    first = Upgrade(site, choices.to, choices)
    said = run.read_all(dict.fromkeys(chosen, look_versions()))
    upgrades = {host: replace(first, to=_kubernetes(host, seen_alone(site, host, each))) for host, each in said.items()}
    all_ = Runtimes(site, versions(run, chosen, asked), upgrades)
    due = unfinished(all_, run, first)
    session.carry_out(procedure(all_, due, choices, whole=len(due) == len(hosts)))


def leader(run: Run) -> Host | None:
    """Return the host of etcd's leader; None when it is not known, or etcd is external."""
    if run.site.kubernetes.etcd != "stacked":
        return None
    view = view_etcd.view(run)
    return next((host for host, status in view.statuses.items() if status.member == leader_of(view)), None)


def _kubernetes(host: Host, seen: NodeSeen) -> tuple[int, int, int]:
    """Return the version of Kubernetes that ``host`` runs. Raises PrecheckError while an upgrade of it is half done there."""
    if not seen.kubelet_runs or {seen.kubelet, seen.kubectl} != {seen.kubelet_runs}:
        parts = f"kubelet {text(seen.kubelet)} (running {text(seen.kubelet_runs)}), kubectl {text(seen.kubectl)}"
        raise PrecheckError(
            f"{host}: {parts}: an upgrade of Kubernetes is under way, or the kubelet does not run; nothing was changed",
            hint="inv upgrade.status shows how it goes on; finish it first",
        )
    return seen.kubelet_runs


def versions(run: Run, hosts: Sequence[Host], asked: Mapping[str, str]) -> dict[Host, dict[str, str]]:
    """Return the versions that each of ``hosts`` is to have. Says which repositories cannot be used."""
    seen: dict[Host, Services] = run.read_all({host: commands.look(KIND, NAMES, UNITS) for host in hosts})
    offers: dict[Host, Choice] = run.read_all({host: commands.choice(NAMES) for host in hosts})
    found = {}
    for host, services in seen.items():
        # An installation that was interrupted may have left a package half installed: then it was tried before.
        names = [name for name in NAMES if name in {*services.packages, *services.tried}]
        if not {"containerd", "containerd.io"} & set(names):
            raise PrecheckError(f"{host}: containerd is not installed as a package", hint="inv cluster.prepare installs it")
        if asked.get("runc") and "runc" not in names:
            raise PrecheckError(
                f"{host}: its containerd brings its own runc; --to-runc cannot be given", hint="leave --to-runc out"
            )
        for each in offers[host].broken:
            run.listener.say(f"{host}: the package repository {each.repository} cannot be used: {each.reason}")
        found[host] = rules.wanted(host, {name: services.packages.get(name, "") for name in names}, offers[host], asked)
    return found


def unfinished(all_: Runtimes, run: Run, one: Upgrade) -> list[Host]:
    """Return the hosts to work on, in their order: not at their versions, or with our mark on their cordon, which comes off last.

    Raises PrecheckError when the cluster's objects cannot be read.
    """
    api_host = one.survey.serving(run)
    cluster = run.read(api_host, drain_look(api_host))
    if cluster.errors:
        raise PrecheckError(
            f"{api_host}: not everything could be read that a drain depends on:{indented(cluster.errors.values())}",
            hint="inv cluster.status",
        )
    marked = {name for name, each in cluster.nodes.items() if each.marked}
    return [host for host in all_.versions if one.node_name(run, host) in marked or not all_.arrived(run, host)]


def procedure(all_: Runtimes, due: Sequence[Host], choices: Choices, *, whole: bool = False) -> Procedure:
    """Return the procedure for the hosts that are ``due``. ``whole``: these are all nodes of the site."""
    items: list[Step | Together] = [Together(tuple(try_new(all_, host) for host in due))] if due else []
    for host in due:
        if host.is_control_plane:
            items += steps(all_, host)
    # A worker that has arrived, in this run or before, was the canary.
    workers = [host for host in due if not host.is_control_plane]
    alone = len(workers) == sum(not host.is_control_plane for host in all_.versions)
    for group in order.groups(workers, choices.workers_at_once, canary=alone):
        lanes = [steps(all_, host) for host in group]
        items += lanes[0] if len(lanes) == 1 else [Together(tuple(lane)) for lane in zip(*lanes, strict=True)]
    if whole or not due:
        items.append(gates.cluster_verified(all_.site))
    names = {host.name: dict(each) for host, each in all_.versions.items()}
    title = f"Upgrade the container runtime of {listed(due) or all_.site.name}"
    return Procedure("upgrade.containerd", title, items, inputs={"versions": names})


def steps(all_: Runtimes, host: Host) -> list[Step]:
    """Return the steps of one node. Its cordon comes off last: until then an interrupted run knows that it is not done."""
    one = all_.upgrades[host]
    inner = [node.drain(one, host, lambda run: bool(all_.arrived(run, host))), upgrade(all_, host)]
    outer = [take_out(all_, host), *inner, traffic.let_in(host)] if host.is_control_plane else inner
    return [*outer, node.uncordon(one, host), gate.gate(one, host)]
