"""The names that `named` knows: of flags, of fields in configuration files, and of directories that are never saved whole."""

from __future__ import annotations

import posixpath
from collections.abc import Iterable
from typing import Final

MANIFESTS: Final = ("/etc/kubernetes/manifests", "/etc/kubernetes/ha-runbooks-parked")
ADMIN: Final = "/etc/kubernetes/admin.conf"
MOST: Final = 16 << 20  # bytes: a larger file or directory is data, not configuration
LONGEST: Final = 4096  # characters of a path (PATH_MAX)
PROGRAMS: Final = frozenset({"kube-apiserver", "kube-controller-manager", "kube-scheduler", "etcd"})

# Flags for what a program writes, makes itself, or can do without.
WRITTEN: Final = frozenset(
    (
        "audit-log-path",
        "bootstrap-kubeconfig",
        "cert-dir",
        "cluster-signing-key-file",
        "data-dir",
        "flex-volume-plugin-dir",
        "lock-file",
        "log-dir",
        "log-file",
        "pidfile",
        "resolv-conf",
        "root-dir",
        "volume-plugin-dir",
        "wal-dir",
    )
)
# Fields of configuration files that name a file without which the program that reads them does not start.
REFERENCES: Final = frozenset(
    (
        "certificate-authority",
        "client-certificate",
        "client-key",
        "tokenFile",
        "kubeConfigFile",
        "kubeconfig",
        "caBundle",
        "clientCert",
        "clientKey",
        "clientCAFile",
        "tlsCertFile",
        "tlsPrivateKeyFile",
        "staticPodPath",
        "cert-file",
        "key-file",
        "trusted-ca-file",
    )
)
FOLDERS: Final = frozenset({"staticPodPath", "pod-manifest-path"})
DIRECTORIES: Final = frozenset({"image-credential-provider-bin-dir"})  # of programs that the kubelet runs

# Directories of the operating system and of other programs: never saved whole; a file in the second kind is saved when it is named.
WHOLE: Final = frozenset(
    (
        "/",
        "/etc",
        "/etc/ssl",
        "/etc/ssl/certs",
        "/etc/ssl/private",
        "/etc/ca-certificates",
        "/etc/pki",
        "/etc/pki/tls",
        "/etc/pki/tls/certs",
        "/home",
        "/opt",
        "/root",
        "/srv",
        "/usr",
        "/usr/local",
        "/usr/local/bin",
        "/usr/local/sbin",
        "/usr/local/share",
        "/usr/local/share/ca-certificates",
        "/var",
        "/var/lib",
    )
)
BELOW: Final = (
    "/bin",
    "/boot",
    "/etc/pki/ca-trust",
    "/lib",
    "/lib64",
    "/media",
    "/mnt",
    "/opt/cni",
    "/run",
    "/sbin",
    "/tmp",  # noqa: S108 - nothing is written there
    "/usr/bin",
    "/usr/lib",
    "/usr/lib64",
    "/usr/libexec",
    "/usr/sbin",
    "/usr/share",
    "/var/cache",
    "/var/lib/cni",
    "/var/lib/containerd",
    "/var/lib/docker",
    "/var/lib/etcd",
    "/var/lib/kubelet",
    "/var/run",
    "/var/tmp",  # noqa: S108
)
NEVER: Final = ("/dev", "/proc", "/sys", "/var/log")
GONE_AT_BOOT: Final = ("/run", "/var/run", "/tmp", "/var/tmp")  # noqa: S108 - nothing is written there
OF_THE_HOST: Final = frozenset(
    (
        "/etc/fstab",
        "/etc/group",
        "/etc/hostname",
        "/etc/localtime",
        "/etc/machine-id",
        "/etc/nsswitch.conf",
        "/etc/passwd",
        "/etc/resolv.conf",
        "/etc/shadow",
        "/etc/timezone",
    )
)


def clean(path: str) -> str:
    """Return an absolute path without "..", "." and double slashes; "" for anything that is no absolute path."""
    if not path.startswith("/") or len(path) > LONGEST or not path.isprintable():
        return ""
    return "/" + posixpath.normpath(path).lstrip("/")


def is_below(path: str, tops: Iterable[str]) -> bool:
    """Whether ``path`` is one of ``tops`` or below one.

    >>> is_below("/etc/ssl", ["/etc"]), is_below("/etcd", ["/etc"])
    (True, False)
    """
    return any(path == top or path.startswith(f"{top.rstrip('/')}/") for top in tops)


def of_the_system(path: str) -> bool:
    """Whether a directory belongs to the operating system, or holds the data of programs."""
    return path in WHOLE or is_below(path, (*BELOW, *NEVER))
