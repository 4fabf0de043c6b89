"""kubeadm's configuration files, in the API version that each kubeadm reads.

https://kubernetes.io/docs/reference/config-api/kubeadm-config.v1beta4/ (and v1beta3; v1beta2 is in the source of kubeadm 1.20).
Every field that is not set here keeps kubeadm's default, its timeouts included.
"""

import re
from collections.abc import Iterable, Mapping
from typing import Any

from runbooks.commands.base import Secret
from runbooks.commands.kubeadm import DISCOVERY
from runbooks.commands.prepare import SOCKET
from runbooks.errors import InventoryError
from runbooks.inventory.checks_ports import API_PORT
from runbooks.inventory.model import Host, Site, over
from runbooks.inventory.words import literal
from runbooks.rules.kubeadm_args import check
from runbooks.rules.kubeadm_documents import documents

Version = tuple[int, int, int]
Document = dict[str, Any]

FIRST, LAST = (1, 20), (1, 37)
# kubeadm needs the scheme from 1.24 on; 1.20 to 1.23 accept it too.
CRI_SOCKET = f"unix://{SOCKET}"
AUDIT_POLICY = "/etc/kubernetes/audit-policy.yaml"
AUDIT_DIRECTORY = "/var/log/kubernetes"
AUDIT_LOG = f"{AUDIT_DIRECTORY}/audit.log"
# `kubeadm init` always makes a token. Hosts that join in the same run use it, later ones get another: it may expire soon.
TOKEN_TTL = "15m0s"  # noqa: S105 - a duration
OWN_API = (1, 33)  # from this version on the kubelet of a control plane host uses that host's own API server
LEARNERS = (1, 29)  # from this version on kubeadm adds a member of etcd as a learner, unless it is told otherwise
TOKEN = r"[a-z0-9]{6}\.[a-z0-9]{16}"  # noqa: S105 - its form
VERSION = re.compile(r"v?([0-9]+)\.([0-9]+)\.([0-9]+)(?:-[0-9A-Za-z.-]+)?(?:\+[0-9A-Za-z.-]+)?")
PACKAGE = re.compile(r"(?:[0-9]+:)?([0-9]+)\.([0-9]+)\.([0-9]+)(?:[-+~].*)?")


def parse(text: str) -> Version:
    """Parse a version as Kubernetes' programs print it. Raises ValueError for anything else.

    >>> parse("v1.31.0-rc.1+x")
    (1, 31, 0)
    """
    return _version(VERSION, text)


def kubeadm_version(package: str) -> Version:
    """Parse the version of a deb or rpm package. Raises ValueError for anything else.

    >>> kubeadm_version("0:1.28.0-150500.1.1")
    (1, 28, 0)
    """
    return _version(PACKAGE, package.rpartition("+really")[2])  # Debian marks a downgrade this way: NEW+reallyOLD


def minor_of(site: Site) -> int:
    """Return the minor version of hosts.yaml: 30 for 1.30.0."""
    return int(site.kubernetes.version.split(".")[1])


def api_version(version: Version) -> str:
    """Return the API version of the configuration for kubeadm ``version``.

    Raises InventoryError for an unsupported version: older than 1.20, or another major version.
    """
    major, minor, _ = version
    if major != FIRST[0] or minor < FIRST[1]:
        raise InventoryError(
            f"kubernetes.version: {'.'.join(map(str, version))} is not supported, only {_dotted(FIRST)} and newer"
            f" (checked up to {_dotted(LAST)})"
        )
    if minor < 22:
        return "v1beta2"
    return "v1beta3" if minor < 31 else "v1beta4"


def skip_phases(site: Site, version: Version) -> tuple[str, ...]:
    """Return the phases for `kubeadm init --skip-phases`: addons that are off. None from v1beta4 on, where the configuration disables them."""
    if api_version(version) == "v1beta4":
        return ()
    addons = site.kubernetes.addons
    return tuple(phase for phase, on in (("addon/coredns", addons.coredns), ("addon/kube-proxy", addons.kube_proxy)) if not on)


def init_config(site: Site, host: Host, version: Version, certificate_key: Secret | None, token: Secret | None = None) -> Secret:
    """Return the file for `kubeadm init --config` on ``host``, the first control plane host.

    ``version`` is kubeadm's own. ``certificate_key`` (64 hex digits) is for `--upload-certs`. ``token`` is the bootstrap token to
    make; without one kubeadm makes one up. Raises InventoryError for settings of
    the site that would break what kubeadm manages.
    """
    texts = [*_init_documents(site, host, version, certificate_key, token), _kubelet(site)]
    if site.kubernetes.addons.kube_proxy:
        texts.append(_kube_proxy(site))
    return Secret(documents(*texts))


