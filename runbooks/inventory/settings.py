"""The settings of a site, group by group, as typed, frozen values. The names of durations end in their unit."""

from pathlib import Path
from typing import Annotated, Final, Literal

import msgspec

from runbooks.inventory.base import Model
from runbooks.inventory.settings_runtime import Containerd
from runbooks.inventory.words import (
    Address,
    CronTimes,
    DnsName,
    Flags,
    HostPath,
    ImageRepository,
    LoginName,
    Name,
    Network,
    Port,
    Recipient,
    Repository,
    Settings,
    TaintText,
    Url,
    Version,
)

ETCD_DATA: Final = "/var/lib/etcd"  # kubeadm's own default for etcd.local.dataDir


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
    """What kubeadm installs besides the control plane. False where the site has its own instead."""

    coredns: bool = True
    kube_proxy: bool = True


class Audit(Model, frozen=True):
    """The API server's audit log in /var/log/kubernetes. Without ``policy``, a default policy of this tool is used."""

    policy: Path | None = None
    max_age_days: Annotated[int, msgspec.Meta(ge=1, le=3650)] = 30
    max_backups: Annotated[int, msgspec.Meta(ge=1, le=1000)] = 3
    max_size_mb: Annotated[int, msgspec.Meta(ge=1, le=10_000)] = 100


class ExtraArgs(Model, frozen=True):
    """Flags of the control plane's programs, without the leading dashes; they replace kubeadm's own."""

    api_server: Flags = msgspec.field(default_factory=dict)
    controller_manager: Flags = msgspec.field(default_factory=dict)
    scheduler: Flags = msgspec.field(default_factory=dict)
    etcd: Flags = msgspec.field(default_factory=dict)


class Kubernetes(Model, frozen=True):
    """The cluster to build. ``version`` has three parts and no leading v.

    ``cni`` is the pod network: the path of a manifest, one that comes with this tool, or "none" when it is installed by other means;
    None when the site does not say. ``kubelet`` and ``kube_proxy`` are fields of KubeletConfiguration and
    KubeProxyConfiguration; they override this tool's own. ``etcd_data_dir`` is kubeadm's dataDir, on every control plane host. ``patches`` are files for kubeadm's --patches, for every host that they apply to.
    """

    version: Version
    cluster_name: Name | None = None
    domain: DnsName = "cluster.local"
    etcd: Literal["stacked", "external"] = "stacked"
    etcd_data_dir: HostPath = ETCD_DATA
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
    patches: tuple[Path, ...] = ()


class OfNodes(Model, frozen=True):
    """What the nodes of one role have. Their Node objects: labels and annotations by key, and taints as KEY=VALUE:EFFECT.

    ``kubelet`` are fields of KubeletConfiguration, over those of the cluster; ``patches`` are files for kubeadm's --patches.
    """

    labels: Flags = msgspec.field(default_factory=dict)
    annotations: Flags = msgspec.field(default_factory=dict)
    taints: tuple[TaintText, ...] = ()
    kubelet: Settings = msgspec.field(default_factory=dict)
    patches: tuple[Path, ...] = ()


class Roles(Model, frozen=True):
    """What nodes have by their role; a host's own keys come on top."""

    control_plane: OfNodes = OfNodes()
    worker: OfNodes = OfNodes()


class Gateway(Model, frozen=True):
    """A bastion host that connections go through; its host key is checked like any other."""

    address: Address | DnsName
    user: LoginName | None = None
    port: Port = 22
    key: Path | None = None


Gateways = Gateway | tuple[Gateway, ...]  # several are passed one after the other, the first one first


class Ssh(Model, frozen=True):
    """How to log in. Relative paths are relative to the directory of hosts.yaml; ``~`` is the operator's home."""

    user: LoginName
    key: Path | None = None
    port: Port = 22
    known_hosts: Path = Path("known_hosts")
    gateway: Gateways | None = None
    parallel: Annotated[int, msgspec.Meta(ge=1, le=100)] = 10
    connect_timeout_s: Annotated[int, msgspec.Meta(ge=1, le=300)] = 10
    keepalive_s: Annotated[int, msgspec.Meta(ge=1, le=300)] = 15


class HostSsh(Model, frozen=True):
    """What one host does differently from the site's ``ssh``. An empty tuple of gateways means none."""

    user: LoginName | None = None
    key: Path | None = None
    port: Port | None = None
    gateway: Gateways | None = None


