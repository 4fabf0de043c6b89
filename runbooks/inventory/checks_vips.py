"""Checks of the VIPs beside the one of the API. Pure. A check uses only values that are valid by themselves."""

from collections.abc import Iterator
from typing import Final

from runbooks.inventory.draft import Draft, DraftVip
from runbooks.inventory.problems import Finding
from runbooks.inventory.words import Address

Findings = Iterator[Finding]
LB: Final = "load_balancer"
API: Final = "api"  # what the VIP of the API is called, in `inv lb.status` and in metrics


def names_are_their_own(draft: Draft) -> Findings:
    """A VIP needs a name that nothing else has: messages and metrics use it."""
    first: dict[str, DraftVip] = {}
    hosts = {host.name: host for host in draft.hosts if host.name}
    for vip in draft.vips:
        if vip.name is None:
            continue
        key = f"{vip.key}.name"
        if vip.name in hosts:
            yield Finding(key, f"{vip.name} is the name of the host on line {hosts[vip.name].line}: choose another one")
        elif vip.name == API:
            yield Finding(key, f"{API} is the VIP of the API, which is endpoint.vip: choose another one")
        elif first.setdefault(vip.name, vip) is not vip:
            yield Finding(key, f"{vip.name} is already the name of the VIP on line {first[vip.name].line}")


def addresses_are_their_own(draft: Draft) -> Findings:
    """A VIP must be an address that neither a host nor another VIP has."""
    taken: dict[Address, str] = {}
    for host in draft.hosts:
        if host.address is not None:
            taken.setdefault(host.address, f"the address of {host}")
    if (main := draft.address("endpoint.vip")) is not None:
        taken.setdefault(main, "endpoint.vip")
    for vip in draft.vips:
        if vip.address is None:
            continue
        if vip.address in taken:
            yield Finding(
                f"{vip.key}.address", f"{vip.address} is already {taken[vip.address]}: a VIP must be an address of its own"
            )
        taken.setdefault(vip.address, f"the address of {vip} on line {vip.line}")


def vrrp_ids_differ(draft: Draft) -> Findings:
    """Every VIP is a virtual router of its own (RFC 9568, section 5.2.3)."""
    taken: dict[int, str] = {}
    if (main := draft.number(f"{LB}.vrrp.id")) is not None:
        taken[main] = f"{LB}.vrrp.id"
    for vip in draft.vips:
        if vip.vrrp_id is not None and vip.vrrp_id in taken:
            yield Finding(
                f"{vip.key}.vrrp_id", f"{vip.vrrp_id} is already {taken[vip.vrrp_id]}: each VIP needs its own, 1 to 255"
            )
        elif vip.vrrp_id is not None:
            taken[vip.vrrp_id] = f"the vrrp_id of {vip} on line {vip.line}"


def preferred_lbs_exist(draft: Draft) -> Findings:
    """The preferred holder of a VIP must be an LB."""
    if not draft.roles_known:
        return
    balancers = [str(host) for host in draft.with_role("lb")]
    for vip in draft.vips:
        if vip.prefer is not None and vip.prefer not in balancers:
            yield Finding(
                f"{vip.key}.prefer", f"{vip.prefer} is no host with the role lb ({', '.join(balancers) or 'there is none'})"
            )


def front_ends_have_one_vip(draft: Draft) -> Findings:
    """The ingress front ends listen on one VIP, and have to be on."""
    first: DraftVip | None = None
    on = any(draft.values.get(f"{LB}.ingress.{name}") is True for name in ("http", "https"))
    for vip in draft.vips:
        key = f"{vip.key}.serves"
        if len(set(vip.serves)) < len(vip.serves):
            yield Finding(key, f"{vip.serves[0]} is given twice")
        elif "ingress" in vip.serves and first:
            yield Finding(key, f"ingress is already served by {first} on line {first.line}: the front ends listen on one VIP")
        elif "ingress" in vip.serves:
            first = vip
            if not on:
                yield Finding(key, f"no ingress front end is on: set {LB}.ingress.http or https to true, or delete serves")


CHECKS: Final = (names_are_their_own, addresses_are_their_own, vrrp_ids_differ, preferred_lbs_exist, front_ends_have_one_vip)
