"""What kubeadm's own preflight asks of a host, by version. Pure.

Official source: cmd/kubeadm/app/preflight/checks.go and k8s.io/system-validators (SystemVerification), read in the source of 1.20.2 and of
1.31 to 1.36. docs/preflight.md has the table of all of kubeadm's checks; its test compares these rules with it.
"""

from __future__ import annotations

from collections.abc import Mapping

from runbooks.inventory.model import Site

Version = tuple[int, int, int]

# ---- cgroups

CONTROLLERS: Mapping[str, frozenset[str]] = {
    "v1": frozenset({"cpu", "cpuacct", "cpuset", "devices", "freezer", "memory", "pids"}),
    "v2": frozenset({"cpu", "cpuset", "memory", "pids"}),
}
NO_V1 = 35  # the first version whose kubelet does not start on cgroup v1 by default, and whose kubeadm refuses it


def controllers(minor: int, cgroup: str) -> frozenset[str]:
    """Return the controllers that kubeadm of 1.``minor`` requires; from 1.32 on, cgroup v2 has to be able to freeze (Linux 5.2)."""
    freezer = {"freezer"} if cgroup == "v2" and minor >= 32 else set()
    return CONTROLLERS.get(cgroup, frozenset()) | freezer


def kubelet_takes_cgroup_v1(site: Site, minor: int) -> bool:
    """Whether the kubelet of 1.``minor`` starts on cgroup v1 with the site's settings.

    https://kubernetes.io/docs/reference/config-api/kubelet-config.v1beta1/ : failCgroupV1 is there from 1.31 on, and true by default
    from 1.35 on.
    """
    return minor < 31 or site.kubernetes.kubelet.get("failCgroupV1", minor >= NO_V1) is False


def accepts_cgroup_v1(site: Site, version: Version) -> bool:
    """Whether kubeadm has to be told to ignore SystemVerification on a host with cgroup v1.

    kubeadm of 1.35 and newer decides by the version of the kubelet, and refuses cgroup v1 also where ``failCgroupV1: false`` lets the
    kubelet start on it. So its check is ignored when, and only when, the site says so and the version is one of these; whether the
    host has cgroup v1 is seen on the host. What else the check covers (kernel, its options, controllers) is in our own preflight.
    """
    return version[:2] >= (1, NO_V1) and site.kubernetes.kubelet.get("failCgroupV1") is False


# ---- kernel

BASE = [
    "NAMESPACES",
    "NET_NS",
    "PID_NS",
    "IPC_NS",
    "UTS_NS",
    "CPUSETS",
    "MEMCG",
    "INET",
    "EXT4_FS",
    "PROC_FS",
    "NETFILTER_XT_TARGET_REDIRECT",
    "NETFILTER_XT_MATCH_COMMENT",
]
OF_V1 = ("CGROUPS", "CGROUP_CPUACCT", "CGROUP_DEVICE", "CGROUP_FREEZER", "CGROUP_SCHED")
OF_V2 = ("CGROUPS", "CGROUP_BPF", "CGROUP_PIDS", "CGROUP_SCHED")
ALSO_CALLED: Mapping[str, str] = {"NETFILTER_XT_TARGET_REDIRECT": "IP_NF_TARGET_REDIRECT"}


def options(minor: int, cgroup: str) -> tuple[str, ...]:
    """Return the options (CONFIG_...) that kubeadm of 1.``minor`` requires of the kernel. Between 1.20 and 1.31 some were added."""
    found = [*BASE, *(["FAIR_GROUP_SCHED"] if minor >= 31 else [])]
    if minor >= NO_V1:
        found += OF_V2 if cgroup == "v2" else (*OF_V1, "CGROUP_PIDS")
    elif minor >= 32:
        found.append("CGROUPS")
    else:
        found += (*OF_V1, *(["CGROUP_PIDS"] if minor >= 31 else []))
    return tuple(found)


def lacking(wanted: tuple[str, ...], there: frozenset[str]) -> list[str]:
    """Return the options of ``wanted`` that a kernel with the options ``there`` does not have under any of their names."""
    return [name for name in wanted if not {name, ALSO_CALLED.get(name, name)} & there]


def oldest_kernel(minor: int) -> tuple[int, int]:
    """Return the oldest kernel that kubeadm of 1.``minor`` knows as good. From 1.34 on it only warns about others."""
    return (3, 10) if minor < 32 else (4, 19) if minor < 34 else (5, 4)


# ---- programs


def programs(minor: int) -> tuple[str, ...]:
    """Return the programs without which kubeadm of 1.``minor`` stops.

    >>> programs(36)
    ('losetup', 'mount', 'cp')
    """
    if minor >= 33:
        return ("losetup", "mount", "cp")
    early = (*(("crictl",) if minor < 31 else ()), *(("conntrack",) if minor < 32 else ()))
    return (*early, "ip", "iptables", "mount", "nsenter")
