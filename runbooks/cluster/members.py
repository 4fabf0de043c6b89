"""One host as a member of the cluster: its node and its etcd member, and how both are removed."""

from __future__ import annotations

from collections.abc import Sequence

from runbooks.cluster import node_settings
from runbooks.commands import etcd, kubeadm, kubeadm_config, kubectl, node
from runbooks.commands.base import Secret
from runbooks.commands.etcd import Member
from runbooks.commands.kubeadm import Admission, Learner
from runbooks.commands.node import NodeState
from runbooks.commands.node_objects import nodes
from runbooks.engine.steps import Run
from runbooks.errors import CommandError, PrecheckError
from runbooks.inventory.model import Host, Site
from runbooks.rules import cluster as rules
from runbooks.rules import etcd as etcd_rules
from runbooks.rules import kubeadm as kubeadm_rules
from runbooks.rules import kubeadm_phases
from runbooks.view import etcd as view_etcd
from runbooks.view.cluster import Survey


def is_member(run: Run, api_host: Host, host: Host) -> bool:
    """Whether ``host`` has a Node object and, on a control plane host, an etcd member."""
    if host.name not in run.read(api_host, nodes(api_host)):
        return False
    return not host.is_control_plane or etcd_member_of(run, api_host, host) is not None


def to_join(run: Run, survey: Survey, hosts: Sequence[Host]) -> list[Host]:
    """Return those of ``hosts`` on which kubeadm has not finished, or which are no members of the cluster.

    All of them when no API server is ready. Raises UnreachableError or HostErrors when a host does not answer.
    """
    if not (api_host := survey.api_host(run)):
        return list(hosts)
    states = run.read_all({host: node.look(host) for host in hosts})
    return [host for host, state in states.items() if not state.joined or not is_member(run, api_host, host)]


def etcd_member_of(run: Run, api_host: Host, host: Host) -> Member | None:
    """Return the entry of ``host`` in the member list of the etcd member on ``api_host``, None when it has none."""
    return next((member for member in run.read(api_host, etcd.members()) if etcd_rules.lives_on(member, host)), None)


def not_in_service(run: Run, api_host: Host, host: Host, state: NodeState) -> str:
    """Return why ``host``, where kubeadm has finished, is not in service yet, or ""."""
    known = run.read(api_host, nodes(api_host)).get(host.name)
    if not known:
        return "it has no node yet"
    if not host.is_control_plane:
        return ""
    if not known.is_control_plane:
        return "its node has no control plane label yet"
    member = etcd_member_of(run, api_host, host)
    if not member or not member.name or member.learner:
        return "its etcd member is " + ("not there" if not member else "not started" if not member.name else "still a learner")
    if not state.serves:
        return f"its API server says: {state.api or 'nothing yet'}"
    look = run.read(host, etcd.look())
    return "" if look.serves else f"its etcd member is not healthy: {look.why or 'it has no quorum'}"


def join_credentials(run: Run, api_host: Host, offer: Secret | None) -> Admission:
    """Return a new join token and the CA. ``offer`` is the configuration to upload the control plane's certificates with, or None."""
    answer = run.change(api_host, kubeadm.admit(api_host, offer))
    try:
        return kubeadm.parse_admission(answer)  # type: ignore[arg-type] # None only with --plan, which does not get here
    except ValueError as error:
        raise CommandError(f"{api_host}: {error}") from None


def learner(run: Run, site: Site, api_host: Host, host: Host) -> Learner | None:
    """Return what the member of etcd of ``host`` joins with, None where kubeadm adds it. ``api_host`` tells of the cluster's configuration."""
    if not kubeadm_rules.would_add_voter(site, host):
        return None
    live = run.read(api_host, kubeadm_config.cluster_configuration(api_host))
    return kubeadm_phases.learner(site, host, live, asked=api_host)


def remove_traces(run: Run, survey: Survey, host: Host, state: NodeState) -> None:
    """Remove what an earlier life or attempt of ``host`` left: its etcd member, then the files on the host, then its node.

    Never stops an etcd member before it is removed: with two members, a stopped one costs the quorum, and then it can no longer be
    removed. Raises PrecheckError when etcd would lose its quorum, or when the host belongs to another cluster.
    """
    api_host = survey.serving(run, without=host)
    api_host_state = survey.control_plane(run)[api_host]
    if isinstance(api_host_state, NodeState) and (reason := rules.of_another_cluster(state, api_host_state.ca)):
        raise PrecheckError(
            f"{host}: {reason}; its kubelet uses {state.server or 'no API server'}",
            hint=f"make sure that the other cluster does not need it (remove it there: drain, delete node, etcd member); only then: "
            f"inv cluster.reset --host {host}",
        )
    if host.is_control_plane and (member := etcd_member_of(run, api_host, host)):
        remove_from_etcd(run, survey, member)
    if not state.blank:
        run.note(host, "what an earlier life or attempt left on it is removed first (kubeadm reset)")
        run.change(host, kubeadm.reset(kubeadm.ALONE))
    delete_node(run, api_host, host)


def remove_from_etcd(run: Run, survey: Survey, member: Member) -> None:
    """Remove ``member`` from etcd, by way of another healthy member.

    Never leaves fewer than a majority of the voters healthy: `rules.etcd.refuse_removal` counts them right before, and PrecheckError
    is raised instead. A leader first hands the leadership to another healthy member.
    https://etcd.io/docs/v3.5/op-guide/runtime-configuration/
    """
    seen = view_etcd.view(run, survey.reachable(run))
    if reason := etcd_rules.refuse_removal(seen.members, etcd_rules.healthy_ids(seen), member.id):
        raise PrecheckError(f"etcd's member {member} cannot be removed: {reason}", hint="inv etcd.status")
    well = [host for host in seen.statuses if not etcd_rules.why_unhealthy(seen, host)]
    others = [host for host in well if seen.statuses[host].member != member.id]
    leader = next((host for host in well if seen.statuses[host].leads and host not in others), None)
    if leader and others:  # a transfer takes milliseconds, an election a second or more
        run.change(leader, etcd.move_leader(seen.statuses[others[0]].member))
    run.change(others[0] if others else view_etcd.some_healthy(run, seen), etcd.remove(member.id))


def delete_node(run: Run, api_host: Host, host: Host) -> None:
    """Delete the Node object of ``host``, if there is one. Its labels, taints and annotations are kept before."""
    if host.name in run.read(api_host, nodes(api_host)):
        node_settings.keep(run, api_host, host)
        run.change(api_host, kubectl.kubectl(api_host, "delete", "node", host.name, "--wait=false"))
