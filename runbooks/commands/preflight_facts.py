"""The facts that `commands.preflight` reads from a host."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from runbooks.commands.load import Load
from runbooks.commands.packages import Broken
from runbooks.commands.setup_look import Setup

Reach = Literal["open", "refused", "silent"] | str

# Options of the kernel (CONFIG_...) that kubeadm of some version asks for, and another name of one: `rules.kubeadm_checks` has the versions.
OPTIONS = [
    "CGROUPS",
    "CGROUP_BPF",
    "CGROUP_CPUACCT",
    "CGROUP_DEVICE",
    "CGROUP_FREEZER",
    "CGROUP_PIDS",
    "CGROUP_SCHED",
    "CPUSETS",
    "EXT4_FS",
    "FAIR_GROUP_SCHED",
    "INET",
    "IPC_NS",
    "MEMCG",
    "NAMESPACES",
    "NET_NS",
    "NETFILTER_XT_MATCH_COMMENT",
    "NETFILTER_XT_TARGET_REDIRECT",
    "IP_NF_TARGET_REDIRECT",
    "PID_NS",
    "PROC_FS",
    "UTS_NS",
]
# Programs that kubeadm of some version asks for, and the packages that have them: in Debian's family, in Red Hat's, other names there.
PROGRAMS = {
    "conntrack": ("conntrack", "conntrack-tools"),
    "cp": ("coreutils", "coreutils"),
    "crictl": ("cri-tools", "cri-tools"),
    "ip": ("iproute2", "iproute"),
    "iptables": ("iptables", "iptables", "iptables-nft"),
    "losetup": ("mount", "util-linux"),
    "mount": ("mount", "util-linux"),
    "nsenter": ("util-linux", "util-linux"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Space:
    """The file system that holds ``directory`` (or would). Sizes in bytes; ``inodes`` is 0 without a limit of inodes."""

    directory: str
    mount: str
    kind: str
    size: int
    free: int
    inodes: int
    inodes_free: int


@dataclass(frozen=True, slots=True)
class Listener:
    """A TCP port in use; ``program`` is "" when it is unknown."""

    address: str
    port: int
    program: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Fsync:
    """How long a small synced write takes on etcd's disk, in ms. ``tool`` measured it; "etcd" means etcd's own metrics.

    With ``tool`` "none" there is a ``reason`` instead of a number.
    """

    tool: str
    ms: float = 0.0
    kind: Literal["p99", "mean"] = "p99"
    number: int = 0
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Packages:
    """``installed`` by name; what the repositories offer, as (name, version), those left out that are ``broken``."""

    installed: dict[str, str]
    offered: tuple[tuple[str, str], ...]
    broken: tuple[Broken, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """One host. A missing text is "", a missing number 0.

    container  "none" on a machine that is not a container.
    fixed      the sysctls that not even root can change.
    controllers     of cgroups; with v2 also "freezer", which is no controller there, where the kernel can freeze.
    kernel_config   the file that has the kernel's options, "configs" for a module that can be loaded to show them, "" for none.
    kernel_options  those of `OPTIONS` that the kernel has, built in or as a module.
    programs   those of `PROGRAMS` that the host has.
    listeners  None when `ss` is not installed.
    etcd_data  the names in etcd's data directory.
    proxied    NO_PROXY of containerd and the kubelet, where systemd gives them a proxy.
    servers    the API servers in the kubelet's kubeconfig files.
    ca         SHA-256 of the cluster CA's file.
    attempt    the kubeadm action that this tool started and that did not finish.
    setup      what was prepared for Kubernetes, and what undoes it at boot; nothing of its programs and containerd.
    rtts       by address: round trip in ms, and how it was measured.
    """

    os: str
    manager: str
    kernel: str
    hostname: str
    machine_id: str
    product_uuid: str
    container: str
    fixed: frozenset[str]
    cgroup: str
    controllers: frozenset[str]
    kernel_config: str
    kernel_options: frozenset[str]
    programs: frozenset[str]
    load: Load
    spaces: tuple[Space, ...]
    listeners: tuple[Listener, ...] | None
    interface: str
    mtu: int
    resolved: tuple[str, ...]
    units: dict[str, str]
    ufw: bool
    proxied: dict[str, str]
    sockets: tuple[str, ...]
    selinux: bool
    found: tuple[str, ...]
    etcd_data: tuple[str, ...]
    servers: tuple[str, ...]
    ca: str
    attempt: str
    reached: dict[tuple[str, int], Reach]
    rtts: dict[str, tuple[float, str]]
    packages: Packages
    setup: Setup
    fsync: Fsync | None
