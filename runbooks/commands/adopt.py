"""What a host is, for somebody who has no hosts.yaml of it: its names and addresses, and who talks to its API server."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Interface, IPv6Interface, ip_address, ip_interface
from typing import Final

from runbooks.commands.base import Answer, Probe, script
from runbooks.inventory.words import Address

API_PORT: Final = 6443  # where kubeadm makes every API server listen
ADMIN: Final = "admin.conf"


@dataclass(frozen=True, slots=True, kw_only=True)
class HostLook:
    """What one host says.

    hostname     its own name; ``addresses``: by interface, in the order of `ip`.
    servers      the URL of the API server in each kubeconfig of kubeadm, by file name.
    resolved     what the names in these URLs are for this host.
    peers        who talks, or has just talked, to its API server; ``neighbours``: whom it has just heard of on its own network.
    active       the units that run, of those that matter here.
    snapshots    files that make snapshots of etcd: whether they also copy the certificates.
    proxies      of containerd: URLs by "http" and "https", and the list by "no". A URL may have a password in it.
    containerd_root, oom_restricted   of containerd's configuration, "" and False where they do not stand there.
    """

    hostname: str
    addresses: tuple[tuple[str, IPv4Interface | IPv6Interface], ...] = ()
    servers: Mapping[str, str] = field(default_factory=dict)
    resolved: Mapping[str, tuple[Address, ...]] = field(default_factory=dict)
    peers: frozenset[Address] = frozenset()
    neighbours: frozenset[Address] = frozenset()
    active: frozenset[str] = frozenset()
    snapshots: Mapping[str, bool] = field(default_factory=dict)
    proxies: Mapping[str, str] = field(default_factory=dict, repr=False)
    containerd_root: str = ""
    oom_restricted: bool = False

    def has(self, address: Address) -> bool:
        """Whether ``address`` is one of its own now."""
        return any(each.ip == address for _, each in self.addresses)

    def beside(self, address: Address) -> tuple[str, IPv4Interface | IPv6Interface] | None:
        """Return the interface in whose network ``address`` is, with its own address there; the most narrow one. None when there is none."""
        found = [each for each in self.addresses if address in each[1].network and each[1].network.num_addresses > 1]
        return min(found, key=lambda each: each[1].network.num_addresses, default=None)


def look() -> Probe[HostLook]:
    """Ask a host what it is."""
    return Probe(script("adopt-look", {"API_PORT": str(API_PORT)}, timeout=60), parse)


def parse(answer: Answer) -> HostLook:
    r"""Read the lines of adopt-look.sh; unknown keys are ignored. Raises ValueError without a host name: then the script did not end.

    >>> parse(Answer(0, "hostname m1\naddress eth0 10.0.0.1/24\npeer 10.0.0.9\n")).peers
    frozenset({IPv4Address('10.0.0.9')})
    """
    lines = [line.split(" ") for line in answer.stdout.splitlines() if " " in line]

    def rows(key: str, words: int) -> list[list[str]]:
        return [line[1:] for line in lines if line[0] == key and len(line) == words + 1]

    def first(key: str) -> str:
        return next((row[0] for row in rows(key, 1)), "")

    if not first("hostname"):
        raise ValueError("adopt-look did not say the host's name")
    resolved: dict[str, tuple[Address, ...]] = {}
    for name, text in rows("resolves", 2):
        resolved[name] = (*resolved.get(name, ()), ip_address(text.partition("%")[0]))
    return HostLook(
        hostname=first("hostname"),
        addresses=tuple((interface, ip_interface(text)) for interface, text in rows("address", 2)),
        servers=dict(rows("server", 2)),
        resolved=resolved,
        peers=frozenset(ip_address(text) for (text,) in rows("peer", 1)),
        neighbours=frozenset(ip_address(text.partition("%")[0]) for (text,) in rows("neighbour", 1)),
        active=frozenset(name for (name,) in rows("active", 1)),
        snapshots={path: kept == "pki" for path, kept in rows("snapshot", 2)},
        proxies=dict(rows("proxy", 2)),
        containerd_root=first("containerd_root"),
        oom_restricted=bool(first("oom_restricted")),
    )
