"""Which versions the cluster's objects show: is an upgrade unfinished, do the versions fit, does hosts.yaml have the same? Pure.

`inv upgrade.status` asks the hosts and their programs; here the Nodes, the static pods and kubeadm-config count, which are read anyway. A
static pod's object has its manifest's image as long as its kubelet runs, and the image of the container that runs.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from runbooks.commands.lock import Holder
from runbooks.commands.node_objects import Node
from runbooks.commands.objects import NODES, Cluster, Pod, control_plane_pods, pods_in
from runbooks.inventory.model import Host, Site
from runbooks.rules import upgrade_skew
from runbooks.rules.finding import Finding, Severity, at_least
from runbooks.rules.upgrade_seen import CONTROL_PLANE, NodeSeen, Seen, Version, text, version_in
from runbooks.rules.upgrade_standing import Standing, standing
from runbooks.rules.verify import node_of
from runbooks.text import counted, listed

VERSIONS, UPGRADE, HOSTS_YAML = "versions", "upgrade", "hosts.yaml"
TOPICS = frozenset({VERSIONS, UPGRADE, HOSTS_YAML, upgrade_skew.TOPIC})
KUBE_PROXY = "kube-proxy"
COMMANDS = "inv upgrade."  # begins the name of each command that upgrades something


def seen(site: Site, cluster: Cluster) -> Seen:
    """Return the versions of all hosts that have a Node; the others are not in the cluster, which other checks report.

    A host that does not answer has the versions that were last reported: they do not change while it is off.
    """
    nodes = {host: node for host in site.nodes if (node := node_of(cluster.nodes, host))}
    pods = {pod.name: pod for pod in cluster.pods if pod.namespace == "kube-system"}
    proxies = {pod.node: pod for pod in pods.values() if pod.labels.get("k8s-app") == KUBE_PROXY and not pod.leaving}
    return Seen(
        nodes=tuple(_node(host, node, pods, proxies.get(node.name)) for host, node in nodes.items()),
        config=version_in(cluster.config.get("kubernetesVersion", "")),
    )


def _node(host: Host, node: Node, pods: dict[str, Pod], proxy: Pod | None) -> NodeSeen:
    there = {name: pods.get(f"{name}-{node.name}") for name in CONTROL_PLANE if host.is_control_plane}
    return NodeSeen(
        name=host.name,
        control_plane=host.is_control_plane,
        kubelet_runs=version_in(node.version),
        proxy=version_in(proxy.image) if proxy else None,
        manifests={name: version_in(pod.image) if pod else None for name, pod in there.items()},
        runs={name: _runs(pod) if pod else None for name, pod in there.items()},
    )


def _runs(pod: Pod) -> Version | None:
    """Return the version that runs. A runtime may name the image by its digest, or by another tag of it: then the manifest's counts."""
    return (version_in(pod.runs) or version_in(pod.image)) if pod.runs else None


def findings(site: Site, cluster: Cluster, place: str = HOSTS_YAML) -> list[Finding]:
    """Return how far an upgrade has come, versions that do not fit one another, and another version in hosts.yaml.

    ``place``: where kubernetes.version stands, such as "hosts.yaml:12". What other checks report as unread is not told again.
    """
    if error := cluster.errors.get(control_plane_pods()):
        return [Finding("warn", topic=VERSIONS, seen=f"not known: {error}", fix="inv upgrade.status")]
    if {NODES, pods_in("kube-system")} & cluster.errors.keys():
        return []
    versions = seen(site, cluster)
    if not versions.control_plane:
        return []  # each of its hosts is reported as one that is not in the cluster
    state = standing(versions)
    found = [*_standing(state, versions, _untold(cluster, versions, state)), *_hosts_yaml(site, state, versions, place)]
    return [*found, *(at_least("warn", upgrade_skew.now(versions)) if versions.servers else [])]


def _untold(cluster: Cluster, versions: Seen, state: Standing) -> list[str]:
    """Return which of the missing versions no other check explains: pods that are not ready are reported."""
    ready = {pod.name for pod in cluster.pods if pod.ready}
    down = {
        f"{name} on {node.name}" for node in versions.control_plane for name in node.parts if f"{name}-{node.name}" not in ready
    }
    return [each for each in state.missing if each not in down]