def upload_certs_config(site: Site, host: Host, version: Version, certificate_key: Secret) -> Secret:
    """Return the file for `kubeadm init phase upload-certs --upload-certs --config` on the control plane host ``host``.

    It needs the ClusterConfiguration: without one, kubeadm asks the Internet for the newest version.
    """
    return Secret(documents(*_init_documents(site, host, version, certificate_key)))


def join_config(
    site: Site, host: Host, version: Version, token: Secret, ca_hash: str | None, certificate_key: Secret | None
) -> Secret:
    """Return the file for `kubeadm join --config` on ``host``, for the roles that it has in hosts.yaml.

    ``token`` is a bootstrap token. ``ca_hash`` is "sha256:" and 64 hex digits; None: the host has the file DISCOVERY (kubeadm_discovery.py). A
    control plane host needs ``certificate_key``, a worker ignores it. Raises ValueError when one of them does not have the right form.
    """
    check(site)
    _must_match("token", TOKEN, token)
    found: Document = {"file": {"kubeConfigPath": DISCOVERY}, "tlsBootstrapToken": str(token)}
    if ca_hash is not None:
        _must_match("ca_hash", r"sha256:[0-9a-f]{64}", ca_hash)
        found = {"bootstrapToken": {"token": str(token), "apiServerEndpoint": endpoint(site), "caCertHashes": [ca_hash]}}
    document = {
        **_head(version, "JoinConfiguration"),
        "nodeRegistration": _registration(site, host, version),
        "discovery": found,
    }
    if host.is_control_plane:
        if certificate_key is None:
            raise ValueError("a control plane host needs a certificate key to join")
        document["controlPlane"] = {"localAPIEndpoint": _local_endpoint(host), **_key(certificate_key)}
    return Secret(documents(document))


def kubelet_waits(host: Host, version: Version) -> bool:
    """Whether the kubelet of ``host`` starts, in a join, long before the API server that it uses.

    It asks in vain meanwhile, and ever more rarely: up to 30 s apart (seen in 1.34.9). Until it has read the Services it starts no
    container but those of static pods, so the pod network and with it the node get ready that much later.
    """
    return host.is_control_plane and version[:2] >= OWN_API


def adds_learners(site: Site) -> bool:
    """Whether kubeadm adds the member of etcd of a host that joins as a learner, which has no vote until it has caught up."""
    return site.kubernetes.etcd == "stacked" and parse(site.kubernetes.version)[:2] >= LEARNERS


def would_add_voter(site: Site, host: Host) -> bool:
    """Whether kubeadm would add the member of etcd of ``host`` with a vote, before it runs: a join does that part as newer ones do (`commands.kubeadm.Learner`)."""
    return host.is_control_plane and site.kubernetes.etcd == "stacked" and not adds_learners(site)


def endpoint(site: Site) -> str:
    """Return the API endpoint that every node uses: the name if there is one, else the VIP, with the port."""
    return f"{site.endpoint.name or literal(site.endpoint.vip)}:{site.endpoint.port}"


def _init_documents(
    site: Site, host: Host, version: Version, certificate_key: Secret | None, token: Secret | None = None
) -> list[Document]:
    check(site)
    if token is not None:
        _must_match("token", TOKEN, token)
    init = {
        **_head(version, "InitConfiguration"),
        "bootstrapTokens": [{"ttl": TOKEN_TTL, **({} if token is None else {"token": str(token)})}],
        "nodeRegistration": _registration(site, host, version),
        "localAPIEndpoint": _local_endpoint(host),
        **(_key(certificate_key) if certificate_key is not None else {}),
    }
    return [init, _cluster(site, version)]