class Keep(Model, frozen=True):
    """Which backup sets are kept: the newest ``last`` sets, and the newest of each of so many days, weeks and months (UTC)."""

    last: Annotated[int, msgspec.Meta(ge=1, le=10_000)] = 7
    daily: Annotated[int, msgspec.Meta(ge=0, le=10_000)] = 7
    weekly: Annotated[int, msgspec.Meta(ge=0, le=10_000)] = 4
    monthly: Annotated[int, msgspec.Meta(ge=0, le=10_000)] = 6


class Age(Model, frozen=True):
    """Encryption with age. ``identity`` is the file of the private key, only needed where sets are read again."""

    recipients: tuple[Recipient, ...]
    identity: Path | None = None


class Restic(Model, frozen=True):
    """A copy of every set in a restic repository. Its password and other secrets are in separate files."""

    repository: Repository
    password_file: Path
    environment_file: Path | None = None
    prune: bool = False


class Backup(Model, frozen=True):
    """Where and how backups are kept on the operator's machine. ``host_directory`` is the temporary directory on each host.

    ``schedule``: when that machine makes them, in its local time.
    """

    directory: Path
    host_directory: HostPath = "/var/lib/ha-runbooks/backup"
    keep: Keep = Keep()
    max_age_h: Annotated[int, msgspec.Meta(ge=1, le=10_000)] = 26
    age: Age | None = None
    restic: Restic | None = None
    metrics: Path | None = None
    schedule: CronTimes | None = None


# What is scraped. The names are those of kube-prometheus, where it has the job.
Job = Literal[
    "apiserver", "apiserver-vip", "etcd", "kube-controller-manager", "kube-scheduler", "kubelet", "node-exporter", "haproxy"
]


class Monitoring(Model, frozen=True):
    """How Prometheus watches the site.

    ``form``: what `monitor.apply` and `monitor.render` make, objects for the Prometheus operator or files for an ordinary Prometheus. ``control_plane``:
    whether the metrics that kubeadm binds to localhost are read through a proxy on each control plane host, or whether the site has
    bound them to the hosts' addresses. ``scrapers`` may read that proxy; none means the management and pod networks. ``jobs`` are those
    that this tool sets up; None for all of them. ``node_exporter``: whether `monitor.apply` installs it where none answers, or something else
    does. ``operators`` are the machines that run `inv`, whose node_exporter tells of backups. ``differences``: the file there into which
    `cluster.diff` writes how many there are.
    """

    form: Literal["operator", "files"] = "operator"
    prometheus: Url | None = None
    alertmanager: Url | None = None
    runbooks: Url | None = None
    control_plane: Literal["proxy", "bound"] = "proxy"
    proxy_port: Port = 8406
    scrapers: tuple[Network | Address, ...] | None = None
    jobs: tuple[Job, ...] | None = None
    operators: tuple[Address | DnsName, ...] | None = None
    interval_s: Annotated[int, msgspec.Meta(ge=5, le=120)] = 30
    node_exporter: Literal["install", "present"] = "install"
    node_exporter_port: Port = 9100
    textfiles: HostPath = "/var/lib/prometheus/node-exporter"
    certificate_days: Annotated[int, msgspec.Meta(ge=8, le=300)] = 30
    namespace: Name = "monitoring"
    labels: Flags = msgspec.field(default_factory=dict)
    differences: Path | None = None
    token_file: HostPath = "/etc/prometheus/ha-runbooks.token"  # noqa: S105 - a path
    ca_file: HostPath = "/etc/prometheus/ha-runbooks-ca.crt"


class Drills(Model, frozen=True):
    """What a drill has to show (`inv drill.list`), and for how long it breaks something.

    ``outage_ms``: the longest time for which nobody gets an answer through the VIP on a new connection, ``reused_ms`` on one that is kept
    open. ``recovery_s``: from the heal until the whole cluster is verified again. ``alert_s``: from the injection until one of
    the scenario's alerts fires; None: alerts are not judged. ``hold_s``: how long the fault lasts.
    """

    outage_ms: Annotated[int, msgspec.Meta(ge=300, le=600_000)] = 5000
    reused_ms: Annotated[int, msgspec.Meta(ge=300, le=600_000)] = 15_000
    recovery_s: Annotated[int, msgspec.Meta(ge=10, le=3600)] = 180
    alert_s: Annotated[int, msgspec.Meta(ge=10, le=3600)] | None = None
    hold_s: Annotated[int, msgspec.Meta(ge=10, le=1800)] = 60