def _standing(state: Standing, versions: Seen, untold: list[str]) -> list[Finding]:
    if state.state == "whole":
        number = counted(len(versions.nodes), "kubelet")
        return [Finding("ok", topic=VERSIONS, seen=f"{text(state.to)} everywhere: kubeadm-config, control plane, {number}")]
    if state.state == "mixed":
        fix = "inv upgrade.status; compare /etc/kubernetes/manifests on each host with kubeadm-config"
        return [Finding("warn", topic=VERSIONS, seen=state.why, fix=fix)]
    behind = [node for node in versions.nodes if node.kubelet_runs and state.to and node.kubelet_runs < state.to]
    if state.state == "unknown" and not behind:
        seen_there = f"not known, so an upgrade may be unfinished: {listed(untold)}"
        return [Finding("warn", topic=VERSIONS, seen=seen_there, fix="inv upgrade.status")] if untold else []
    severity: Severity = "note" if state.state == "nodes" and not state.begun else "warn"
    to = text(state.to)
    return [Finding(severity, topic=UPGRADE, seen=_unfinished(state, versions), fix=f"inv upgrade.run --to {to}")]


def _unfinished(state: Standing, versions: Seen) -> str:
    """Return how many hosts of an unfinished upgrade have arrived, and which have not."""
    since = state.since or _oldest(versions)
    kubelets = sum(node.kubelet_runs == state.to for node in versions.nodes)
    masters = sum(all(pair == (state.to, state.to) for pair in node.parts.values()) for node in versions.control_plane)
    arrived = f"{masters} of {counted(len(versions.control_plane), 'control plane host')} and {kubelets} of {counted(len(versions.nodes), 'kubelet')}"
    words = [f"an upgrade from {text(since)} to {text(state.to)} is unfinished: {arrived} have {text(state.to)}"]
    words += [f"in the middle: {listed(state.begun)}"] if state.begun else []
    words += [f"to go: {listed(state.left)}"] if state.left else []
    words += [f"not known: {listed(state.missing)}"] if state.state == "unknown" else []
    if versions.config not in {None, state.to}:
        words.append(f"kubeadm-config says {text(versions.config)}: `kubeadm upgrade apply` has not finished")
    return "; ".join(words)


def _oldest(versions: Seen) -> Version | None:
    return min((node.kubelet_runs for node in versions.nodes if node.kubelet_runs), default=None)


def _hosts_yaml(site: Site, state: Standing, versions: Seen, place: str) -> list[Finding]:
    """Return a warning when hosts.yaml has another version than the whole cluster, or than both ends of an unfinished upgrade."""
    wanted, to = version_in(site.kubernetes.version), state.to
    known = {to} if state.state == "whole" else {to, state.since or _oldest(versions)}
    if state.state in {"mixed", "unknown"} or wanted in known or not to:
        return []
    runs = f"the whole cluster runs {text(to)}" if state.state == "whole" else f"the cluster is being upgraded to {text(to)}"
    fix = f"write in {place}: version: {text(to)}"
    if wanted and wanted > to:
        fix = f"inv upgrade.run --to {text(wanted)}; or, if the cluster is to stay as it is, {fix}"
    return [
        Finding(
            "warn",
            topic=HOSTS_YAML,
            seen=f"kubernetes.version is {site.kubernetes.version}, {runs}",
            why=f"the next join would install {site.kubernetes.version}",
            fix=fix,
        )
    ]


# ---- while it runs


def is_upgrade(holder: Holder) -> bool:
    """Whether the command that holds the site's lock upgrades something."""
    return holder.what.startswith(COMMANDS)


def meanwhile(found: Iterable[Finding], holder: Holder | None) -> list[Finding]:
    """Return the findings; with a ``holder`` that upgrades, what is unfinished is running: a note, and no command but to wait."""
    if not holder or not is_upgrade(holder):
        return list(found)
    who = f"{holder.user}@{holder.machine} is running {holder.what} (since {holder.since})"
    wait = "wait until it has ended; inv site.lock shows whether it has"
    return [
        replace(each, severity="note", seen=f"{each.seen.replace(' is unfinished:', ' is on its way:', 1)}; {who}", fix=wait)
        if each.topic == UPGRADE
        else each
        for each in found
    ]
