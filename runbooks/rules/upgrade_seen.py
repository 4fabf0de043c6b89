"""The versions that were seen on the hosts and in the cluster, in the form in which the rules of this wing take them. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

Version = tuple[int, int, int]

SERVER = "kube-apiserver"
CONTROL_PLANE = (SERVER, "kube-controller-manager", "kube-scheduler")  # static pods whose version is that of Kubernetes


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeSeen:
    """The versions on one host; None: not read, or not there.

    kubelet    the installed program; kubelet_runs: the process, which is the old one until it is restarted.
    proxy      kube-proxy's pod on this node.
    manifests  by static pod, the tag of its image in the manifest (also etcd's).
    runs       by static pod, what the running program says of itself.
    """

    name: str
    control_plane: bool
    kubeadm: Version | None = None
    kubectl: Version | None = None
    kubelet: Version | None = None
    kubelet_runs: Version | None = None
    proxy: Version | None = None
    manifests: Mapping[str, Version | None] = field(default_factory=dict)
    runs: Mapping[str, Version | None] = field(default_factory=dict)

    @property
    def server(self) -> Version | None:
        """The version of the API server that runs here."""
        return self.runs.get(SERVER)

    @property
    def parts(self) -> dict[str, tuple[Version | None, Version | None]]:
        """The manifest's and the running version of each part of the control plane; {} on a worker."""
        return {name: (self.manifests.get(name), self.runs.get(name)) for name in CONTROL_PLANE if self.control_plane}


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """The versions of the whole cluster.

    nodes   every node of hosts.yaml; of one that could not be read all versions are None.
    config  kubernetesVersion in the ConfigMap kubeadm-config: the version of the last `kubeadm init` or `upgrade apply` that finished.
    unread  what could not be read (a host, or "kubeadm-config"), and why.
    """

    nodes: tuple[NodeSeen, ...]
    config: Version | None = None
    unread: Mapping[str, str] = field(default_factory=dict)

    @property
    def control_plane(self) -> tuple[NodeSeen, ...]:
        """The control plane hosts."""
        return tuple(node for node in self.nodes if node.control_plane)

    @property
    def servers(self) -> dict[str, Version]:
        """The running API servers whose version is known, by host."""
        return {node.name: node.server for node in self.control_plane if node.server}


def version_in(said: str) -> Version | None:
    """Return the first version with three parts in a text or in the tag of an image, or None.

    >>> version_in("Kubernetes v1.36.3+x"), version_in("registry.example:5000/etcd:3.6.8-0"), version_in("0:1.28.0-150500.1.1")
    ((1, 36, 3), (3, 6, 8), (1, 28, 0))
    >>> version_in("etcd@sha256:00"), version_in("")
    (None, None)
    """
    found = re.search(r"(?<![\d.])v?(\d+)\.(\d+)\.(\d+)(?![\d.]*\.\d)", said)
    return (int(found[1]), int(found[2]), int(found[3])) if found else None


def text(version: Version | None) -> str:
    """Return a version as people write it, "?" for None.

    >>> text((1, 36, 3)), text(None)
    ('1.36.3', '?')
    """
    return ".".join(map(str, version)) if version else "?"


def minors(newer: Version, older: Version) -> int:
    """Return how many minor versions lie between; negative when ``newer`` is the older one. Only for the same major version.

    >>> minors((1, 36, 0), (1, 33, 9)), minors((1, 33, 1), (1, 33, 0)), minors((1, 32, 0), (1, 33, 0))
    (3, 0, -1)
    """
    return newer[1] - older[1]


def each(versions: Mapping[str, Version | None]) -> str:
    """Return hosts and their versions, hosts of one version together.

    >>> each({"m1": (1, 36, 3), "m2": (1, 36, 2), "m3": (1, 36, 2)})
    '1.36.3 on m1; 1.36.2 on m2, m3'
    """
    return "; ".join(
        f"{text(version)} on {', '.join(name for name, other in versions.items() if other == version)}"
        for version in dict.fromkeys(versions.values())
    )


def newest(versions: Iterable[Version | None]) -> Version | None:
    """Return the newest of the known versions, None without any."""
    return max((version for version in versions if version), default=None)
