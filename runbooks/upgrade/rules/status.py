"""What `inv upgrade.status` finds, and what the plan of an upgrade begins with: the readings as versions, and their findings. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from runbooks.commands.objects import KUBEADM_CONFIG
from runbooks.commands.versions import COREDNS, KUBE_PROXY, PODS, AddonPod, ClusterVersions, HostVersions
from runbooks.errors import RunbookError, reason
from runbooks.inventory.model import Host, Site
from runbooks.rules import upgrade_skew
from runbooks.rules.finding import Finding, unread
from runbooks.rules.upgrade_seen import CONTROL_PLANE, NodeSeen, Seen, Version, each, newest, text, version_in
from runbooks.rules.upgrade_standing import Standing
from runbooks.rules.upgrade_standing import findings as unfinished
from runbooks.text import listed

HostReading = HostVersions | RunbookError


def seen(site: Site, hosts: Mapping[Host, HostReading], cluster: ClusterVersions | str) -> Seen:
    """Return the readings as versions. ``cluster`` is a text when no API server answered, which says why."""
    nodes = tuple(node(host, hosts[host], cluster) for host in site.nodes)
    lost = {host.name: reason(host, each) for host, each in hosts.items() if isinstance(each, RunbookError)}
    if isinstance(cluster, str):
        lost["kubeadm-config"] = cluster
        return Seen(nodes=nodes, unread=lost)
    if KUBEADM_CONFIG in cluster.errors:
        lost["kubeadm-config"] = cluster.errors[KUBEADM_CONFIG]
    return Seen(nodes=nodes, config=version_in(cluster.config), unread=lost)


def node(host: Host, said: HostReading, cluster: ClusterVersions | str) -> NodeSeen:
    """Return the versions on one host; without the objects of a cluster, those of its pods as their processes say them."""
    if isinstance(said, RunbookError):
        return NodeSeen(name=host.name, control_plane=host.is_control_plane)
    pods = () if isinstance(cluster, str) else cluster.proxy_pods
    own = next((pod for pod in pods if host.is_called(pod.node)), None)
    names = (*CONTROL_PLANE, "etcd") if host.is_control_plane else ()
    return NodeSeen(
        name=host.name,
        control_plane=host.is_control_plane,
        kubeadm=installed(said, "kubeadm"),
        kubectl=installed(said, "kubectl"),
        kubelet=installed(said, "kubelet"),
        kubelet_runs=running(said, "kubelet"),
        proxy=version_in(own.image) if own else running(said, "kube-proxy"),
        manifests={name: version_in(said.images.get(name, "")) for name in names},
        runs={name: running(said, name) for name in names},
    )


def installed(said: HostVersions, name: str) -> Version | None:
    """Return the version of an installed program: its own word, else the package's."""
    return version_in(said.programs.get(name, "")) or version_in(said.packages.get(name, ""))


def running(said: HostVersions, name: str) -> Version | None:
    """Return the version of a running program: the oldest, when an old process is still there beside the new one."""
    return min((version for words in said.runs.get(name, ()) if (version := version_in(words))), default=None)


# ---- findings


def findings(site: Site, hosts: Mapping[Host, HostReading], cluster: ClusterVersions | str, state: Standing) -> list[Finding]:
    """Return all findings: hosts that were not read first, then how far the upgrade has come, versions that do not fit, etcd, addons."""
    versions = seen(site, hosts, cluster)
    lost = [unread("host", host, each) for host, each in hosts.items() if isinstance(each, RunbookError)]
    found = [*dict.fromkeys(lost)]
    outside = [host.name for host, each in hosts.items() if isinstance(each, HostVersions) and not each.joined]
    found += [Finding("fail", topic="host", host=name, seen="it is in no cluster", fix="inv cluster.status") for name in outside]
    found += [each for each in unfinished(state, versions) if each.host not in {lost.host for lost in lost}]
    found += upgrade_skew.now(versions)
    found += _hosts_yaml(site, state)
    found += _etcd(site, versions)
    found += _runtimes(hosts)
    found += _addons(site, versions, cluster, state)
    return list(dict.fromkeys(found))


def _hosts_yaml(site: Site, state: Standing) -> list[Finding]:
    """Return a warning when hosts.yaml has another version than the control plane has arrived at: the next join would install that one."""
    if state.state not in {"whole", "nodes"} or text(state.to) == site.kubernetes.version:
        return []
    words = f"kubernetes.version is {site.kubernetes.version}, the control plane is {text(state.to)}"
    return [Finding("warn", topic="hosts.yaml", seen=words, fix=f"write {text(state.to)} as kubernetes.version in hosts.yaml")]


