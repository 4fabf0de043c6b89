"""The cgroup driver of a living cluster: the kubelet and containerd of a node change it together, or no Pod starts there. Pure.

https://kubernetes.io/docs/tasks/administer-cluster/kubeadm/configure-cgroup-driver/#migrating-to-the-systemd-driver
https://kubernetes.io/docs/setup/production-environment/container-runtimes/#cgroup-drivers : better replace the node than change its driver.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

from runbooks.commands import yaml_text
from runbooks.rules.finding import Finding

FIELD: Final = "cgroupDriver"
WHY: Final = "no Pod starts where the kubelet and containerd have different ones"


def of(configuration: str) -> str:
    """Return the driver in a KubeletConfiguration, "" when it names none, or is none."""
    try:
        return str(yaml_text.mapping(configuration).get(FIELD, ""))
    except ValueError:
        return ""


def way(there: str, wanted: str, kubelet_map: str, host: str = "") -> str:
    """Return what to do; ``kubelet_map``: the name of the ConfigMap, from which a host that joins gets its driver."""
    where = host or "HOST"
    return (
        f"write {there} as kubernetes.cgroup_driver; or change it host by host: kubectl -n kube-system edit configmap {kubelet_map}: "
        f"{FIELD}: {wanted}; then inv cluster.remove --host {where}, inv cluster.prepare --host {where}, inv cluster.join --host {where}"
    )


def refusals(topic: str, wanted: str, kubelet_map: str, kept: str, files: Mapping[str, str]) -> Iterator[Finding]:
    """Yield a failure for each kubelet, and for the cluster's ConfigMap, that has another driver than hosts.yaml (``wanted``).

    ``kept``: the KubeletConfiguration in the ConfigMap, "" when it is not asked for; ``files``: those of hosts, by name.
    """
    for host, text in {"": kept, **files}.items():
        there = of(text)
        if there not in {"", wanted}:
            who = "its kubelet has" if host else f"the ConfigMap {kubelet_map} has"
            seen = f"{who} the cgroup driver {there}, and hosts.yaml says {wanted}: {WHY}"
            yield Finding("fail", topic=topic, host=host, seen=seen, fix=way(there, wanted, kubelet_map, host))
