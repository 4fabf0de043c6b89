"""What `inv cluster.status` reports as wrong. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from runbooks.commands.etcd import Look
from runbooks.commands.lb import LbState
from runbooks.commands.objects import Cluster
from runbooks.commands.verify import HostStatus
from runbooks.errors import RunbookError
from runbooks.inventory.model import Host, Site
from runbooks.rules import etcd, lb, next_command
from runbooks.rules.etcd import View
from runbooks.rules.finding import Finding, unread
from runbooks.rules.verify import cut, node_of, remembered, unlisted_nodes
from runbooks.rules.verify_versions import TOPICS
from runbooks.text import listed, naming

HostStatuses = Mapping[Host, HostStatus | RunbookError]


def no_cluster(seen: HostStatuses) -> bool:
    """Whether there is no cluster yet: a control plane host answers, and no host that answers is in a cluster."""
    answers = [each for host, each in seen.items() if isinstance(each, HostStatus) and host.is_control_plane]
    everyone = [each for each in seen.values() if isinstance(each, HostStatus)]
    return bool(answers) and not any(each.joined or each.manifests for each in everyone)


def problems(site: Site, seen: HostStatuses, view: View, cluster: Cluster | None) -> list[Finding]:
    """Return what is wrong with the hosts, the nodes and etcd."""
    lost = {host: each for host, each in seen.items() if isinstance(each, RunbookError)}
    found = [replace(unread("host", host, each), fix=next_command.unreachable(host, each)) for host, each in lost.items()]
    outside = [host for host, each in seen.items() if isinstance(each, HostStatus) and not each.joined]
    nodes = cluster.nodes if cluster else ()
    known = remembered(site, view, nodes)
    for host in site.nodes:
        if host in outside or (cluster and host not in lost and not node_of(nodes, host)):
            gone = known if host in outside else ()  # a host with a kubelet of this cluster, but no Node, joins again
            seen_there, fix = next_command.outside_seen(host, gone), next_command.outside(host, gone)
            found.append(Finding("fail", topic="host", host=host.name, seen=seen_there, fix=fix))
    for host, each in seen.items():
        if not isinstance(each, HostStatus) or not each.joined:
            continue
        down = [f"{unit} is {state}" for unit, state in each.units.items() if state != "active"]
        found += [Finding("fail", topic="host", host=host.name, seen=text) for text in down]
        if host.is_control_plane and each.api != "ok":
            found.append(Finding("fail", topic="API server", host=host.name, seen=each.api or "there is none"))
    if cluster:
        found += _of_nodes(site, cluster)
    if site.kubernetes.etcd == "stacked":
        told = tuple(naming(host, view.why(host)) for host in (*lost, *outside) if host in view.said)
        found += [
            Finding("fail", topic="etcd", seen=fault, fix="inv etcd.status") for fault in etcd.faults(view) if fault not in told
        ]
    return found


def _of_nodes(site: Site, cluster: Cluster) -> list[Finding]:
    nodes = {host: node_of(cluster.nodes, host) for host in site.nodes}
    found = [
        Finding("fail", topic="node", host=host.name, seen=f"not Ready: {cut(node.reason)}")
        for host, node in nodes.items()
        if node and not node.ready
    ]
    extra = unlisted_nodes(site, cluster.nodes)
    return found + ([Finding("warn", topic="node", host=listed(extra), seen="not in hosts.yaml")] if extra else [])


def of_balancers(seen: Mapping[Host, LbState | RunbookError]) -> list[Finding]:
    """Return what is wrong with the load balancers and the VIP."""
    found = [unread("LB", host, each) for host, each in seen.items() if isinstance(each, RunbookError)]
    states = {host: each for host, each in seen.items() if isinstance(each, LbState)}
    apart = lb.not_a_pair(states) if states else ""
    return found + ([Finding("fail", topic="VIP", seen=apart, fix="inv recover.vip")] if apart else [])


def next_look(cluster: Cluster | None, found: Sequence[Finding]) -> str:
    """Return what to run next."""
    if not cluster:
        return "inv doctor"
    commands = list(dict.fromkeys(each.fix for each in found if each.topic in {"host", *TOPICS} and each.fix))
    if len(commands) == len(found) == 1:
        return commands[0]
    return "inv doctor finds the cause, and names the command for it"


def etcd_word(view: View, host: Host) -> str:
    """Return the state of the etcd member on ``host`` in a word.

    "leader", "follower", "learner", "no leader", "no quorum", "down", or "?" when the host does not answer.
    """
    said = view.said.get(host)
    if not isinstance(said, Look):
        return "?"
    if not said.status:
        return "down"
    if not said.status.leader:
        return "no leader"
    return "learner" if said.status.learner else "leader" if said.status.leads else "follower" if said.serves else "no quorum"