def _etcd(site: Site, versions: Seen) -> list[Finding]:
    if site.kubernetes.etcd != "stacked":
        return []
    runs = {node.name: node.runs.get("etcd") for node in versions.control_plane if node.runs}
    found = []
    if unknown := [name for name, version in runs.items() if version is None]:
        found.append(Finding("fail", topic="etcd", host=listed(unknown), seen="no running etcd was found", fix="inv etcd.status"))
    if len({version for version in runs.values() if version}) > 1:
        found.append(Finding("warn", topic="etcd", seen=f"versions differ: {each(runs)}", fix="inv etcd.status"))
    for node in versions.control_plane:
        wanted, runs_here = node.manifests.get("etcd"), node.runs.get("etcd")
        if wanted and runs_here and wanted != runs_here:
            words = f"the tag of its image says {text(wanted)}, {text(runs_here)} runs; kubeadm goes by the tag"
            fix = f"nothing, if your registry has it under that tag; else on {node.name}: crictl ps -a --name etcd"
            found.append(Finding("note", topic="etcd", host=node.name, seen=words, fix=fix))
    return found


def _runtimes(hosts: Mapping[Host, HostReading]) -> list[Finding]:
    found = []
    for host, said in hosts.items():
        if isinstance(said, RunbookError):
            continue
        there, runs = installed(said, "containerd"), running(said, "containerd")
        if there and runs and there != runs:
            words = f"{text(there)} is installed, {text(runs)} runs"
            found.append(
                Finding("warn", topic="containerd", host=host.name, seen=words, fix=f"on {host}: systemctl restart containerd")
            )
    return found


def _addons(site: Site, versions: Seen, cluster: ClusterVersions | str, state: Standing) -> list[Finding]:
    if isinstance(cluster, str):
        return []
    found = []
    addons = (
        (site.kubernetes.addons.coredns, "CoreDNS", COREDNS, cluster.dns, cluster.dns_pods, "deployment/coredns"),
        (site.kubernetes.addons.kube_proxy, "kube-proxy", KUBE_PROXY, cluster.proxy, cluster.proxy_pods, "daemonset/kube-proxy"),
    )
    for wanted, name, path, image, pods, workload in addons:
        if wanted:
            error = cluster.errors.get(path) or cluster.errors.get(PODS) or ("" if image else "there is none")
            found += _addon(name, error, image, pods, f"kubectl -n kube-system rollout status {workload}")
    behind = version_in(cluster.proxy)
    if site.kubernetes.addons.kube_proxy and state.state in {"whole", "nodes"} and state.to and behind and behind != state.to:
        seen_there = f"its DaemonSet has {text(behind)}, the control plane is {text(state.to)}: kubeadm upgrades it after the last control plane host"
        last = newest_host(versions)
        found.append(Finding("warn", topic="kube-proxy", seen=seen_there, fix=f"on {last}: kubeadm upgrade node"))
    return found


def newest_host(versions: Seen) -> str:
    """Return the control plane host on which kubeadm is newest, the last one of several."""
    best = newest(node.kubeadm for node in versions.control_plane)
    return next((node.name for node in reversed(versions.control_plane) if node.kubeadm == best), "a control plane host")


def _addon(name: str, error: str, image: str, pods: Sequence[AddonPod], fix: str) -> list[Finding]:
    if error:
        return [Finding("fail", topic=name, seen=f"not read: {error}" if error != "there is none" else error, fix=fix)]
    old = [pod.node or "no node" for pod in pods if pod.image != image]
    late = [pod.node or "no node" for pod in pods if pod.image == image and not pod.ready]
    found = []
    if old:
        found.append(Finding("warn", topic=name, host=listed(old), seen=f"its pod does not have the image {image} yet", fix=fix))
    if late:
        found.append(Finding("warn", topic=name, host=listed(late), seen="its pod is not Ready", fix=fix))
    return found


# ---- cells of the table


def etcd_cell(tag: Version | None, runs: Version | None) -> str:
    """Return the cell of etcd: what runs, and the tag of its image where that says something else (a registry may have its own).

    >>> etcd_cell((3, 6, 8), (3, 6, 8)), etcd_cell((3, 4, 13), (3, 5, 16))
    ('3.6.8', '3.5.16 (tag 3.4.13)')
    """
    return text(runs) if tag == runs or not tag else f"{text(runs)} (tag {text(tag)})"


def installed_and_running(there: Version | None, runs: Version | None) -> str:
    """Return a cell: one version when both are the same, else what runs and what will; "?" for what is not known.

    >>> installed_and_running((1, 36, 3), (1, 36, 3)), installed_and_running((1, 36, 3), (1, 36, 2)), installed_and_running(None, (3, 6, 8))
    ('1.36.3', '1.36.2 (then 1.36.3)', '3.6.8 (then ?)')
    """
    return text(runs) if there == runs else f"{text(runs)} (then {text(there)})"
