"""Which addresses may be connected to before there is a site file. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import suppress
from ipaddress import IPv6Address, ip_network

from runbooks.inventory.model import Site
from runbooks.inventory.words import Address, Network


def networks_of(site: Site) -> list[Network]:
    """Return every network that is of ``site``: those of its machines, and what stands alone outside them, such as a gateway."""
    hops = {way.address for host in site.hosts for way in site.hops(host) if not isinstance(way.address, str)}
    alone = {
        site.endpoint.vip,
        *(each.address for each in site.load_balancer.vips),
        *(host.address for host in site.hosts),
        *hops,
    }
    found = [each for each in (site.networks.management, site.networks.storage) if each]
    return [*found, *(ip_network(each) for each in sorted(alone, key=str) if not any(each in one for one in found))]


def networks_in(tree: object) -> list[Network]:
    """Return every address and network in the tree of a site file that this build cannot load, such as a newer one's: rather too many than too few.

    >>> networks_in({"networks": {"management": "10.1.1.0/24", "pods": "10.244.0.0/16"}, "later": ["10.2.1.9", "x", "24"]})
    [IPv4Network('10.1.1.0/24'), IPv4Network('10.2.1.9/32')]
    """
    if isinstance(tree, Mapping):
        return [one for key, each in tree.items() if key not in {"pods", "services"} for one in networks_in(each)]
    if isinstance(tree, list):
        return [one for each in tree for one in networks_in(each)]
    with suppress(ValueError):
        return [ip_network(str(tree), strict=False)]
    return []


def refusal(addresses: Iterable[Address], reserved: Mapping[Network, str]) -> str:
    """Return why one of ``addresses`` must not be connected to from the machine's own network, "" when all may be.

    ``reserved``: the networks of the example site and of labs, and whose they are. Never lets an address of these pass: in the machine's own network
    it may belong to somebody else's machine.
    """
    for address in addresses:
        inside = address.ipv4_mapped if isinstance(address, IPv6Address) else None  # the kernel connects to that one
        for network, whose in reserved.items():
            if (inside or address) in network:
                return (
                    f"{address} is in {network}, the network of {whose}: nothing connects to it from this machine's own network"
                )
    return ""
