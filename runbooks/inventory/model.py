"""The site as typed, frozen values: what hosts.yaml says once it has passed every check.

Durations carry their unit in the name. Addresses are ``ipaddress`` objects, never text, so that IPv4 and IPv6 are treated alike.
"""

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network
Port = Annotated[int, msgspec.Meta(ge=1, le=65535)]
Priority = Annotated[int, msgspec.Meta(ge=1, le=254)]
Role = Literal["lb", "control-plane", "worker"]
# A pattern's description is what an operator reads when a value does not match: "X is not <description>".
# The patterns end in \Z because $ would let a line break through, and so into a rendered file.
LABEL = r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?"
NAME = rf"^{LABEL}\Z"
DNS_NAME = rf"^(?=.{{1,253}}\Z)(?!(.*\.)?[0-9]+\Z){LABEL}(\.{LABEL})*\Z"
PLAIN_NAME = "a name of lower-case letters, digits and inner hyphens (63 at most)"
Name = Annotated[str, msgspec.Meta(pattern=NAME, description=PLAIN_NAME)]
DnsName = Annotated[
    str, msgspec.Meta(pattern=DNS_NAME, description="a DNS name such as k8s-api.company.local (lower case, no dot at the end)")
]
Interface = Annotated[
    str,
    msgspec.Meta(
        pattern=r"^[A-Za-z0-9][A-Za-z0-9_.@-]{0,14}\Z", description="a network interface such as eth0 (15 characters at most)"
    ),
]
LoginName = Annotated[
    str,
    msgspec.Meta(
        pattern=r"^[a-z_][a-z0-9_-]{0,31}\Z", description="a login name (lower-case letters, digits, hyphens and underscores)"
    ),
]
Version = Annotated[
    str,
    msgspec.Meta(pattern=r"^1\.[0-9]{1,3}\.[0-9]{1,3}\Z", description='a Kubernetes version of three parts, such as "1.30.0"'),
]
ImageRepository = Annotated[
    str,
    msgspec.Meta(
        pattern=r"^[a-z0-9]([a-z0-9.:-]*[a-z0-9])?(/[a-z0-9]([a-z0-9._-]*[a-z0-9])?)*\Z",
        description="a registry, perhaps with a path, such as registry.company.local:5000/k8s",
    ),
]
Flags = dict[str, str]
Settings = dict[str, Any]
UrlPath = Annotated[
    str, msgspec.Meta(pattern=r"^/[A-Za-z0-9/_.~-]*\Z", description="a URL path such as /healthz (letters, digits and / _ . ~ -)")
]


class Model(msgspec.Struct, frozen=True, kw_only=True):
    """Base of every part of the site: immutable, compared by value."""


class Endpoint(Model, frozen=True):
    """Where clients find the API server: ``vip:port``, also known as ``name`` when there is one."""

    vip: Address
    port: Port = 6443
    name: DnsName | None = None


class Networks(Model, frozen=True):
    """``management`` holds the hosts and the VIP; none of the four may overlap another."""

    management: Network
    pods: Network
    services: Network
    storage: Network | None = None


class Addons(Model, frozen=True):
    """What kubeadm installs besides the control plane. Switch off what the site brings itself."""

    coredns: bool = True
    kube_proxy: bool = True


class Audit(Model, frozen=True):
    """The API server's audit log in /var/log/kubernetes. Without a policy of one's own, who did what to which object is kept."""

    policy: Path | None = None
    max_age_days: Annotated[int, msgspec.Meta(ge=1, le=3650)] = 30
    max_backups: Annotated[int, msgspec.Meta(ge=1, le=1000)] = 3
    max_size_mb: Annotated[int, msgspec.Meta(ge=1, le=10_000)] = 100


class Containerd(Model, frozen=True):
    """The container runtime. ``restrict_oom_score_adj`` is for hosts that are containers themselves."""

    restrict_oom_score_adj: bool = False


class ExtraArgs(Model, frozen=True):
    """Flags of the control plane's programs, without the leading dashes; they go before kubeadm's own."""

    api_server: Flags = msgspec.field(default_factory=dict)
    controller_manager: Flags = msgspec.field(default_factory=dict)
    scheduler: Flags = msgspec.field(default_factory=dict)
    etcd: Flags = msgspec.field(default_factory=dict)


class Kubernetes(Model, frozen=True):
    """The cluster to build. ``version`` has three parts and no leading v.

    ``cni`` is the pod network: the path of a manifest, one that comes with this tool, or "none" when somebody else installs it;
    None when the site does not say. ``kubelet`` and ``kube_proxy`` are fields of KubeletConfiguration and
    KubeProxyConfiguration, laid over ours.
    """

    version: Version
    domain: DnsName = "cluster.local"
    etcd: Literal["stacked", "external"] = "stacked"
    cni: Literal["flannel", "none"] | Path | None = None
    addons: Addons = Addons()
    image_repository: ImageRepository | None = None
    cgroup_driver: Literal["systemd", "cgroupfs"] = "systemd"
    swap: Literal["off", "keep"] = "off"
    containerd: Containerd = Containerd()
    audit: Audit = Audit()
    extra_args: ExtraArgs = ExtraArgs()
    kubelet: Settings = msgspec.field(default_factory=dict)
    kube_proxy: Settings = msgspec.field(default_factory=dict)


