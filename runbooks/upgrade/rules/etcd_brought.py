"""Which etcd a kubeadm brings. Pure.

kubeadm takes the tag in kubeadm-config (etcd.local.imageTag) when there is one, else its own table, and compares it with the tag in etcd.yaml:
an older one is not installed, an equal or newer one is (`performEtcdStaticPodUpgrade` in cmd/kubeadm/app/phases/upgrade/staticpods.go).
The table is in the program (`SupportedEtcdVersion` in cmd/kubeadm/app/constants/constants.go) and changes with patch releases.
"""

from __future__ import annotations

from dataclasses import dataclass

from runbooks.rules.upgrade_seen import Version, text, version_in

Minor = tuple[int, int]
CONSTANTS = "cmd/kubeadm/app/constants/constants.go of v{}"


@dataclass(frozen=True, slots=True)
class Record:
    """What the kubeadm of Kubernetes ``minor`` brings: read in release ``read``. Other patch releases may bring another patch of etcd."""

    minor: int
    etcd: Version
    read: Version
    source: str


@dataclass(frozen=True, slots=True)
class Brought:
    """The etcd that an upgrade brings.

    version  None when not even the minor version is known.
    exact    its patch release is known, too.
    source   where this is from.
    """

    version: Version | None
    exact: bool
    source: str

    def __str__(self) -> str:
        if not self.version:
            return "an etcd that is not known"
        return text(self.version) if self.exact else f"{self.version[0]}.{self.version[1]}"


TABLE = (
    Record(20, (3, 4, 13), (1, 20, 7), "kubernetes-retired/etcdadm#220"),
    Record(21, (3, 4, 13), (1, 21, 1), "kubernetes-retired/etcdadm#220"),
    Record(31, (3, 5, 24), (1, 31, 14), CONSTANTS.format("1.31.14")),
    Record(32, (3, 5, 24), (1, 32, 13), CONSTANTS.format("1.32.13")),
    Record(33, (3, 5, 24), (1, 33, 13), CONSTANTS.format("1.33.13")),
    Record(34, (3, 6, 5), (1, 34, 9), CONSTANTS.format("1.34.9")),
    Record(35, (3, 6, 6), (1, 35, 6), CONSTANTS.format("1.35.6")),
    Record(36, (3, 6, 8), (1, 36, 3), CONSTANTS.format("1.36.3")),
    Record(37, (3, 7, 0), (1, 37, 0), "kubernetes/kubernetes#140333"),
)
BETWEEN = range(22, 31)  # all of them bring an etcd 3.5; their patch releases were not read


def brought(target: Version, tag: str = "") -> Brought:
    """Return the etcd that kubeadm ``target`` brings. ``tag`` is etcd.local.imageTag in kubeadm-config, "" without one.

    >>> str(brought((1, 36, 3))), str(brought((1, 36, 9))), str(brought((1, 25, 1))), str(brought((1, 34, 9), "3.5.26-0"))
    ('3.6.8', '3.6', '3.5', '3.5.26')
    """
    if tag:
        return Brought(version_in(tag), bool(version_in(tag)), "etcd.local.imageTag in kubeadm-config")
    if target[1] in BETWEEN:
        return Brought((3, 5, 0), False, "SupportedEtcdVersion of kubeadm")
    for record in TABLE:
        if record.minor == target[1]:
            return Brought(record.etcd, record.read == target, record.source)
    return Brought(None, False, "not in this tool's table")
