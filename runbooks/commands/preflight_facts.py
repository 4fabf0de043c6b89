"""What `commands.preflight` finds out about a host."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Reach = Literal["open", "refused", "silent"] | str


@dataclass(frozen=True, slots=True, kw_only=True)
class Space:
    """The file system that holds ``directory`` (or would). Bytes; a file system without a limit of inodes has 0 of them."""

    directory: str
    mount: str
    kind: str
    size: int
    free: int
    inodes: int
    inodes_free: int


@dataclass(frozen=True, slots=True)
class Listener:
    """A TCP port that is taken; ``program`` is "" when the kernel does not say."""

    address: str
    port: int
    program: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Fsync:
    """How long a small write takes to be safe on etcd's disk, in ms. ``tool`` is what measured, "etcd" meaning its own metrics.

    A ``tool`` of "none" has a ``reason`` instead of a number.
    """

    tool: str
    ms: float = 0.0
    kind: Literal["p99", "mean"] = "p99"
    number: int = 0
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Packages:
    """``installed`` by name; what the repositories offer, as (name, version). ``lists`` is where that was read.

    "kept": the host's own lists; "fresh": fetched for this; "none": they could not be. ``closed`` is a source that does not answer.
    """

    installed: dict[str, str]
    offered: tuple[tuple[str, str], ...]
    lists: str
    closed: str
    trouble: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """One host. Text that the host did not tell is "", a number 0; ``listeners`` is None when there is no `ss` there.

    ``container`` is "none" on a machine of its own. ``modules`` are "there", "loadable" or "missing". ``sysctls`` are value and
    whether it may be changed. ``rtts`` are ms and how they were measured. ``attempt`` is what kubeadm was started for by us and did
    not finish. ``servers`` are the API servers that a kubelet's configuration names; ``ca`` is the sha256 of the cluster CA's file.
    """

    os: str
    manager: str
    kernel: str
    hostname: str
    machine_id: str
    product_uuid: str
    container: str
    swap: tuple[str, ...]
    modules: dict[str, str]
    sysctls: dict[str, tuple[str, bool]]
    cgroup: str
    controllers: frozenset[str]
    cpus: int
    memory_kib: int
    spaces: tuple[Space, ...]
    listeners: tuple[Listener, ...] | None
    interface: str
    mtu: int
    resolved: tuple[str, ...]
    units: dict[str, str]
    ufw: bool
    sockets: tuple[str, ...]
    selinux: bool
    synchronized: str
    found: tuple[str, ...]
    servers: tuple[str, ...]
    ca: str
    attempt: str
    reached: dict[tuple[str, int], Reach]
    rtts: dict[str, tuple[float, str]]
    packages: Packages
    fsync: Fsync | None
