"""The hosts of hosts.yaml, and the network that they are in, from what was seen. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any, Final

from runbooks.inventory.words import Address, Network
from runbooks.inventory.written import Noted
from runbooks.rules import node_wanted
from runbooks.site.adopt.rules.balancers import names, ordered, priorities
from runbooks.site.adopt.rules.seen import Balancer, Seen

ROLES: Final = ("lb", "control-plane", "worker")


def management(seen: Seen) -> object:
    """Return the network of the hosts and the VIP: the one of their interfaces; a wider one, with a comment, where they are in several."""
    addresses = [each for each in _addresses(seen) if each.version == seen.endpoint.vip.version]
    looks = [*(each.look for each in seen.read().values()), *(each.look for each in seen.balancers)]
    networks = {
        near[1].network for look in looks for address in addresses if look.has(address) and (near := look.beside(address))
    }
    wanted = [*addresses, seen.endpoint.vip]
    whole = next((each for each in sorted(networks, key=lambda one: one.num_addresses) if _holds(each, wanted)), None)
    if whole:
        return whole
    if not networks:
        return Noted(None, "no host said which network it is in: write it here")
    found: Network = min(networks, key=lambda one: one.num_addresses)
    while not _holds(found, wanted):
        found = found.supernet()
    return Noted(found, "guessed: the smallest network with all hosts and the VIP in it; they are in several")


def hosts(seen: Seen) -> list[dict[str, object]]:
    """Return the hosts: load balancers as they hold the VIP, control plane hosts, workers; by name within these."""
    found: dict[str, dict[str, object]] = {}
    order, called = priorities(seen), names(seen)
    nodes = {each.name for each in seen.cluster.members}
    for each in ordered(seen):
        name = called[each.address]
        found[name] = {
            "name": name
            if name in {*nodes, each.name}
            else Noted(name, f"guessed: it calls itself {each.name}, and so does another host"),
            "address": each.address,
            "roles": ["lb"],
            "priority": order[each.address],
            **_interface(seen, each),
        }
    for member in sorted(seen.cluster.members, key=lambda one: (not one.control_plane, natural(one.name))):
        host = found.setdefault(member.name, {"name": member.name, "address": seen.address(member), "roles": []})
        host["roles"] = [*_list(host["roles"]), *_roles(member.control_plane, member.schedules)]
        own = node_wanted.ours(member.settings)
        given = {"labels": own.labels, "annotations": own.annotations, "taints": list(own.taints)}
        host.update({key: each for key, each in given.items() if each})
    return list(found.values())


def natural(name: str) -> list[tuple[int, str]]:
    """Return what names are sorted by, numbers in them by their value.

    >>> sorted(["w10", "w9"], key=natural)
    ['w9', 'w10']
    """
    return [(int(part), "") if part.isdecimal() else (0, part) for part in re.split(r"(\d+)", name)]


def _roles(leads: bool, schedules: bool) -> list[str]:
    return [*(["control-plane"] if leads else []), *(["worker"] if schedules or not leads else [])]


def _list(value: Any) -> list[str]:
    return list(value)


def _interface(seen: Seen, balancer: Balancer) -> dict[str, object]:
    """Return the interface of an LB where it is not the first one's."""
    first, own = (each.instance_of(seen.endpoint.vip) for each in (ordered(seen)[0], balancer))
    return {"interface": own.interface} if first and own and own.interface != first.interface else {}


def _addresses(seen: Seen) -> list[Address]:
    nodes = [seen.address(each) for each in seen.cluster.members]
    return [*(each for each in nodes if each), *(each.address for each in seen.balancers)]


def _holds(network: Network, addresses: Iterable[Address]) -> bool:
    return all(each in network for each in addresses)