class Vrrp(Model, frozen=True):
    """VRRP between the two LBs. Version 3 has no authentication and allows adverts below one second (RFC 5798).

    Version 2 sends an 8-character secret in clear text and needs whole seconds between adverts.
    """

    id: Annotated[int, msgspec.Meta(ge=1, le=255)]
    version: Literal[2, 3] = 3
    advert_ms: Annotated[int, msgspec.Meta(ge=100, le=10_000)] = 200
    preempt_delay_s: Annotated[int, msgspec.Meta(ge=0, le=1000)] = 1


class Ingress(Model, frozen=True):
    """Optional front ends for an ingress controller that listens on a node port of every worker."""

    http: bool = False
    https: bool = False
    http_node_port: Port = 30080
    https_node_port: Port = 30443
    health_path: UrlPath = "/healthz"


class Limits(Model, frozen=True):
    """HAProxy's limits: connections in all, per API server, and waiting per API server."""

    maxconn: Annotated[int, msgspec.Meta(ge=100, le=1_000_000)] = 3000
    server_maxconn: Annotated[int, msgspec.Meta(ge=10, le=1_000_000)] = 250
    server_maxqueue: Annotated[int, msgspec.Meta(ge=0, le=1_000_000)] = 256


class LoadBalancer(Model, frozen=True):
    """HAProxy and keepalived on the two hosts with role ``lb``."""

    interface: Interface
    vrrp: Vrrp
    stats_port: Port = 9000
    metrics_port: Port = 8405
    health_port: Port = 8404
    ingress: Ingress = Ingress()
    limits: Limits = Limits()


class Gateway(Model, frozen=True):
    """A bastion host that connections go through; its host key is checked like any other."""

    address: Address | DnsName
    user: LoginName | None = None
    port: Port = 22
    key: Path | None = None


class Ssh(Model, frozen=True):
    """How to log in. Relative paths are meant beside hosts.yaml; ``~`` is the operator's home."""

    user: LoginName
    key: Path | None = None
    port: Port = 22
    known_hosts: Path = Path("known_hosts")
    gateway: Gateway | None = None
    parallel: Annotated[int, msgspec.Meta(ge=1, le=100)] = 10
    connect_timeout_s: Annotated[int, msgspec.Meta(ge=1, le=300)] = 10
    keepalive_s: Annotated[int, msgspec.Meta(ge=1, le=300)] = 15


class HostSsh(Model, frozen=True):
    """What one host does differently from the site's ``ssh``."""

    user: LoginName | None = None
    key: Path | None = None
    port: Port | None = None
    gateway: Gateway | None = None


class Backup(Model, frozen=True):
    """Where backups go on the operator's machine."""

    directory: Path


class Host(Model, frozen=True):
    """One machine. ``priority`` and ``interface`` matter to an LB; ``weight`` (0-256) to what an LB sends to this host."""

    name: Name
    address: Address
    roles: tuple[Role, ...]
    priority: Priority | None = None
    interface: Interface | None = None
    weight: Annotated[int, msgspec.Meta(ge=0, le=256)] = 100
    ssh: HostSsh = HostSsh()

    def __str__(self) -> str:
        return self.name


class LabTwin(Model, frozen=True):
    """Written by `inv lab.up` into the twin's own site file: the network namespace that its addresses live in."""

    namespace: Name


class Site(Model, frozen=True):
    """The whole site, with ``hosts`` in the order of the file."""

    name: Name
    endpoint: Endpoint
    networks: Networks
    kubernetes: Kubernetes
    load_balancer: LoadBalancer
    ssh: Ssh
    hosts: tuple[Host, ...]
    backup: Backup | None = None
    example: bool = False
    lab: LabTwin | None = None

    @property
    def load_balancers(self) -> tuple[Host, ...]:
        """The LBs, highest VRRP priority first: in this order they are meant to hold the VIP."""
        found = [host for host in self.hosts if "lb" in host.roles]
        return tuple(sorted(found, key=lambda host: -(host.priority or 0)))

    @property
    def control_plane(self) -> tuple[Host, ...]:
        """The control plane hosts in the order of the file; the first is the one that initialises the cluster."""
        return tuple(host for host in self.hosts if "control-plane" in host.roles)

    @property
    def workers(self) -> tuple[Host, ...]:
        """The workers in the order of the file."""
        return tuple(host for host in self.hosts if "worker" in host.roles)
