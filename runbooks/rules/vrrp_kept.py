"""What of a keepalived.conf that others wrote lb.setup replaces, and what it has to leave working. Pure.

The VRRP instance that has the API's VIP (or one of load_balancer.vips) is replaced, with the scripts that only it uses. Every other
block stays, verbatim and in its order. https://www.keepalived.org/manpage.html
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from runbooks.commands.keepalived_blocks import Block, Instance, Statement, blocks, instances
from runbooks.commands.lb import interface
from runbooks.commands.lb_config import canonical
from runbooks.commands.lb_kept import MARKS
from runbooks.commands.lb_paths import KEEPALIVED_CONF
from runbooks.inventory.model import Host, Site
from runbooks.text import listed

# What templates/keepalived.conf.j2 says in global_defs, and what our instances cannot stand: vrrp_strict forbids unicast.
SAID: Final = frozenset({
    "router_id", "script_user", "enable_script_security", "vrrp_check_unicast_src", "vrrp_priority", "max_auto_priority",
    "vrrp_higher_prio_send_advert", "vrrp_strict",
})  # fmt: skip
HELPERS: Final = {
    "vrrp_script": "track_script",
    "vrrp_track_process": "track_process",
    "track_file": "track_file",
    "vrrp_track_file": "track_file",
}
OURS: Final = frozenset({"haproxy_answers", "masters_seen", "haproxy_down", "yield", "drain", "leaving"})
_BROUGHT: Final = ("virtual_ipaddress_excluded", "virtual_routes", "virtual_rules")
_NOTIFIES: Final = re.compile(r"notify\w*|smtp_alert")


@dataclass(frozen=True, slots=True)
class Cut:
    """As `runbooks.rules.lb_kept.Cut`."""

    vrrp: str = field(default="", repr=False)
    replaced: tuple[str, ...] = ()
    lost: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()


def cut(site: Site, host: Host, text: str, included: Mapping[str, str]) -> Cut:
    """Return how their keepalived.conf is taken over; ``included`` are the files that it includes, which stay as they are."""
    found = blocks(text, KEEPALIVED_CONF)
    replaced = replaced_instances(site, found)
    names = {each.name for each in replaced}
    gone = [*(each.block for each in replaced), *_groups(found, names), *_only_for(replaced, found)]
    stays = [each for each in found if each.kind and each not in gone]
    texts = [_settings(each) if each.kind == "global_defs" else each.text for each in stays]
    kept = "".join(each if each.endswith("\n") else f"{each}\n" for each in texts if each)
    wrong = [why for each in replaced for why in _not_ours(site, host, each)]
    wrong += [
        f"{each.where}: the {each} ties an instance of lb.setup to others: take it out of the group, reload, then again"
        for each in found
        if each.kind == "vrrp_sync_group" and each not in gone and names & set(_members(each))
    ]
    if MARKS.search(text):
        wrong.append(f"{KEEPALIVED_CONF}: has lines that begin with `# ---- kept`, which are the marks of lb.setup: delete them")
    return Cut(kept, tuple(map(str, gone)), tuple(_lost(replaced, found)), (*wrong, *collisions(site, host, kept, included)))


def replaced_instances(site: Site, found: Sequence[Block]) -> list[Instance]:
    """Return the instances among ``found`` that have a VIP of hosts.yaml."""
    return [each for each in instances(found) if vips_of(site, each)]


def vips_of(site: Site, each: Instance) -> list[str]:
    """Return the VIPs of hosts.yaml that an instance has."""
    return [vip for vip in map(str, site.vips.values()) if vip in {*each.addresses, *_excluded(each)}]


def _excluded(each: Instance) -> list[str]:
    return [canonical(line[0].partition("/")[0]) for line in each.block.statement.listed("virtual_ipaddress_excluded")]


def collisions(site: Site, host: Host, kept: str, included: Mapping[str, str]) -> list[str]:
    """Return where blocks that stay and ours cannot be together: a VIP, a virtual_router_id on one interface, or a name."""
    ids = {site.load_balancer.vrrp.id: "load_balancer.vrrp.id"} | {
        vip.vrrp_id: f"vrrp_id of load_balancer.vips, {vip.name}" for vip in site.load_balancer.vips
    }
    own = {site.name, *(f"{site.name}-{vip.name}" for vip in site.load_balancer.vips)}
    on, found = interface(site, host), []
    for path, text in {KEEPALIVED_CONF: kept, **included}.items():
        those = blocks(text, path)
        for each in instances(those):
            where = f"{path}: the VRRP instance {each.name}"
            if shared := vips_of(site, each):
                found.append(
                    f"{where} has {listed(shared)}, and lb.setup does not change this part: take the instance out of it on each "
                    "load balancer, do not reload keepalived, then again: lb.setup brings the address over"
                )
            elif hides := _unread(each):
                found.append(f"{where}: it cannot be told {hides}: write it out there, reload, then again")
            elif each.id in ids and (each.interface == on or not re.fullmatch(r"[\w.:@-]+", each.interface)):
                found.append(
                    f"{where} has the virtual_router_id {each.id} on {on}, and so has {ids[each.id]}: give that key another value"
                )
            elif each.name in own:
                found.append(f"{where} has the name of one of lb.setup: rename it there, reload, then again")
        found += [f"{path}: {why}" for each in those for why in _virtual_server(site, each)]
        found += [
            f"{path}: the {each} has the name of one of lb.setup: rename it there, reload, then again"
            for each in those
            if each.kind in HELPERS and each.name in OURS
        ]
    return found


def _unread(each: Instance) -> str:
    """Return what of an instance only keepalived can read, in words: it comes from a variable, or from another file."""
    said = each.block.statement
    lines = [line[0] for name in ("virtual_ipaddress", "virtual_ipaddress_excluded") for line in said.listed(name)]
    if _included(said):
        return "what an `include` inside it brings"
    if any(not canonical(line.partition("/")[0]) for line in lines):
        return "which addresses it has"
    return "" if each.id else "which virtual_router_id it has"


def _included(said: Statement) -> bool:
    return any(re.fullmatch(r"include[a-z]?", (*each.words, "")[0]) or _included(each) for each in said.inside)


def _virtual_server(site: Site, block: Block) -> Iterator[str]:
    """Yield why a virtual server (IPVS) cannot be beside ours: the kernel would take the connections before HAProxy gets them."""
    words = block.statement.words
    ports = {site.endpoint.port, *((80, 443) if site.load_balancer.ingress.http or site.load_balancer.ingress.https else ())}
    own = {str(vip) for vip in site.vips.values()}
    if words[:1] == ("virtual_server",) and len(words) > 2 and canonical(words[1]) in own and words[2] in map(str, ports):
        yield f"the {' '.join(words[:3])} takes the connections that HAProxy of lb.setup is for: take it out, reload, then again"


def _not_ours(site: Site, host: Host, each: Instance) -> Iterator[str]:
    """Yield what an instance has that lb.setup would take away."""
    where = f"{each.block.where}: the VRRP instance {each.name}"
    own = {str(vip) for vip in site.vips.values()}
    if more := [address for address in each.addresses if address not in own]:
        yield f"{where} also has {listed(more)}: name it in load_balancer.vips, or give it an instance of its own, reload, then again"
    if brought := [name for name in _BROUGHT if each.block.statement.listed(name)]:
        yield f"{where} also brings {listed(brought)}, which lb.setup has no key for: give them an instance of their own, reload, then again"
    on = interface(site, host)
    if each.interface != on and re.fullmatch(r"[\w.:@-]+", each.interface):
        yield f"{where} is on {each.interface}, and hosts.yaml has {on}: write load_balancer.interface (or interface of the host)"


def _members(group: Block) -> list[str]:
    return [word for line in group.statement.listed("group") for word in line]


def _groups(found: Sequence[Block], replaced: set[str]) -> list[Block]:
    """Return the groups that have only instances that are replaced."""
    groups = [each for each in found if each.kind == "vrrp_sync_group"]
    return [each for each in groups if _members(each) and set(_members(each)) <= replaced]


def _only_for(replaced: Sequence[Instance], found: Sequence[Block]) -> list[Block]:
    """Return the scripts and what else is tracked that only the ``replaced`` instances use."""
    theirs = {each.block for each in replaced}
    gone = []
    for each in found:
        if each.kind not in HELPERS:
            continue
        users = {
            one
            for one in found
            if one.kind in {"vrrp_instance", "vrrp_sync_group"} and _tracks(one, HELPERS[each.kind], each.name)
        }
        if users and users <= theirs:
            gone.append(each)
    return gone


def _tracks(block: Block, what: str, name: str) -> bool:
    return any(line[0] == name for line in block.statement.listed(what))


def _lost(replaced: Sequence[Instance], found: Sequence[Block]) -> Iterator[str]:
    for each in replaced:
        for name in dict.fromkeys(line.words[0] for line in each.block.statement.inside if line.words):
            if _NOTIFIES.fullmatch(name):
                yield f"the VRRP instance {each.name}: its {name} is not called any more"
    for block in found:
        for said in block.statement.inside if block.kind == "global_defs" else ():
            if said.words[:1] == ("script_user",) and said.words[1:2] != ("root",):
                yield "global_defs: scripts without a `user` of their own run as root"


def _settings(block: Block) -> str:
    """Return a global_defs without what ours says, "" when nothing is left."""
    left = [each for each in block.statement.inside if each.words and each.words[0] not in SAID]
    if not left:
        return ""
    said = re.compile(rf"\s*({'|'.join(sorted(SAID))})\b[^{{}}]*$")
    text = "\n".join(line for line in block.text.split("\n") if not said.match(line))
    (again, *more) = blocks(text)
    if not more and [each.words for each in again.statement.inside] == [each.words for each in left]:
        return text
    return f"global_defs {{\n{''.join(_written(each, 1) for each in left)}}}\n"


def _written(said: Statement, depth: int) -> str:
    margin = "    " * depth
    words = " ".join(f'"{each}"' if re.search(r"[\s{}#!]", each) else each for each in said.words)
    if not said.inside:
        return f"{margin}{words}\n"
    return f"{margin}{words} {{\n{''.join(_written(each, depth + 1) for each in said.inside)}{margin}}}\n"
