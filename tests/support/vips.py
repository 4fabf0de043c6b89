"""The shipped site with a second VIP, which serves the ingress and prefers the second LB."""

from __future__ import annotations

from functools import cache
from ipaddress import IPv4Address

from msgspec.structs import replace

from runbooks.inventory.model import Site
from runbooks.inventory.settings_lb import Vip
from tests.support.fakes import site

INGRESS = Vip(name="ingress", address=IPv4Address("10.1.1.110"), vrrp_id=52, serves=("ingress",), prefer="lb2")


@cache
def two_vips() -> Site:
    return replace(site(), load_balancer=replace(site().load_balancer, vips=(INGRESS,)))
