"""Where releases are published: the only place that names addresses of others. `inv lab.up --mirror URL` takes the place of all of them.

Official sources: https://kubernetes.io/releases/download/ and the releases of cri-tools, of the CNI plugins and of etcd.
"""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import urlsplit

from runbooks.errors import InventoryError

CNI_VERSION = "v1.7.1"  # no program of Kubernetes names one
ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Sources:
    """The base address of each kind of release, without a slash at its end."""

    kubernetes: str = "https://dl.k8s.io/release"
    cri_tools: str = "https://github.com/kubernetes-sigs/cri-tools/releases/download"
    cni_plugins: str = "https://github.com/containernetworking/plugins/releases/download"
    etcd: str = "https://github.com/etcd-io/etcd/releases/download"

    @property
    def servers(self) -> list[str]:
        """Each server once: https://github.com."""
        parts = [urlsplit(base) for base in (self.kubernetes, self.cri_tools, self.cni_plugins, self.etcd)]
        return list(dict.fromkeys(f"{part.scheme}://{part.netloc}" for part in parts))


@dataclass(frozen=True, slots=True)
class Published:
    """One file, and the file with its checksum: that alone, or lines of "checksum  name"."""

    url: str
    checksums: str

    @property
    def name(self) -> str:
        """The last part of the address."""
        return self.url.rpartition("/")[2]


def chosen(mirror: str) -> Sources:
    """Return the official places, or what a ``mirror`` has: one directory for each kind, and in it what is below the official address.

    InventoryError when that is no address. Pure.
    """
    if not mirror:
        return Sources()
    if "@" in mirror:  # not shown: it may be a password
        raise InventoryError(
            "--mirror: an address with a user name or a password in it is not taken, as a command line is no place for a secret",
            hint="take a mirror that asks for none: `python3 -m http.server --bind 127.0.0.1 8000` serves a copy of it (docs/lab.md)",
        )
    base = mirror.rstrip("/")
    try:
        parts = urlsplit(base)
        good = parts.scheme in {"http", "https"} and parts.hostname and parts.port != 0 and not parts.query and not parts.fragment
    except ValueError:  # half an IPv6 address, a port that is no number
        good = False
    if not good or not base.isprintable() or " " in base:
        raise InventoryError(
            f"--mirror {mirror}: no address of a mirror", hint="write it as https://HOST/PATH or http://HOST:PORT/PATH"
        )
    return Sources(
        kubernetes=f"{base}/kubernetes", cri_tools=f"{base}/cri-tools", cni_plugins=f"{base}/cni-plugins", etcd=f"{base}/etcd"
    )


def program(sources: Sources, version: str, architecture: str, name: str) -> Published:
    """Return a program of Kubernetes ``version`` (with its v). Pure."""
    url = f"{sources.kubernetes}/{version}/bin/linux/{architecture}/{name}"
    return Published(url, f"{url}.sha256")


def crictl(sources: Sources, version: str, architecture: str) -> Published:
    """Return the archive with crictl for Kubernetes ``version``: the first release of the same minor version. Pure."""
    own = ".".join([*version.split(".")[:2], "0"])
    url = f"{sources.cri_tools}/{own}/crictl-{own}-linux-{architecture}.tar.gz"
    return Published(url, f"{url}.sha256")


def plugins(sources: Sources, architecture: str) -> Published:
    """Return the archive with the CNI plugins. Pure."""
    url = f"{sources.cni_plugins}/{CNI_VERSION}/cni-plugins-linux-{architecture}-{CNI_VERSION}.tgz"
    return Published(url, f"{url}.sha256")


def etcd(sources: Sources, tag: str, architecture: str) -> Published:
    """Return the archive with etcd for the image's ``tag`` (3.6.8-0). Pure."""
    version = f"v{tag.partition('-')[0]}"
    return Published(
        f"{sources.etcd}/{version}/etcd-{version}-linux-{architecture}.tar.gz", f"{sources.etcd}/{version}/SHA256SUMS"
    )
