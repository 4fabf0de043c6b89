"""The scenarios as data: what is broken where, what should happen, and what the drill does not test."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Final, Literal

from runbooks.commands import drill
from runbooks.commands.drill import Fault
from runbooks.commands.node import STATIC_PODS
from runbooks.inventory.model import Host, Site
from runbooks.inventory.words import Role

# Which host is taken when nobody says: the one whose loss is hardest.
Default = Literal["etcd's leader", "the holder of the VIP", "the last one"]
# What must be seen from outside while the fault is there; without it the drill has not happened.
Effect = Literal[
    "its API server is away", "another LB holds the VIP", "its node is not Ready", "its etcd is slow to sync its log", ""
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """One drill.

    name        of the command: ``inv drill.NAME``.
    breaks      what is broken. ``expected``: what should happen, written before it is tried.
    role        of the hosts that it can be done on; ``default`` says which of them is taken.
    member      whether the host's member of etcd is away meanwhile, or as good as away.
    is_cut      whether the host's network is cut.
    rare        whether a host may be of a kind on which it is not possible at all.
    effect      what has to be seen from outside. ``least_s``: how long the fault lasts at least, so that it can be seen.
    alerts      of which one has to fire, by name.
    not_tested  what this drill says nothing about.
    """

    name: str
    breaks: str
    expected: str
    role: Role | Literal["node"]
    default: Default
    fault: Callable[[Site, Host], Fault]
    effect: Effect = ""
    member: bool = False
    is_cut: bool = False
    rare: bool = False
    least_s: int = 0
    alerts: tuple[str, ...] = ()
    not_tested: str = ""

    @property
    def key(self) -> str:
        """The command's key, such as "drill.etcd"."""
        return f"drill.{self.name}"


def _peers(site: Site, host: Host) -> tuple[Host, ...]:
    return tuple(peer for peer in site.control_plane if peer != host)


# The kubelet's lease runs out after 40 s (node-monitor-grace-period; 50 s from Kubernetes 1.32 on).
# https://kubernetes.io/docs/concepts/architecture/nodes/#node-heartbeats
NODE_S: Final = 75

