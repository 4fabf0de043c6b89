"""What this machine's resolver knows."""

from __future__ import annotations

import socket
from ipaddress import ip_address

from runbooks.inventory.words import Address


def known_as(name: Address | str) -> list[Address]:
    """Return the addresses of a name that this machine knows, [] for none; of an address itself."""
    if not isinstance(name, str):
        return [name]
    try:
        found = [ip_address(str(each[4][0]).partition("%")[0]) for each in socket.getaddrinfo(name, None)]
    except (OSError, ValueError):
        return []
    return list(dict.fromkeys(found))
