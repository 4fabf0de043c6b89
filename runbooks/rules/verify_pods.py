"""Checks of the cluster's own pods. Pure: objects in, findings out."""

from __future__ import annotations

from collections.abc import Sequence

from runbooks.commands.node import STATIC_PODS
from runbooks.commands.objects import Cluster, Pod, pods_in
from runbooks.inventory.model import Host, Site
from runbooks.rules.finding import Finding
from runbooks.rules.verify import judged, node_of
from runbooks.text import HOUR, age_text, counted, first_few, listed

RECENT_S = HOUR
TOLD = 4  # how many pods a finding names
KUBE_PROXY, COREDNS = "kube-proxy", "kube-dns"  # label k8s-app of their pods
# Namespaces of pod networks that do not run in kube-system.
NETWORK_NAMESPACES = ("kube-flannel", "calico-system", "tigera-operator", "cilium", "kube-ovn")


def pods(site: Site, cluster: Cluster, namespaces: Sequence[str]) -> list[Finding]:
    """Return the findings about static pods, kube-proxy, CoreDNS and all other pods in ``namespaces``."""
    unread = [Finding("fail", topic="pods", seen=f"{name}: {cluster.errors[path]}", fix="inv cluster.status") for name in namespaces
              if (path := pods_in(name)) in cluster.errors]  # fmt: skip
    if unread:
        return unread
    rows = [_static(site, cluster, host) for host in site.control_plane if node_of(cluster.nodes, host)]
    if site.kubernetes.addons.kube_proxy:
        rows.append(_kube_proxy(site, cluster))
    if site.kubernetes.addons.coredns:
        rows.append(_coredns(cluster))
    judged_above = {pod.name for host in site.control_plane for pod in _static_of(cluster, host).values()}
    labels = _judged_labels(site)
    others = [pod for pod in cluster.pods if pod.name not in judged_above and pod.labels.get("k8s-app") not in labels]
    if others:
        rows.append(_others(cluster, others))
    return rows


def _judged_labels(site: Site) -> set[str]:
    addons = site.kubernetes.addons
    return {label for label, on in ((KUBE_PROXY, addons.kube_proxy), (COREDNS, addons.coredns)) if on}


def components(site: Site) -> tuple[str, ...]:
    """Return the names of the static pods that every control plane host runs."""
    return tuple(name for name in STATIC_PODS if name != "etcd" or site.kubernetes.etcd == "stacked")


def _static_of(cluster: Cluster, host: Host) -> dict[str, Pod]:
    node = node_of(cluster.nodes, host)
    found = {pod.name: pod for pod in cluster.pods if pod.namespace == "kube-system"}
    wanted = {name: f"{name}-{node.name if node else host.name}" for name in STATIC_PODS}
    return {name: found[pod] for name, pod in wanted.items() if pod in found}


def _static(site: Site, cluster: Cluster, host: Host) -> Finding:
    there = _static_of(cluster, host)
    by_reason: dict[str, list[str]] = {}
    for name in components(site):
        if name not in there:
            by_reason.setdefault("missing", []).append(name)
        elif not there[name].ready:
            by_reason.setdefault(_why(cluster, there[name]), []).append(name)
    wrong = [f"{listed(names)}: {reason}" for reason, names in by_reason.items()]
    fine = f"{len(components(site))} ready" + _restarts(cluster, list(there.values()))
    fix = f"on {host}: ls /etc/kubernetes/manifests; crictl ps -a; journalctl -u kubelet -n 50"
    return judged("static pods", host.name, wrong=wrong, fine=fine, fix=fix)


def _kube_proxy(site: Site, cluster: Cluster) -> Finding:
    there = [pod for pod in cluster.pods if pod.labels.get("k8s-app") == KUBE_PROXY and not pod.leaving]
    ready = {pod.node for pod in there if pod.ready}
    nodes = {str(host): node for host in site.nodes if (node := node_of(cluster.nodes, host))}
    why = {pod.node: _why(cluster, pod) for pod in there if not pod.ready}
    wrong = [f"not ready on {host} ({why.get(node.name, 'missing')})" for host, node in nodes.items() if node.name not in ready]
    fix = "kubectl -n kube-system get pods -o wide -l k8s-app=kube-proxy; kubectl -n kube-system logs POD"
    return judged(
        "kube-proxy", "", wrong=wrong, fine=f"ready on {counted(len(nodes), 'node')}{_restarts(cluster, there)}", fix=fix
    )


def _coredns(cluster: Cluster) -> Finding:
    there = [pod for pod in cluster.pods if pod.labels.get("k8s-app") == COREDNS and not pod.leaving]
    wrong = [f"{pod.name}: {_why(cluster, pod)}" for pod in there if not pod.ready] if there else ["there is none"]
    fix = "kubectl -n kube-system describe pods -l k8s-app=kube-dns"
    return judged("coredns", "", wrong=wrong, fine=f"{len(there)} ready{_restarts(cluster, there)}", fix=fix)


def _others(cluster: Cluster, there: Sequence[Pod]) -> Finding:
    wanted = [pod for pod in there if not pod.leaving and pod.phase not in {"Succeeded", "Failed"}]
    bad = [pod for pod in wanted if not pod.ready]
    ended = [pod for pod in there if pod.phase == "Failed" and not pod.leaving]
    first = (bad or ended or list(there))[0]
    where = listed(sorted({pod.namespace for pod in there}))
    return judged(
        "other pods",
        "",
        wrong=first_few([f"{pod.name}{f' on {pod.node}' if pod.node else ''}: {_why(cluster, pod)}" for pod in bad], TOLD),
        odd=first_few([f"{pod.name} has ended ({pod.why})" for pod in ended], TOLD),
        fine=f"{len(wanted)} ready in {where}{_restarts(cluster, wanted)}",
        fix=f"kubectl -n {first.namespace} {'describe' if bad else 'delete'} pod {first.name}",
    )


def _why(cluster: Cluster, pod: Pod) -> str:
    """Return why a pod is not ready. On a node that is not Ready the pod's own state is outdated."""
    lost = any(node.name == pod.node and not node.ready for node in cluster.nodes)
    return "its node is not Ready" if lost else pod.why


def _restarts(cluster: Cluster, there: Sequence[Pod]) -> str:
    """Return the pods that restarted within the last hour, or "". Restarts are not a failure, but help to find the cause of one."""
    recent = [pod for pod in there if pod.restarts and 0 <= cluster.clock - pod.restarted < RECENT_S]
    told = [
        f"{pod.name.removesuffix(f'-{pod.node}')} {age_text(cluster.clock - pod.restarted)} ago"
        + (f" ({pod.restarts} in all)" if pod.restarts > 1 else "")
        for pod in recent
    ]
    return f"; restarted: {listed(first_few(told, TOLD))}" if told else ""