def _cluster(site: Site, version: Version) -> Document:
    kubernetes, given = site.kubernetes, site.kubernetes.extra_args
    names = _unique(word for host in site.control_plane for word in (host.name, str(host.address)))
    document = {
        **_head(version, "ClusterConfiguration"),
        "kubernetesVersion": f"v{kubernetes.version}",
        "clusterName": site.cluster_name,
        "controlPlaneEndpoint": endpoint(site),
        "networking": {
            "podSubnet": str(site.networks.pods),
            "serviceSubnet": str(site.networks.services),
            "dnsDomain": kubernetes.domain,
        },
        "apiServer": _api_server(site, version, names),
        "etcd": {
            "local": {
                "dataDir": kubernetes.etcd_data_dir,
                **_extra_args(given.etcd, version),
                "serverCertSANs": names,
                "peerCertSANs": names,
            }
        },
    }
    parts: dict[str, Any] = {
        "controllerManager": _extra_args(given.controller_manager, version),
        "scheduler": _extra_args(given.scheduler, version),
        "imageRepository": kubernetes.image_repository,
    }
    if api_version(version) == "v1beta4":
        parts["dns"] = {} if kubernetes.addons.coredns else {"disabled": True}
        parts["proxy"] = {} if kubernetes.addons.kube_proxy else {"disabled": True}
    return document | {key: value for key, value in parts.items() if value}


def _api_server(site: Site, version: Version, names: list[str]) -> Document:
    audit = site.kubernetes.audit
    flags = {
        "audit-policy-file": AUDIT_POLICY,
        "audit-log-path": AUDIT_LOG,
        "audit-log-maxage": str(audit.max_age_days),
        "audit-log-maxbackup": str(audit.max_backups),
        "audit-log-maxsize": str(audit.max_size_mb),
    }
    volumes = [
        {"name": "audit-policy", "hostPath": AUDIT_POLICY, "mountPath": AUDIT_POLICY, "readOnly": True, "pathType": "File"},
        {"name": "audit-log", "hostPath": AUDIT_DIRECTORY, "mountPath": AUDIT_DIRECTORY, "pathType": "DirectoryOrCreate"},
    ]
    reached_by = [str(site.endpoint.vip), *([site.endpoint.name] if site.endpoint.name else [])]
    return {
        "certSANs": _unique([*reached_by, *names]),
        **_extra_args(flags | site.kubernetes.extra_args.api_server, version),
        "extraVolumes": volumes,
    }


def _kubelet(site: Site) -> Document:
    ours: Document = {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "cgroupDriver": site.kubernetes.cgroup_driver,
    }
    if site.kubernetes.swap == "keep":
        ours["failSwapOn"] = False
    return over(ours, site.kubernetes.kubelet)


def _kube_proxy(site: Site) -> Document:
    ours = {
        "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
        "kind": "KubeProxyConfiguration",
        "clusterCIDR": str(site.networks.pods),
    }
    return over(ours, site.kubernetes.kube_proxy)


def _head(version: Version, kind: str) -> Document:
    return {"apiVersion": f"kubeadm.k8s.io/{api_version(version)}", "kind": kind}


def _registration(site: Site, host: Host, version: Version) -> Document:
    found: Document = {"name": host.name, "criSocket": CRI_SOCKET}
    if host.is_control_plane and host.is_worker:
        found["taints"] = []  # otherwise kubeadm taints every control plane host
    flags = _flags({"node-ip": str(host.address)}, version)
    found["kubeletExtraArgs"] = flags
    if site.kubernetes.swap == "keep":
        found["ignorePreflightErrors"] = ["Swap"]
    return found


def _local_endpoint(host: Host) -> Document:
    return {"advertiseAddress": str(host.address), "bindPort": API_PORT}


def _key(certificate_key: Secret) -> Document:
    _must_match("certificate key", r"[0-9a-f]{64}", certificate_key)
    return {"certificateKey": str(certificate_key)}


def _extra_args(flags: Mapping[str, str], version: Version) -> Document:
    return {"extraArgs": _flags(flags, version)} if flags else {}


def _flags(flags: Mapping[str, str], version: Version) -> object:
    if api_version(version) == "v1beta4":
        return [{"name": name, "value": value} for name, value in flags.items()]
    return dict(flags)


def _unique(words: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(words))


def _version(shape: re.Pattern[str], text: str) -> Version:
    match = shape.fullmatch(text.strip())
    if not match:
        raise ValueError(f"{text!r} is not a version of Kubernetes")
    return int(match[1]), int(match[2]), int(match[3])


def _dotted(parts: Iterable[int]) -> str:
    return ".".join(map(str, parts))


def _must_match(what: str, shape: str, word: str) -> None:
    if not re.fullmatch(shape, word):  # the value may be a secret: it must not be in the message
        raise ValueError(f"the {what} does not have the shape {shape}")
