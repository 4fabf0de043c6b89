"""A host that is fit for Kubernetes, to be spoilt in one way by each test."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from runbooks.commands import preflight
from runbooks.commands.clock import Clock
from runbooks.commands.containerd import Config
from runbooks.commands.load import Load
from runbooks.commands.node import NodeState
from runbooks.commands.preflight_facts import OPTIONS, PROGRAMS, Facts, Fsync, Packages, Space
from runbooks.commands.setup_look import Setup, sysctls
from runbooks.inventory.model import Host
from tests.support.fakes import site

GIB = 1024**3
OFFERED = (
    *((name, "1.28.0-1.1") for name in ("kubeadm", "kubelet", "kubectl", "cri-tools")),
    ("containerd", "1.6.20~ds1-1"),
)
CLOCK = Clock(-0.05, 0.05)


# What was prepared on a host, and holds.
PREPARED = Setup(
    modules={"overlay": "there", "br_netfilter": "there"},
    barred={},
    sysctls=dict.fromkeys(sysctls(site()), "1"),
    boot={},
    swap=(),
    swap_at_boot=(),
    loose=(),
    containerd=Config(cgroups="systemd", sandbox="k8s/pause:3.9"),
    clock="",
    times=("chronyd",),
    synchronized="yes",
)


def worker(number: int = 1) -> Host:
    return site().workers[number - 1]


def room(directory: str, free: float, size: float = 100, mount: str = "", inodes: tuple[int, int] = (1000, 900)) -> Space:
    """A file system of ``size`` GiB with ``free`` GiB left."""
    return Space(
        directory=directory,
        mount=mount or directory,
        kind="ext4",
        size=int(size * GIB),
        free=int(free * GIB),
        inodes=inodes[0],
        inodes_free=inodes[1],
    )


# A host that has nothing to do.
QUIET = Load(
    time_s=864_000.0,
    cores=2,
    averages=(0.3, 0.2, 0.2),
    jiffies=172_800_000,
    pressure={("cpu", "some"): 1.0, ("io", "full"): 0.5, ("memory", "full"): 0.0},
    memory=8_388_608,
    available=6_291_456,
)


def facts(host: Host, **changes: Any) -> Facts:
    """What a fit ``host`` of the example site says, but for ``changes``."""
    the = site()
    reached = {(str(peer.address), port): "refused" for peer, ports in preflight.peers(the, host).items() for port in ports}
    master = host.is_control_plane
    fit = Facts(
        os="Debian GNU/Linux 12 (bookworm)",
        manager="apt-get",
        kernel="6.1.0-18-amd64",
        hostname=host.name,
        machine_id=f"{host.name}-id",
        product_uuid=f"{host.name}-uuid",
        container="none",
        fixed=frozenset(),
        cgroup="v2",
        controllers=frozenset({"cpu", "cpuset", "freezer", "io", "memory", "pids"}),
        kernel_config="/boot/config-6.1.0-18-amd64",
        kernel_options=frozenset(OPTIONS) - {"IP_NF_TARGET_REDIRECT"},
        programs=frozenset(PROGRAMS),
        load=QUIET,
        setup=PREPARED,
        spaces=tuple(room(directory, 50) for directory in preflight.directories(the, host)),
        listeners=(),
        interface="eth0",
        mtu=1500,
        resolved=(str(the.endpoint.vip),),
        units={"firewalld": "inactive", "containerd": "inactive", "kubelet": "inactive"},
        ufw=False,
        proxied={},
        sockets=(),
        selinux=False,
        found=(),
        etcd_data=(),
        servers=(),
        ca="",
        attempt="",
        reached=reached | {(str(the.endpoint.vip), the.endpoint.port): "open"},
        rtts={str(peer.address): (0.3, "ping") for peer in the.control_plane if master and peer != host},
        packages=Packages(installed={}, offered=OFFERED, broken=()),
        fsync=Fsync(tool="fio", ms=1.2, kind="p99", number=500) if master else None,
    )
    return replace(fit, **changes)


# What a host is before anything was installed on it.
EMPTY_NODE = NodeState(
    packages={},
    held=frozenset(),
    attempt="",
    running=False,
    units={},
    manifests=frozenset(),
    files=frozenset(),
    ca="",
    api="",
    server="",
)
