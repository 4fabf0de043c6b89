"""What a load balancer's firewall has to let in. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import ip_address

from runbooks.commands.firewall import Openings
from runbooks.commands.lb_config import Bind
from runbooks.inventory.model import Host, Site


def wanted(site: Site, host: Host, own: Iterable[Bind] = ()) -> Openings:
    """Return what ``host`` needs open: the ports of its front ends for every client, VRRP (IP protocol 112) for the other LBs only.

    ``own``: where the operator's own sections listen; those on the host's loopback need nothing.
    """
    balancer = site.load_balancer
    ports = [site.endpoint.port, balancer.stats_port, balancer.metrics_port]
    ports += [port for port, on in ((80, balancer.ingress.http), (443, balancer.ingress.https)) if on]
    ports += [each.port for each in own if not (each.address and _is_loopback(each.address))]
    return Openings(
        ports=tuple(f"{port}/tcp" for port in dict.fromkeys(ports)),
        rules=tuple(
            f'rule family="ipv{peer.address.version}" source address="{peer.address}" protocol value="vrrp" accept'
            for peer in site.load_balancers
            if peer != host
        ),
    )


def _is_loopback(address: str) -> bool:
    try:
        return ip_address(address).is_loopback
    except ValueError:
        return address == "localhost"


def missing(needed: Openings, there: Openings) -> Openings:
    """Return what of ``needed`` is not open yet in ``there``. A range opens every port in it."""
    return Openings(
        ports=tuple(port for port in needed.ports if not any(_covers(opened, port) for opened in there.ports)),
        rules=tuple(rule for rule in needed.rules if rule not in there.rules),
    )


def _covers(opened: str, port: str) -> bool:
    """Whether a port or range such as ``6000-6500/tcp`` covers a single port such as ``6443/tcp``."""
    span, _, protocol = opened.partition("/")
    first, _, last = span.partition("-")
    number, _, same_protocol = port.partition("/")
    if not (first.isdecimal() and (last or first).isdecimal()):  # a service name such as https, which firewalld accepts, too
        return False
    return protocol == same_protocol and int(first) <= int(number) <= int(last or first)
