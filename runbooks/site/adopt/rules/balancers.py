"""The settings of the load balancers, from their own configurations. Pure."""

from __future__ import annotations

import re
from typing import Final

from runbooks.commands import lb_config
from runbooks.inventory.words import Address
from runbooks.inventory.written import Noted
from runbooks.site.adopt.rules.proxies import Proxy
from runbooks.site.adopt.rules.seen import Balancer, Seen
from runbooks.site.adopt.rules.vrrp import instances

HIGHEST: Final = 254  # of a priority in hosts.yaml: 255 is for the owner of an address (RFC 5798, section 5.2.4)
PORTS: Final = {"stats": "stats_port", "metrics": "metrics_port", "health": "health_port"}  # the sections of our haproxy.cfg


def ordered(seen: Seen) -> list[Balancer]:
    """Return the load balancers in the order in which they hold the VIP: by the priority of their VRRP instance."""
    return sorted(seen.balancers, key=lambda each: (-_priority(seen, each), int(each.address)))


def names(seen: Seen) -> dict[Address, str]:
    """Return the name of each LB in hosts.yaml: its node's, else its host name, with a number where another host has that already."""
    taken = {each.name for each in seen.cluster.members}
    found: dict[Address, str] = {}
    for each in ordered(seen):
        node = next((one.name for one in seen.cluster.members if each.address in one.addresses), None)
        first, dot, rest = each.name.partition(".")
        name, number = node or each.name, 1
        while not node and name in taken:
            number += 1
            name = f"{first}-{number}{dot}{rest}"
        taken.add(name)
        found[each.address] = name
    return found


def priorities(seen: Seen) -> dict[Address, object]:
    """Return the priority of each LB in hosts.yaml: its own; where these are equal, missing or too high, others in the same order."""
    order = ordered(seen)
    own = [_priority(seen, each) for each in order]
    if len(set(own)) == len(own) and all(1 <= each <= HIGHEST for each in own):
        return {each.address: number for each, number in zip(order, own, strict=True)}
    said = "guessed: only the order counts; keepalived.conf has {}"
    return {
        each.address: Noted(HIGHEST - number, said.format(own[number] if own[number] >= 0 else "none"))
        for number, each in enumerate(order)
    }


def settings(seen: Seen) -> dict[str, object]:
    """Return ``load_balancer`` of hosts.yaml, by the LB that comes first. What our lb.setup has and theirs has not are its defaults."""
    first = next(iter(ordered(seen)), None)
    instance = first.instance_of(seen.endpoint.vip) if first else None
    if not first or not instance:
        return {
            "interface": Noted(_interface(seen, first), "guessed: the one in the VIP's network"),
            "vrrp": {"id": Noted(None, "no keepalived.conf with the VIP was found: write a number that is free in this network")},
        }
    version = instance.version
    found: dict[str, object] = {
        "interface": instance.interface or Noted(_interface(seen, first), "guessed: keepalived.conf names none"),
        "vrrp": {
            "id": instance.router_id,
            "version": version,
            "advert_ms": _advert_ms(instance.advert_s, version),
            "preempt_delay_s": instance.preempt_delay_s if first.ours else None,
        },
    }
    return found | (_of_ours(seen, first) if first.ours else _of_theirs(first))


def _advert_ms(seconds: float, version: int) -> object:
    """Return the milliseconds between adverts, in the range that hosts.yaml takes."""
    given = round(seconds * 1000)
    allowed = min(max(given, 1000 if version == 2 else 100), 10_000)
    if version == 2 and allowed % 1000:
        allowed = 1000 * max(1, round(allowed / 1000))
    return allowed if allowed == given else Noted(allowed, f"keepalived.conf has {given}, which hosts.yaml does not take")


def _of_theirs(first: Balancer) -> dict[str, object]:
    """Return what is known of a configuration that somebody wrote by hand: the port of HAProxy's own page."""
    pages = [bind.port for proxy in first.proxies if proxy.stats and not proxy.servers for bind in proxy.binds]
    return {"stats_port": pages[0]} if len(pages) == 1 else {}


def _of_ours(seen: Seen, first: Balancer) -> dict[str, object]:
    """Return what lb.setup was told, from the files that it wrote: they have the names of its own template."""
    there = {proxy.name: proxy for proxy in first.proxies}
    found: dict[str, object] = {key: _port(there[name]) for name, key in PORTS.items() if name in there}
    text = first.haproxy
    limits = {
        "maxconn": re.search(r"(?m)^ +maxconn (\d{1,9})$", text),
        "server_maxconn": re.search(r"(?m)^ +default-server .*\bmaxconn (\d{1,9})\b", text),
        "server_maxqueue": re.search(r"(?m)^ +default-server .*\bmaxqueue (\d{1,9})\b", text),
    }
    found["limits"] = {key: int(match[1]) for key, match in limits.items() if match}
    ingress: dict[str, object] = {}
    for key in ("http", "https"):
        if proxy := there.get(f"ingress-{key}"):
            ingress[key] = True
            ingress[f"{key}_node_port"] = next((each.port for each in proxy.servers), None)
            if key == "http":
                ingress["health_path"] = proxy.check or None
    if ingress:
        found["ingress"] = ingress
    if vips := _vips(seen, first, there):
        found["vips"] = vips
    return found


def _vips(seen: Seen, first: Balancer, there: dict[str, Proxy]) -> list[dict[str, object]]:
    """Return the VIPs beside that of the API which lb.setup wrote."""
    served = {bind.address for name, proxy in there.items() if name.startswith("ingress-") for bind in proxy.binds}
    found = []
    for text in lb_config.other_vips(first.keepalived):
        name, instance = next(iter(lb_config.other_names(text)), ""), next(iter(instances(text)), None)
        if not (name and instance and instance.addresses):
            continue  # somebody has changed our file
        address = instance.addresses[0]
        same = {each: next((one.priority for one in each.instances if one.name == instance.name), 0) for each in seen.balancers}
        holder = max(same, key=lambda each: same[each], default=first)
        found.append(
            {
                "name": name,
                "address": address,
                "vrrp_id": instance.router_id,
                "serves": ["ingress"] if address in served else [],
                "prefer": names(seen)[holder.address] if holder is not first else None,
            }
        )
    return found


def _port(proxy: Proxy) -> int | None:
    return next((bind.port for bind in proxy.binds), None)


def _priority(seen: Seen, balancer: Balancer) -> int:
    instance = balancer.instance_of(seen.endpoint.vip)
    return instance.priority if instance else -1


def _interface(seen: Seen, first: Balancer | None) -> str | None:
    near = first.look.beside(seen.endpoint.vip) if first else None
    return near[0] if near else None
