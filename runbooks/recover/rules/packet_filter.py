"""Does a host's packet filter (nftables, to which today's iptables writes as well) drop VRRP adverts? Pure.

Evaluates the rules for one packet as the kernel does: every base chain of a hook, until a verdict.
https://wiki.nftables.org/wiki-nftables/index.php/Configuring_chains
A match that is not supported here (named sets, marks, connection state) counts as no match. So every drop that is found is real,
but some drops are not found.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import ip_address, ip_network
from typing import Any, Literal

from runbooks.commands.lb import interface
from runbooks.inventory.model import Host, Site
from runbooks.inventory.words import Address

Verdict = Literal["accept", "drop"]
VRRP = {112, "112", "vrrp", "carp"}
FAMILIES = {4: {"ip", "inet", "netdev"}, 6: {"ip6", "inet", "netdev"}}
DEPTH = 16  # the kernel's own limit of nested jumps


@dataclass(frozen=True, slots=True, kw_only=True)
class Advert:
    """A VRRP packet at one hook ("input" or "output") of one interface."""

    hook: str
    source: Address
    destination: Address
    interface: str


@dataclass(frozen=True, slots=True)
class Blocker:
    """What drops the packet: the rule of this handle, or the chain's policy (``handle`` 0)."""

    family: str
    table: str
    chain: str
    handle: int

    def __str__(self) -> str:
        what = f"rule {self.handle}" if self.handle else "policy drop"
        return f"{what} of chain {self.chain} in table {self.family} {self.table}"


def vrrp_blockers(site: Site, host: Host, ruleset: Sequence[Mapping[str, Any]]) -> list[tuple[str, Host, Blocker]]:
    """Return what in the packet filter of ``host`` drops VRRP: the field with the other LB's address, that LB, and the rule.

    The field is "saddr" for adverts from the other LB and "daddr" for adverts to it.
    """
    device = interface(site, host)
    found = []
    for peer in site.load_balancers:
        if peer == host or peer.address.version != host.address.version:
            continue
        incoming = Advert(hook="input", source=peer.address, destination=host.address, interface=device)
        outgoing = Advert(hook="output", source=host.address, destination=peer.address, interface=device)
        found += [("saddr", peer, each) for each in blockers(ruleset, incoming)]
        found += [("daddr", peer, each) for each in blockers(ruleset, outgoing)]
    return found


def can_be_preceded(blocker: Blocker, *, firewalld: bool) -> bool:
    """Whether an accept rule can be inserted before it. Not in firewalld's own table: firewalld removes the rules of others there."""
    return not (firewalld and blocker.table == "firewalld") and blocker.family != "netdev"


def blockers(ruleset: Iterable[Mapping[str, Any]], advert: Advert) -> tuple[Blocker, ...]:
    """Return what drops ``advert``: at most one for each base chain, because a packet has to pass all of them."""
    objects = list(ruleset)
    chains = [each["chain"] for each in objects if "chain" in each]
    rules: dict[tuple[str, str, str], list[Mapping[str, Any]]] = {}
    for each in objects:
        if "rule" in each:
            rules.setdefault(_key(each["rule"], "chain"), []).append(each["rule"])
    hooks = {"input": {"ingress", "prerouting", "input"}, "output": {"output", "postrouting"}}[advert.hook]
    found = []
    for chain in chains:
        if chain.get("hook") not in hooks or chain.get("family") not in FAMILIES[advert.source.version]:
            continue
        verdict, rule = _walk(_key(chain, "name"), rules, advert, 0)
        if verdict == "drop" and rule:
            found.append(Blocker(*_key(rule, "chain"), int(rule.get("handle", 0))))
        elif not verdict and chain.get("policy") == "drop":
            found.append(Blocker(*_key(chain, "name"), 0))
    return tuple(found)


def _key(item: Mapping[str, Any], name: str) -> tuple[str, str, str]:
    return str(item.get("family", "")), str(item.get("table", "")), str(item.get(name, ""))


def _walk(
    chain: tuple[str, str, str],
    rules: Mapping[tuple[str, str, str], Sequence[Mapping[str, Any]]],
    advert: Advert,
    depth: int,
) -> tuple[Verdict | None, Mapping[str, Any] | None]:
    """Return the verdict of a chain and the rule that gave it; (None, None) when the packet reaches the chain's end."""
    if depth > DEPTH:
        return None, None
    for rule in rules.get(chain, ()):
        expressions = [each for each in rule.get("expr", []) if isinstance(each, dict)]
        if not all(_matches(each, advert) for each in expressions):
            continue
        for each in expressions:
            if "drop" in each or "reject" in each:
                return "drop", rule
            if "accept" in each:
                return "accept", None
            if "return" in each:
                return None, None
            target = each.get("jump") or each.get("goto")
            if isinstance(target, dict):
                verdict, by = _walk((chain[0], chain[1], str(target.get("target", ""))), rules, advert, depth + 1)
                if verdict or "goto" in each:
                    return verdict, by
    return None, None


STATEMENTS = {"counter", "drop", "reject", "accept", "return", "jump", "goto", "log", "comment"}


def _matches(expression: Mapping[str, Any], advert: Advert) -> bool:
    """Whether ``advert`` matches one expression of a rule. An unknown expression does not match."""
    if "match" not in expression:
        return bool(STATEMENTS & expression.keys())
    match = expression["match"]
    left, right = (match.get("left"), match.get("right")) if isinstance(match, dict) else (None, None)
    if not isinstance(left, dict):
        return False
    value = _value(left, advert)
    if value is None:
        return False
    same = _equals(value, right)
    return not same if match.get("op") == "!=" else same


def _value(left: Mapping[str, Any], advert: Advert) -> object:
    """Return the packet's value of the field on the left side of a match; None for an unknown field."""
    meta, payload = (found if isinstance(found := left.get(key), dict) else {} for key in ("meta", "payload"))
    if meta.get("key") == "l4proto" or str(payload.get("field")) in {"protocol", "nexthdr"}:
        return "vrrp"
    if str(meta.get("key")) in ({"iifname", "iif"} if advert.hook == "input" else {"oifname", "oif"}):
        return advert.interface
    return {"saddr": advert.source, "daddr": advert.destination}.get(str(payload.get("field")))


def _equals(value: object, right: object) -> bool:
    if isinstance(right, dict) and isinstance(right.get("set"), list):
        return any(_equals(value, each) for each in right["set"])
    if value == "vrrp":
        return isinstance(right, str | int) and right in VRRP
    if isinstance(value, str):
        return isinstance(right, str) and (value == right or (right.endswith("*") and value.startswith(right[:-1])))
    try:
        if isinstance(right, dict) and "prefix" in right:
            prefix = right["prefix"]
            return value in ip_network(f"{prefix['addr']}/{prefix['len']}", strict=False)
        return value == ip_address(str(right))
    except (ValueError, KeyError, TypeError):
        return False