ALL: Final = (
    Scenario(
        name="kubelet",
        breaks="the kubelet of a node is stopped",
        expected="the node becomes NotReady, its Pods run on, and clients of the API notice nothing",
        role="node",
        default="the last one",
        fault=lambda site, host: drill.services("kubelet", ("kubelet",)),
        effect="its node is not Ready",
        least_s=NODE_S,
        alerts=("KubeNodeNotReady", "KubeletDown", "TargetDown"),
        not_tested="Pods that move to other nodes: that begins after five minutes",
    ),
    Scenario(
        name="apiserver",
        breaks="the API server of a control plane host is killed and does not come back",
        expected="both load balancers stop using it, and clients get answers from the others",
        role="control-plane",
        default="the last one",
        fault=lambda site, host: drill.pods("apiserver", ("kube-apiserver",)),
        effect="its API server is away",
        alerts=("KubeAPIServerDown", "HAProxyServerDown", "TargetDown"),
        not_tested="an API server that hangs instead of being gone",
    ),
    Scenario(
        name="etcd",
        breaks="a member of etcd is killed and does not come back",
        expected="the others elect a leader, no acknowledged write is lost, and the API server beside it is not used meanwhile",
        role="control-plane",
        default="etcd's leader",
        fault=lambda site, host: drill.pods("etcd", ("etcd",)),
        effect="its API server is away",
        member=True,
        alerts=("etcdMembersDown", "etcdInsufficientMembers", "HAProxyServerDown", "TargetDown"),
        not_tested="the loss of the member's data: inv recover.etcd-member",
    ),
    Scenario(
        name="master",
        breaks="the kubelet of a control plane host is stopped, and its API server, etcd, scheduler and controller-manager are killed",
        expected="etcd elects a leader, the load balancers use the other hosts, and no acknowledged write is lost",
        role="control-plane",
        default="etcd's leader",
        fault=lambda site, host: drill.master("master", STATIC_PODS),
        effect="its API server is away",
        member=True,
        alerts=("KubeAPIServerDown", "HAProxyServerDown", "etcdMembersDown", "KubeletDown", "TargetDown"),
        not_tested="a host that loses its power: its kernel goes on closing connections here, which a dead host does not",
    ),
    Scenario(
        name="haproxy",
        breaks="HAProxy is stopped on the load balancer that holds the VIP",
        expected="keepalived notices it, and the VIP moves to the other load balancer",
        role="lb",
        default="the holder of the VIP",
        fault=lambda site, host: drill.services("haproxy", ("haproxy",)),
        effect="another LB holds the VIP",
        alerts=("HAProxyDown", "VIPMoved", "VIPNotAtHome", "TargetDown"),
        not_tested="an HAProxy that hangs, and one that systemd starts again after a crash",
    ),
    Scenario(
        name="lb",
        breaks="the load balancer that holds the VIP is cut from the network, except SSH",
        expected="the other load balancer hears no adverts any more and takes the VIP",
        role="lb",
        default="the holder of the VIP",
        fault=lambda site, host: drill.cut("lb", site, host, vip=True),
        is_cut=True,
        effect="another LB holds the VIP",
        alerts=("VIPMoved", "VIPNotAtHome", "HAProxyDown", "KeepalivedStateUnknown", "TargetDown"),
        not_tested="a switch that goes on sending to the old port: the VIP stays configured on the host that was cut, as in a real cut",
    ),
    Scenario(
        name="partition",
        breaks="a control plane host is cut from the other control plane hosts, not from clients and load balancers",
        expected="its API server fails instead of answering old, the load balancers stop using it, and the others elect a leader",
        role="control-plane",
        default="etcd's leader",
        fault=lambda site, host: drill.cut("partition", site, host, _peers(site, host)),
        is_cut=True,
        effect="its API server is away",
        member=True,
        alerts=("etcdMembersDown", "etcdNoLeader", "HAProxyServerDown", "TargetDown"),
        not_tested="a cut in one direction only, and one that loses some packets",
    ),
    Scenario(
        name="slow-disk",
        breaks=f"etcd's disk of a control plane host carries out only {drill.IOPS} of etcd's writes a second",
        expected="no acknowledged write is lost; a leader that is too slow loses its leadership to a member with a good disk, and clients wait "
        "no longer than for an election",
        role="control-plane",
        default="etcd's leader",
        fault=lambda site, host: drill.slow_disk("slow-disk"),
        effect="its etcd is slow to sync its log",
        member=True,
        rare=True,
        alerts=(
            "etcdHighFsyncDurations",
            "etcdHighCommitDurations",
            "etcdMemberCommunicationSlow",
            "etcdHighNumberOfLeaderChanges",
        ),
        not_tested="a disk that fails or hangs, one that is slow to read, and one that is slow for the whole host",
    ),
)
BY_NAME: Final[Mapping[str, Scenario]] = {each.name: each for each in ALL}

# On the twin a host may fall silent as one does that has lost its power: nobody closes its connections, every packet to it is lost.
_SILENT: Final = replace(
    BY_NAME["master"],
    breaks="a control plane host is cut from the network, except SSH, as if it had lost its power",
    fault=lambda site, host: drill.cut("master", site, host),
    is_cut=True,
    not_tested="its start after a power cut: inv lab.off, then inv lab.on; and a kubelet that is stopped while the host stays: inv drill.kubelet",
)


def named(name: str, *, lab: bool) -> Scenario:
    """Return a scenario by its name. ``lab``: as it is carried out on a twin. Raises KeyError."""
    return _SILENT if lab and name == _SILENT.name else BY_NAME[name]


def scenarios(site: Site) -> tuple[Scenario, ...]:
    """Return every scenario, as it is carried out on this site."""
    return tuple(named(each.name, lab=bool(site.lab)) for each in ALL)
