"""Which addresses may be connected to before there is a site file. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from ipaddress import IPv6Address

from runbooks.inventory.words import Address, Network


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
