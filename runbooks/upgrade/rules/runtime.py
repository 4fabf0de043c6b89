"""What a version of Kubernetes no longer runs on: cgroup v1, old versions of containerd, and kube-proxy's mode IPVS. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from runbooks.commands import yaml_text
from runbooks.commands.kubeadm_config import ClusterSettings
from runbooks.commands.settings_look import HostSettings
from runbooks.inventory.model import Host
from runbooks.rules.finding import Finding
from runbooks.rules.kubeadm_checks import NO_V1
from runbooks.upgrade.rules.tables import Minor

V2: Final = "boot the host with cgroup v2: systemd.unified_cgroup_hierarchy=1 on the kernel's command line"
ACCEPT: Final = (
    "or, for now, kubectl -n kube-system edit configmap kubelet-config: failCgroupV1: false, and the same in hosts.yaml,"
    " kubernetes.kubelet"
)
TOPIC_CGROUP, TOPIC_RUNTIME, TOPIC_PROXY = "cgroup", "containerd", "kube-proxy"
IPVS_OLD: Final[Minor] = (1, 35)  # https://github.com/kubernetes/enhancements/issues/5495: deprecated, and still there in 1.37


@dataclass(frozen=True, slots=True)
class TooOld:
    """containerd before ``version``, and the first Kubernetes that does not run with it. ``announced``: it is only said to come."""

    version: tuple[int, int]
    kubernetes: Minor
    source: str
    announced: bool = False


TOO_OLD: Final = (
    TooOld((1, 6), (1, 26), "https://kubernetes.io/blog/2022/11/18/upcoming-changes-in-kubernetes-1-26/ (CRI v1alpha2 is gone)"),
    TooOld((2, 0), (1, 38), "https://github.com/kubernetes/kubernetes/issues/135923", announced=True),
)
ANNOUNCED_FROM: Final[Minor] = (1, 36)  # from here on a containerd 1.x is worth a warning


def findings(host: Host, seen: HostSettings, cluster: ClusterSettings | None, target: Minor) -> Iterator[Finding]:
    """Yield what is wrong with cgroups and containerd on a host for ``target``; nothing when all is well."""
    yield from _cgroup(host, seen, cluster, target)
    yield from _containerd(host, seen, target)


def of_cluster(cluster: ClusterSettings, target: Minor) -> Iterator[Finding]:
    """Yield what is to be said about kube-proxy's mode."""
    if target < IPVS_OLD or not cluster.proxy:
        return
    if str(_field(cluster.proxy, "mode")) == "ipvs":
        yield Finding(
            "warn",
            topic=TOPIC_PROXY,
            seen="kube-proxy runs in mode ipvs, which is deprecated from 1.35 on and is to go",
            fix="kubectl -n kube-system edit configmap kube-proxy: mode: nftables (Linux 5.13 and newer) or iptables;"
            " then restart its pods",
        )


def accepts_v1(cluster: ClusterSettings | None) -> bool:
    """Whether the configuration that kubeadm gives to every kubelet says ``failCgroupV1: false``."""
    return cluster is not None and str(_field(cluster.kubelet, "failCgroupV1")).lower() == "false"


def _cgroup(host: Host, seen: HostSettings, cluster: ClusterSettings | None, target: Minor) -> Iterator[Finding]:
    if target < (1, NO_V1) or seen.cgroup == "v2":
        return
    if seen.cgroup != "v1":
        text = "which cgroups the host has is not known"
        yield Finding("fail", topic=TOPIC_CGROUP, host=host.name, seen=text, fix=f"on {host}: stat -fc %T /sys/fs/cgroup")
        return
    if accepts_v1(cluster):
        text = "cgroup v1: the cluster's configuration of kubelets accepts it (failCgroupV1: false), kubeadm has to be told to"
        yield Finding("warn", topic=TOPIC_CGROUP, host=host.name, seen=text, fix=V2)
        return
    text = f"cgroup v1: the kubelet of 1.{NO_V1} does not start on it, and kubeadm refuses it"
    yield Finding("fail", topic=TOPIC_CGROUP, host=host.name, seen=text, fix=f"{V2}; {ACCEPT}")


def _containerd(host: Host, seen: HostSettings, target: Minor) -> Iterator[Finding]:
    found = re.match(r"(\d+)\.(\d+)", seen.containerd)
    if not found:
        text = "the version of containerd is not known"
        yield Finding("fail", topic=TOPIC_RUNTIME, host=host.name, seen=text, fix=f"on {host}: containerd --version")
        return
    version = (int(found[1]), int(found[2]))
    if version[0] == 1 and seen.containerd_config >= 3:
        text = (
            f"containerd {seen.containerd} has a configuration of version {seen.containerd_config}, with which it does not start"
        )
        yield Finding("fail", topic=TOPIC_RUNTIME, host=host.name, seen=text, fix="inv cluster.prepare")
    for old in TOO_OLD:
        if version >= old.version:
            continue
        if old.kubernetes <= target:
            text = f"containerd {seen.containerd}: {_text(old.kubernetes)} needs {_text(old.version)} or newer"
            yield Finding("fail", topic=TOPIC_RUNTIME, host=host.name, seen=text, fix=_newer(host))
            return
        if old.announced and target >= ANNOUNCED_FROM:
            text = f"containerd {seen.containerd}: {_text(old.kubernetes)} is announced to need {_text(old.version)} or newer"
            yield Finding("warn", topic=TOPIC_RUNTIME, host=host.name, seen=text, fix=_newer(host))


def _newer(host: Host) -> str:
    return f"inv upgrade.containerd --only {host}, before the upgrade that needs it; a repository of the host has to offer a newer one"


def _field(text: str, name: str) -> object:
    try:
        return yaml_text.mapping(text).get(name, "")
    except ValueError:
        return ""


def _text(version: tuple[int, int]) -> str:
    return f"{version[0]}.{version[1]}"
