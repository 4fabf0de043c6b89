"""What the cluster knows about one host, and how it is made to forget what is left of it."""

from __future__ import annotations

from runbooks.commands import etcd, kubeadm, kubectl
from runbooks.commands.base import Secret
from runbooks.commands.etcd import Member
from runbooks.commands.kubeadm import Admission
from runbooks.commands.node import NodeState
from runbooks.commands.node_objects import nodes
from runbooks.engine.steps import Run
from runbooks.errors import CommandError, PrecheckError
from runbooks.inventory.model import Host
from runbooks.rules import cluster as rules
from runbooks.rules import etcd as etcd_rules
from runbooks.view import etcd as view_etcd
from runbooks.view.cluster import Survey


def is_member(run: Run, api_host: Host, host: Host) -> bool:
    """Whether the cluster counts ``host`` in: as a node, and a control plane host as a member of etcd, too."""
    if host.name not in run.read(api_host, nodes(api_host)):
        return False
    return not host.is_control_plane or etcd_member_of(run, api_host, host) is not None


def etcd_member_of(run: Run, api_host: Host, host: Host) -> Member | None:
    """Return the entry of ``host`` in etcd's member list, as the member on ``api_host`` has it."""
    return next((member for member in run.read(api_host, etcd.members()) if etcd_rules.lives_on(member, host)), None)


def not_in_service(run: Run, api_host: Host, host: Host, state: NodeState) -> str:
    """Return what still keeps ``host``, where kubeadm has finished, from doing its work, or ""."""
    node = run.read(api_host, nodes(api_host)).get(host.name)
    if not node:
        return "it is no node yet"
    if not host.is_control_plane:
        return ""
    if not node.is_control_plane:
        return "its node has no control plane role yet"
    member = etcd_member_of(run, api_host, host)
    if not member or not member.name or member.learner:
        return "its etcd member is " + ("not there" if not member else "not started" if not member.name else "still a learner")
    if not state.serves:
        return f"its API server says: {state.api or 'nothing yet'}"
    look = run.read(host, etcd.look())
    return "" if look.serves else f"its etcd member is not healthy: {look.why or 'it has no quorum'}"


def join_credentials(run: Run, api_host: Host, offer: Secret | None) -> Admission:
    """Return what a host needs to join; ``offer`` is the configuration that uploads the control plane's certificates."""
    answer = run.change(api_host, kubeadm.admit(offer))
    try:
        return kubeadm.parse_admission(answer)  # type: ignore[arg-type] # only a plan gets no answer, and it does not ask
    except ValueError as error:
        raise CommandError(f"{api_host}: {error}") from None


def remove_traces(run: Run, survey: Survey, host: Host, state: NodeState) -> None:
    """Remove what is left of ``host``: first its member, while it can still agree, then the host's own files, then the node.

    In this order because a member that stops first may take the quorum of a young cluster with it. Raises PrecheckError when
    etcd would not survive the removal, or when the host belongs to somebody else's cluster.
    """
    api_host = survey.serving(run, without=host)
    api_host_state = survey.control_plane(run)[api_host]
    if isinstance(api_host_state, NodeState) and (reason := rules.of_another_cluster(state, api_host_state.ca)):
        raise PrecheckError(f"{host}: {reason}", hint=f"`inv cluster.reset --host {host}` makes it a new host")
    if host.is_control_plane and (member := etcd_member_of(run, api_host, host)):
        remove_from_etcd(run, survey, member)
    if not state.blank:
        run.change(host, kubeadm.reset(kubeadm.ALONE))
    delete_node(run, api_host, host)


def remove_from_etcd(run: Run, survey: Survey, member: Member) -> None:
    """Take ``member`` out of etcd, through another one. Raises PrecheckError when the others could not go on without it."""
    seen = view_etcd.view(run, survey.reachable(run))
    if reason := etcd_rules.refuse_removal(seen.members, etcd_rules.healthy_ids(seen), member.id):
        raise PrecheckError(f"etcd's member {member} cannot be removed: {reason}", hint="inv etcd.status")
    well = [host for host in seen.statuses if not etcd_rules.why_unhealthy(seen, host)]
    others = [host for host in well if seen.statuses[host].member != member.id]
    leader = next((host for host in well if seen.statuses[host].leads and host not in others), None)
    if leader and others:  # handed over, the leadership is away for a moment; lost, for an election
        run.change(leader, etcd.move_leader(seen.statuses[others[0]].member))
    run.change(others[0] if others else view_etcd.some_healthy(run, seen), etcd.remove(member.id))


def delete_node(run: Run, api_host: Host, host: Host) -> None:
    """Delete the Node object, so that nothing takes the new host for the old one."""
    if host.name in run.read(api_host, nodes(api_host)):
        run.change(api_host, kubectl.kubectl(api_host, "delete", "node", host.name, "--wait=false"))
