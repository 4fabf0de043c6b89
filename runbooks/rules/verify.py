"""Checks of hosts, nodes, API servers, leaders and kubeadm's record; `verify_*` has the others. Pure: facts in, findings out."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace

from runbooks.commands.kubectl import through_vip, url
from runbooks.commands.node_objects import CONTROL_PLANE_KEYS, Node
from runbooks.commands.objects import KUBEADM_CONFIG, LEASES, NODES, Cluster
from runbooks.commands.verify import Health, HostFacts, Written
from runbooks.errors import RunbookError, reason
from runbooks.inventory.model import Host, Site
from runbooks.inventory.words import literal
from runbooks.rules import next_command
from runbooks.rules.etcd import View
from runbooks.rules.finding import Finding, unread
from runbooks.text import age_text, listed

LEADERS = ("kube-scheduler", "kube-controller-manager")


def judged(
    topic: str, host: str, *, wrong: Sequence[str] = (), odd: Sequence[str] = (), fine: str = "", fix: str = ""
) -> Finding:
    """Return one finding: "fail" if anything is ``wrong``, "warn" if anything is ``odd``, else "ok" with the text ``fine``."""
    if wrong or odd:
        return Finding("fail" if wrong else "warn", topic=topic, host=host, seen="; ".join([*wrong, *odd]), fix=fix)
    return Finding("ok", topic=topic, host=host, seen=fine)


def node_of(nodes: Iterable[Node], host: Host) -> Node | None:
    """Return the Node of ``host``, found by name or else by address, or None."""
    found = {node.name: node for node in nodes}
    by_address = {node.address: node for node in found.values()}
    return found.get(host.name) or by_address.get(str(host.address))


def unlisted_nodes(site: Site, nodes: Iterable[Node]) -> list[str]:
    """Return the names of Nodes that are not in hosts.yaml."""
    nodes = list(nodes)
    known = {node.name for host in site.nodes if (node := node_of(nodes, host))}
    return [node.name for node in nodes if node.name not in known]


# ---- hosts and nodes


def no_cluster(facts: Mapping[Host, HostFacts | RunbookError]) -> bool:
    """Whether there is no cluster yet: a control plane host answers, and no host that answers is in a cluster."""
    answers = {host: seen for host, seen in facts.items() if isinstance(seen, HostFacts)}
    asked = any(host.is_control_plane for host in answers)
    return asked and not any(seen.joined or seen.manifests for seen in answers.values())


def remembered(site: Site, view: View, nodes: Iterable[Node]) -> set[Host]:
    """Return the hosts of which the cluster has a Node, or etcd a member, whether or not it runs."""
    nodes = list(nodes)
    members = {host for member in view.members if (host := view.host_of(member))}
    return members | {host for host in site.nodes if node_of(nodes, host)}


def hosts(facts: Mapping[Host, HostFacts | RunbookError], remembered: Collection[Host] = ()) -> list[Finding]:
    """Return a failure for each host that does not answer, has not joined, or whose kubelet or containerd does not run.

    ``remembered`` are the hosts of which the cluster still has a Node or a member of etcd.
    """
    rows = []
    for host, seen in facts.items():
        if isinstance(seen, RunbookError):
            rows.append(replace(unread("host", host, seen), fix=next_command.unreachable(host, seen)))
        elif not seen.joined:
            fix = next_command.outside(host, remembered)
            rows.append(Finding("fail", topic="host", host=host.name, seen=next_command.outside_seen(host, remembered), fix=fix))
        else:
            rows += [
                Finding(
                    "fail", topic="host", host=host.name, seen=f"{unit} is {state}", fix=f"on {host}: journalctl -u {unit} -n 50"
                )
                for unit, state in seen.units.items()
                if state != "active"
            ]
    return rows


def cut(text: str, limit: int = 160) -> str:
    """Return ``text`` cut to ``limit`` characters."""
    return text if len(text) <= limit else f"{text[: limit - 3]}..."


def nodes(site: Site, cluster: Cluster, outside: Collection[Host] = ()) -> list[Finding]:
    """Return a finding per host that should be a node, and a warning for each node that is not in hosts.yaml.

    Hosts ``outside`` have not joined, which `hosts` reports; they get a finding here only if a Node of their name is left.
    """
    if error := cluster.errors.get(NODES):
        return [Finding("fail", topic="node", seen=error, fix="inv cluster.status")]
    rows = []
    for host in site.nodes:
        node = node_of(cluster.nodes, host)
        if node:
            rows.append(_node(host, node))
        elif host not in outside:
            rows.append(
                Finding("fail", topic="node", host=host.name, seen="is not in the cluster", fix=next_command.outside(host, ()))
            )
    rows += [
        Finding(
            "warn",
            topic="node",
            host=name,
            seen="is not in hosts.yaml",
            fix=f"if it is in service: add it to hosts.yaml; only if its machine is gone for good: kubectl delete node {name}",
        )
        for name in unlisted_nodes(site, cluster.nodes)
    ]
    return rows


def _node(host: Host, node: Node) -> Finding:
    wrong, odd = [], []
    fixes = []
    if not node.ready:
        wrong.append(f"not Ready: {cut(node.reason)}")
        fixes.append(f"inv cluster.status; on {host}: journalctl -u kubelet -n 50")
    if node.pressure:
        wrong.append(listed(node.pressure))
        fixes.append(f"kubectl describe node {node.name}")
    if reason := _unmarked(host, node):
        wrong.append(reason)
        fixes.append(f"kubectl label/taint node {node.name}, as kubeadm does: kubeadm init phase mark-control-plane --help")
    if node.cordoned and node.marked:
        odd.append("cordoned by an upgrade, which has not taken it back")
        fixes.append(
            "inv upgrade.run with the same --to, or inv upgrade.containerd, whichever it was, goes on;"
            f" if no upgrade is wanted any more: kubectl uncordon {node.name}"
        )
    elif node.cordoned:
        odd.append("cordoned: takes no new pods")
        fixes.append(f"kubectl uncordon {node.name}")
    return judged("node", host.name, wrong=wrong, odd=odd, fine=f"Ready, {node.version}", fix="; ".join(fixes))


def _unmarked(host: Host, node: Node) -> str:
    """Return which label or taint a control plane node lacks, or "". A host that is a worker too needs no taint."""
    if not host.is_control_plane:
        return ""
    if not node.is_control_plane:
        return "lacks the label of a control plane"
    if not host.is_worker and not CONTROL_PLANE_KEYS & node.taints:
        return "lacks the taint of a control plane, so any pod can run there"
    return ""


# ---- API servers, leaders


def api_servers(site: Site, asked: Mapping[Host, Sequence[Health]]) -> list[Finding]:
    """Return a finding per API server, asked directly by its own host, and one for the VIP, asked by all of them."""
    rows = []
    for host, answers in asked.items():
        own = [each for each in answers if each.server == url(host.address)]
        wrong = [_unwell(each) for each in own if not each.ok] or ([] if own else ["it was not asked"])
        fine = ", ".join(f"{each.what} ok ({each.passed} checks)" for each in own)
        fix = f"on {host}: crictl ps -a --name kube-apiserver; crictl logs ID"
        rows.append(judged("API server", host.name, wrong=wrong, fine=fine, fix=fix))
    return [*rows, *_by_vip(site, asked)]


def _by_vip(site: Site, asked: Mapping[Host, Sequence[Health]]) -> list[Finding]:
    vip = through_vip(site)
    if not asked:
        return []
    from_whom: dict[str, list[str]] = {}
    for host, answers in asked.items():
        said = "; ".join(_unwell(each) for each in answers if each.server == vip and not each.ok)
        from_whom.setdefault(said, []).append(host.name)
    wrong = [f"{said} (asked from {', '.join(names)})" for said, names in from_whom.items() if said]
    fine = f"readyz ok, asked from {listed(asked)}"
    return [
        judged(
            "API by VIP",
            "",
            wrong=wrong,
            fine=fine,
            fix="inv lb.status: does an LB hold the VIP, and does it see the API servers UP?",
        )
    ]


def readers(asked: Mapping[Host, Sequence[Health]]) -> list[Host]:
    """Return the hosts whose API server answers, healthy ones first: the objects can be read from any of them."""
    own = {host: [each for each in answers if each.server == url(host.address)] for host, answers in asked.items()}
    answering = [host for host, answers in own.items() if any(not each.error for each in answers)]
    return sorted(answering, key=lambda host: sum(not each.ok for each in own[host]))


def is_well(host: Host, health: Sequence[Health]) -> bool:
    """Return whether the API server of ``host`` answers and no check of its own fails."""
    own = [each for each in health if each.server == url(host.address)]
    return bool(own) and all(each.ok for each in own)


def _unwell(health: Health) -> str:
    return f"{health.what}: " + (f"failed: {', '.join(health.failed)}" if health.failed else health.error)


def leaders(site: Site, cluster: Cluster) -> list[Finding]:
    """Return one finding for the leader of the scheduler and one for that of the controller-manager."""
    error = cluster.errors.get(LEASES)
    found = {lease.name: lease for lease in cluster.leases}
    rows = []
    for name in LEADERS:
        lease, wrong, odd = found.get(name), [], []
        holder = lease.holder.rpartition("_")[0] if lease else ""
        age = cluster.clock - lease.renewed if lease else 0
        if not lease or not lease.holder:
            wrong.append(f"{name}: {error or 'it has no leader'}")
        elif age > lease.duration_s:
            wrong.append(f"{name}: its lease was last renewed {age_text(age)} ago")
        elif not any(_is(host, holder) for host in site.control_plane):
            odd.append(f"{name} is led by {holder}, which is no control plane host of hosts.yaml")
        fix = f"on each control plane host: crictl ps -a --name {name}; crictl logs ID"
        rows.append(
            judged("leader", holder, wrong=wrong, odd=odd, fine=f"leads {name}, renewed {age_text(max(age, 0))} ago", fix=fix)
        )
    return rows


def _is(host: Host, hostname: str) -> bool:
    """Whether ``hostname``, which the leader took from its own host, is that of ``host``."""
    return hostname == str(host.address) or host.is_called(hostname)


# ---- a write, and kubeadm's record


def written(host: Host, result: Written | RunbookError) -> Finding:
    """Return the finding of a write and a read through the VIP from ``host``."""
    if isinstance(result, RunbookError):
        return Finding(
            "fail", topic="write by VIP", host=host.name, seen=reason(host, result), fix=result.hint or "inv cluster.status"
        )
    fine = "an object " + ", ".join(f"{what} ({ms} ms)" for what, ms in result.took.items())
    fix = "inv etcd.status; inv lb.status"
    return judged("write by VIP", host.name, wrong=[result.error] if result.error else [], fine=fine, fix=fix)


def config(site: Site, cluster: Cluster) -> Finding:
    """Compare kubeadm's record (ConfigMap kubeadm-config), which the next join or upgrade uses, with hosts.yaml."""
    if error := cluster.errors.get(KUBEADM_CONFIG):
        return Finding("warn", topic="kubeadm-config", seen=error, fix="kubectl -n kube-system get configmap kubeadm-config")
    wanted = {
        "clusterName": {site.cluster_name},
        "controlPlaneEndpoint": set(endpoints(site)),
        "networking.podSubnet": {str(site.networks.pods)},
        "networking.serviceSubnet": {str(site.networks.services)},
        "networking.dnsDomain": {site.kubernetes.domain},
    }
    odd = [
        f"{key} is {cluster.config.get(key, 'missing')}, hosts.yaml says {min(values)}"
        for key, values in wanted.items()
        if cluster.config.get(key) not in values
    ]
    fix = "correct hosts.yaml: these settings of a cluster do not change after it was built"
    return judged("kubeadm-config", "", odd=odd, fine=f"{site.name}, {cluster.config.get('controlPlaneEndpoint')}", fix=fix)


def endpoints(site: Site) -> tuple[str, ...]:
    """Return the valid forms of the API endpoint: by name, if there is one, and by VIP."""
    by_vip = f"{literal(site.endpoint.vip)}:{site.endpoint.port}"
    return (*((f"{site.endpoint.name}:{site.endpoint.port}",) if site.endpoint.name else ()), by_vip)
