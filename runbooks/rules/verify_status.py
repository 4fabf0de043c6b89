"""What the quick look at a cluster makes of what it sees. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from runbooks.commands.etcd import Look
from runbooks.commands.verify import Quick
from runbooks.commands.verify_objects import Cluster
from runbooks.errors import RunbookError
from runbooks.inventory.model import Host, Site
from runbooks.rules import etcd
from runbooks.rules.etcd import View
from runbooks.rules.verify import cut, node_of, reason, strangers
from runbooks.text import listed, naming

HostSeen = Mapping[Host, Quick | RunbookError]


def no_cluster(seen: HostSeen) -> bool:
    """Whether nobody ever began a cluster: every host that answers is in none, and some control plane host answers."""
    answers = [each for host, each in seen.items() if isinstance(each, Quick) and host.is_control_plane]
    everyone = [each for each in seen.values() if isinstance(each, Quick)]
    return bool(answers) and not any(each.joined or each.manifests for each in everyone)


def problems(site: Site, seen: HostSeen, view: View, cluster: Cluster | None) -> list[str]:
    """Return everything that is wrong, in the operator's words."""
    lost = {host: each for host, each in seen.items() if isinstance(each, RunbookError)}
    found = [f"{host}: {reason(host, each)}" for host, each in lost.items()]
    outside = [host for host, each in seen.items() if isinstance(each, Quick) and not each.joined]
    absent = [host for host in site.nodes if host in outside or (cluster and not node_of(cluster.nodes, host))]
    found += [f"not joined: {listed(absent)}"] if absent else []
    for host, each in seen.items():
        if not isinstance(each, Quick) or not each.joined:
            continue
        found += [f"{host}: {unit} is {state}" for unit, state in each.units.items() if state != "active"]
        if host.is_control_plane and each.api != "ok":
            found.append(f"{host}: its API server: {each.api or 'there is none'}")
    if cluster:
        found += _of_nodes(site, cluster)
    if site.kubernetes.etcd == "stacked":
        told = tuple(naming(host, view.why(host)) for host in (*lost, *outside) if host in view.said)
        found += [f"etcd: {fault}" for fault in etcd.faults(view) if fault not in told]
    return found


def _of_nodes(site: Site, cluster: Cluster) -> list[str]:
    nodes = {host: node_of(cluster.nodes, host) for host in site.nodes}
    found = [f"{host} is not Ready: {cut(node.reason)}" for host, node in nodes.items() if node and not node.ready]
    extra = strangers(site, cluster.nodes)
    return found + ([f"not in hosts.yaml: {', '.join(extra)}"] if extra else [])


def next_look(cluster: Cluster | None, trouble: Sequence[str]) -> str:
    """Return where to go on."""
    if not cluster:
        return "on a control plane host: journalctl -u kubelet -n 50; crictl ps -a; inv etcd.status"
    if any(text.startswith("not joined") for text in trouble):
        return "inv cluster.join brings in who is missing; inv cluster.verify looks at everything"
    return "inv cluster.verify looks at everything, and says what to do"


def etcd_word(view: View, host: Host) -> str:
    """Return what the member on ``host`` is, in a word.

    "leader", "follower", "learner", "no quorum", "down", or "?" of a host that does not answer.
    """
    said = view.said.get(host)
    if not isinstance(said, Look):
        return "?"
    if not said.status:
        return "down"
    if not said.status.leader:
        return "no leader"
    return "learner" if said.status.learner else "leader" if said.status.leads else "follower" if said.serves else "no quorum"
