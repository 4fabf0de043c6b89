"""Whether the control plane is lost, so that it may be restored onto empty machines. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from runbooks.commands.control_plane_files import RestoredFiles
from runbooks.commands.node import NodeState
from runbooks.errors import PrecheckError
from runbooks.inventory.model import Host
from runbooks.rules import etcd as rules
from runbooks.rules.cluster import refuse_leftovers
from runbooks.rules.etcd import View
from runbooks.text import listed

DOCTOR = "inv doctor names the command for each host that is not well"


def refuse(found: Mapping[Host, tuple[NodeState, RestoredFiles]], etcd: View, seen_up: Collection[str] = ()) -> None:
    """Raise PrecheckError unless every host in ``found`` is empty, or has only files that this command put there.

    ``etcd`` is what its members say; ``seen_up`` are the names of the control plane hosts whose API server a load balancer reaches.

    All hosts are looked at before one is judged. Never names a command that destroys something on a host while another host serves,
    has files of the cluster, or is still at work.
    """
    ours = {host for host, (_, origin) in found.items() if origin.stage}
    if serving := _serving(found, etcd, seen_up, ours):
        raise PrecheckError(f"the control plane is not lost: {serving}; nothing was changed", hint=DOCTOR)
    left = {host: state for host, (state, _) in found.items() if host not in ours}
    if busy := [host for host, state in left.items() if state.running]:
        raise PrecheckError(
            f"{left[busy[0]].kubeadm} is running on {listed(busy)}; nothing was changed",
            hint="wait until it has ended, then: inv doctor",
        )
    if joined := [host for host, state in left.items() if state.joined]:
        raise PrecheckError(
            f"the control plane's files are still on {listed(joined)}; nothing was changed",
            hint="inv recover.etcd-quorum restores etcd onto such hosts; the empty ones join afterwards",
        )
    for host, state in left.items():
        refuse_leftovers(host, state)
    if begun := [host for host, state in left.items() if state.attempt]:
        raise PrecheckError(
            f"kubeadm {left[begun[0]].attempt} was not finished on {begun[0]}, and no host has the control plane's files",
            hint=f"inv cluster.reset --host {begun[0]} (it asks before it deletes)",
        )


def _serving(found: Mapping[Host, tuple[NodeState, RestoredFiles]], etcd: View, seen_up: Collection[str], ours: set[Host]) -> str:
    """Return how the control plane is seen to work, or "". Hosts with files that this command put back do not count."""
    if ready := [host for host, (state, _) in found.items() if state.api == "ok" and host not in ours]:
        return f"the API server is ready on {listed(ready)}"
    voters = {member.id for member in rules.voters(etcd.members)}
    well = [host for host, status in etcd.statuses.items() if status.member in rules.healthy_ids(etcd) & voters]
    if len(well) >= rules.quorum(len(voters)) and not ours & set(well):
        return f"etcd has its quorum ({listed(well)})"
    if unseen := sorted(set(seen_up) - {str(host) for host in found}):
        return f"the load balancers reach an API server on {listed(unseen)}, although this machine does not reach that host"
    return ""
