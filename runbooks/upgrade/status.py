"""`inv upgrade.status`: every version of every node in one table, and how far an upgrade has come."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING

from runbooks.commands.versions import AddonPod, ClusterVersions, HostVersions
from runbooks.errors import OutcomeError, RunbookError
from runbooks.inventory.model import Host, Site
from runbooks.rules.finding import Finding, at_least, for_machines, shown, told
from runbooks.rules.upgrade_seen import CONTROL_PLANE, NodeSeen, Seen, text, version_in
from runbooks.rules.upgrade_standing import Standing, standing
from runbooks.text import counted, first_few, table
from runbooks.upgrade.look import Readings, look
from runbooks.upgrade.rules import status as rules

if TYPE_CHECKING:
    from runbooks.engine.session import Session

HEADER = (
    *("node", "kubeadm", "kubelet", "kubectl", "API server", "controller-manager", "scheduler", "etcd", "kube-proxy"),
    *("containerd", "kernel", "OS"),
)
TOLD = 6


def show(session: Session) -> None:
    """Print the table and the findings. Raises OutcomeError when there is no cluster, or a finding is worse than a note."""
    site, readings = session.site, look(session.run)
    joined = [each.joined for each in readings.hosts.values() if isinstance(each, HostVersions)]
    if joined and not any(joined):
        raise OutcomeError(f"{site.name}: no cluster yet", hint="inv cluster.init builds it")
    versions = rules.seen(site, readings.hosts, readings.cluster)
    state = standing(versions)
    found = rules.findings(site, readings.hosts, readings.cluster, state)
    wrong = at_least("warn", found)
    if session.options.json:
        print(json.dumps(for_programs(readings, versions, state, found)))
    else:
        print(f"{site.name}: {_head(readings, versions)}\n")
        print(nodes_table(site, readings, versions))
        print("\n" + shown([each for each in found if each.severity != "ok" or each.topic == "upgrade"]))
    if wrong:
        lines = first_few([told(each) for each in wrong], TOLD)
        raise OutcomeError("\n       ".join(lines), hint=next((each.fix for each in wrong if each.fix), ""))


def _head(readings: Readings, versions: Seen) -> str:
    config = f"kubeadm-config {text(versions.config)}"
    if isinstance(readings.cluster, str):
        return f"{config} ({readings.cluster})"
    words = [config]
    for name, image, pods in _addons(readings.cluster):
        words.append(f"{name} {image_text(image)} ({counted(len(pods), 'pod')})" if image else f"{name}: none")
    return ", ".join(words)


def _addons(cluster: ClusterVersions) -> list[tuple[str, str, Sequence[AddonPod]]]:
    return [("CoreDNS", cluster.dns, cluster.dns_pods), ("kube-proxy", cluster.proxy, cluster.proxy_pods)]


def image_text(image: str) -> str:
    """Return the version in an image's tag, else the whole name.

    >>> image_text("registry.k8s.io/coredns/coredns:v1.14.2"), image_text("dns@sha256:00")
    ('1.14.2', 'dns@sha256:00')
    """
    version = version_in(image)
    return text(version) if version else image


def nodes_table(site: Site, readings: Readings, versions: Seen) -> str:
    """Return the table: one line per node, "?" for what could not be read."""
    by_name = {node.name: node for node in versions.nodes}
    return table(HEADER, [_row(host, readings.hosts[host], by_name[host.name]) for host in site.nodes])


def _row(host: Host, said: HostVersions | RunbookError, node: NodeSeen) -> list[str]:
    if isinstance(said, RunbookError):
        return [host.name, "does not answer", *[""] * (len(HEADER) - 2)]
    if not said.joined:
        return [host.name, "not joined", *[""] * (len(HEADER) - 2)]
    parts = [rules.installed_and_running(node.manifests.get(name), node.runs.get(name)) for name in CONTROL_PLANE]
    parts.append(rules.etcd_cell(node.manifests.get("etcd"), node.runs.get("etcd")))
    return [
        host.name,
        text(node.kubeadm),
        rules.installed_and_running(node.kubelet, node.kubelet_runs),
        text(node.kubectl),
        *(parts if node.control_plane else [""] * len(parts)),
        text(node.proxy) if node.proxy else "-",
        rules.installed_and_running(rules.installed(said, "containerd"), rules.running(said, "containerd")),
        said.kernel,
        said.os,
    ]


def for_programs(readings: Readings, versions: Seen, state: Standing, found: Sequence[Finding]) -> dict[str, object]:
    """Return the result as JSON: versions are texts, null for what is not known."""
    cluster = readings.cluster
    hosts = {
        node.name: _host(node, next(each for host, each in readings.hosts.items() if host.name == node.name))
        for node in versions.nodes
    }
    upgrade = asdict(state) | {"to": _plain(state.to), "since": _plain(state.since)}
    return {
        "ok": not at_least("warn", found),
        "findings": [for_machines(each) for each in found],
        "upgrade": upgrade,
        "kubeadm_config": _plain(versions.config),
        "addons": None
        if isinstance(cluster, str)
        else {name: {"image": image, "pods": [asdict(pod) for pod in pods]} for name, image, pods in _addons(cluster)},
        "hosts": hosts,
    }


def _host(node: NodeSeen, said: HostVersions | RunbookError) -> dict[str, object]:
    if isinstance(said, RunbookError):
        return {"error": str(said)}
    programs = {
        "kubelet": node.kubelet_runs,
        "containerd": rules.running(said, "containerd"),
        "kube-proxy": node.proxy,
        **node.runs,
    }
    return {
        "joined": said.joined,
        "packages": dict(said.packages),
        "held": sorted(said.held),
        "installed": {name: _plain(rules.installed(said, name)) for name in ("kubeadm", "kubelet", "kubectl", "containerd")},
        "manifests": {name: _plain(version) for name, version in node.manifests.items()},
        "images": dict(said.images),
        "running": {name: _plain(version) for name, version in programs.items()},
        "kernel": said.kernel,
        "os": said.os,
    }


def _plain(version: tuple[int, int, int] | None) -> str | None:
    return text(version) if version else None
