"""What of an upgrade is left to be done, in its order: which hosts' control plane, and then which kubelets. Pure."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from runbooks.inventory.model import Host
from runbooks.rules.upgrade_seen import NodeSeen, Seen, Version
from runbooks.rules.upgrade_standing import arrived
from runbooks.upgrade.rules.choices import Choices
from runbooks.upgrade.rules.order import control_plane_order, groups, workers


@dataclass(frozen=True, slots=True)
class Remaining:
    """What is left.

    control_plane  hosts whose kubeadm step is to be done, in their order.
    kubelets       groups of nodes that are drained at the same time, in their order: each control plane host alone, the canary alone, the rest.
    applied        `kubeadm upgrade apply` has finished: kubeadm-config has the target.
    """

    control_plane: tuple[Host, ...]
    kubelets: tuple[tuple[Host, ...], ...]
    applied: bool

    @property
    def nodes(self) -> tuple[Host, ...]:
        """The nodes whose kubelet is to be done, in their order."""
        return tuple(host for group in self.kubelets for host in group)


def remaining(hosts: Sequence[Host], seen: Seen, target: Version, leader: Host | None, choices: Choices) -> Remaining:
    """Return what is left of an upgrade of ``hosts`` (the nodes of the site) to ``target``. A host of which nothing is known is left."""
    nodes = {node.name: node for node in seen.nodes}
    order, others = in_order(hosts, seen, target, leader)
    kubelets = [host for host in order if not _kubelet_done(nodes[host.name], target) and choices.takes(host)]
    left = [host for host in others if not _kubelet_done(nodes[host.name], target) and choices.takes(host)]
    alone = groups(left, choices.workers_at_once, canary=not any(nodes[host.name].kubelet_runs == target for host in others))
    return Remaining(
        control_plane=tuple(host for host in order if arrived(nodes[host.name], target) != "done" and choices.takes(host)),
        kubelets=_until([*((host,) for host in kubelets), *alone], choices.pause_after),
        applied=seen.config == target,
    )


def in_order(
    hosts: Sequence[Host], seen: Seen, target: Version, leader: Host | None
) -> tuple[tuple[Host, ...], tuple[Host, ...]]:
    """Return all control plane hosts and all workers in the order of the upgrade, those that are done included."""
    nodes = {node.name: node for node in seen.nodes}
    begun = {host.name for host in hosts if _begun(nodes[host.name], target)}
    masters = control_plane_order([host for host in hosts if host.is_control_plane], leader, begun)
    return masters, workers(hosts, begun)


def _until(kubelets: Sequence[tuple[Host, ...]], last: Host | None) -> tuple[tuple[Host, ...], ...]:
    """Return the groups up to that of ``last``; all of them without it."""
    at = next((number for number, group in enumerate(kubelets) if last in group), len(kubelets))
    return tuple(kubelets[: at + 1])


def _begun(node: NodeSeen, target: Version) -> bool:
    versions: Collection[Version | None] = [version for pair in node.parts.values() for version in pair]
    return target in versions or (not node.control_plane and target in {node.kubelet, node.kubelet_runs})


def _kubelet_done(node: NodeSeen, target: Version) -> bool:
    return node.kubelet_runs == target and node.kubelet in {target, None}
