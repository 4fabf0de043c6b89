"""Configurations that others wrote: what of them stays on a load balancer, and how their pair gets over to ours."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

from runbooks.commands import haproxy_environment, lb_claims, lb_kept, lb_own
from runbooks.commands.haproxy_sections import sections
from runbooks.commands.keepalived_blocks import blocks, instances
from runbooks.commands.lb_claims import Claims
from runbooks.commands.lb_config import binds, is_ours
from runbooks.commands.lb_kept import Kept
from runbooks.commands.lb_paths import HAPROXY_CFG, KEEPALIVED_CONF
from runbooks.engine.steps import Run
from runbooks.errors import RunbookError
from runbooks.inventory.model import Host, Site
from runbooks.lb.files import lb_files
from runbooks.rules import lb_kept as haproxy_rules
from runbooks.rules import vrrp_kept as vrrp_rules
from runbooks.text import listed
from runbooks.view.includes import gather


@dataclass(frozen=True, slots=True)
class Taken:
    """What of one host stays (``kept``), what is ``replaced``, what is ``lost`` with it, and the ``problems`` that forbid it."""

    kept: Kept = lb_kept.NOTHING
    replaced: tuple[str, ...] = ()
    lost: tuple[str, ...] = ()
    problems: tuple[str, ...] = field(default=())


def look(run: Run, hosts: Collection[Host]) -> dict[Host, Claims | RunbookError]:
    """Return what the hosts serve, with the files that HAProxy and keepalived read besides their own."""
    seen = run.read_each(dict.fromkeys(hosts, lb_claims.look()))
    for host, claims in seen.items():
        if isinstance(claims, RunbookError):
            continue
        beside = run.read(host, lb_claims.beside(claims.other_paths)) if claims.other_paths else {}
        included = gather(partial(run.read, host), host, {KEEPALIVED_CONF: claims.text(KEEPALIVED_CONF)})
        names = haproxy_environment.names([claims.text(HAPROXY_CFG), *beside.values()])
        known = run.read(host, haproxy_environment.look(names)) if names else claims.environment
        seen[host] = replace(claims, beside=beside, included=included.texts, environment=known)
    return dict(seen)


def taken(site: Site, host: Host, claims: Claims) -> Taken:
    """Return what of the configurations on ``host`` stays, and what stands in the way of it."""
    cfg = next(file.content for file in lb_files(site, host, None) if file.path == HAPROXY_CFG)
    ours, names = binds(cfg), [each.name for each in sections(lb_own.of_the_operator(cfg))]
    have = lb_kept.kept(claims.text(HAPROXY_CFG), claims.text(KEEPALIVED_CONF))
    foreign = claims.is_foreign(HAPROXY_CFG) or (claims.beside and not is_ours(claims.text(HAPROXY_CFG)))
    haproxy = (
        haproxy_rules.cut(site, claims.text(HAPROXY_CFG), claims.beside, ours, claims.environment)
        if foreign
        else haproxy_rules.Cut(
            have.settings,
            have.sections,
            problems=tuple(haproxy_rules.collisions(have, claims.beside, ours, names, claims.environment)),
        )
    )
    theirs = claims.text(KEEPALIVED_CONF) if claims.is_foreign(KEEPALIVED_CONF) else have.vrrp
    vrrp = (
        vrrp_rules.cut(site, host, theirs, claims.included)
        if claims.is_foreign(KEEPALIVED_CONF) or moves(site, claims)  # of a file of ours, what has got a VIP of hosts.yaml since
        else vrrp_rules.Cut(have.vrrp, problems=tuple(vrrp_rules.collisions(site, host, have.vrrp, claims.included)))
    )
    return Taken(
        Kept(haproxy.settings, haproxy.sections, vrrp.vrrp),
        (*haproxy.replaced, *vrrp.replaced),
        (*haproxy.lost, *vrrp.lost),
        (*marks(claims), *haproxy.problems, *vrrp.problems),
    )


def marks(claims: Claims) -> list[str]:
    """Return what is wrong with the marks in files of lb.setup; `cut` says it of files of others."""
    texts = {path: claims.text(path) for path in (HAPROXY_CFG, KEEPALIVED_CONF) if is_ours(claims.text(path))}
    return [f"{path}: {why}" for path, text in texts.items() if (why := lb_kept.problem_of_marks(text))]


def apart(site: Site, present: Mapping[Host, str], wanted: Mapping[Host, str]) -> bool:
    """Whether the pair gets over between a keepalived.conf of others and ours: then two hosts that differ do not hear each other.

    ``present`` and ``wanted`` are the keepalived.conf of each host. Both would be master at once, so that only one may run meanwhile.
    """
    changes = [host for host, text in present.items() if text and is_ours(text) != is_ours(wanted.get(host, ""))]
    return any(vrrp_rules.replaced_instances(site, blocks(present[host])) for host in changes)


def moves(site: Site, claims: Claims) -> list[str]:
    """Return the VIPs of hosts.yaml that an instance has which somebody else has written, and which stands in a file of lb.setup."""
    if not is_ours(claims.text(KEEPALIVED_CONF)):
        return []
    there = vrrp_rules.replaced_instances(site, blocks(lb_kept.kept("", claims.text(KEEPALIVED_CONF)).vrrp))
    return [f"the VRRP instance {each.name} has {listed(vrrp_rules.vips_of(site, each))}" for each in there]


def changes_hands(present: str, wanted: str) -> bool:
    """Whether an address is of an instance of lb.setup in one of these files of ours, and of one that stands there as somebody else's in the other.

    Two LBs of which one has the one and one has the other do not hear each other, and would both be master.
    """
    own, theirs = zip(*(_addresses(text) for text in (present, wanted)), strict=True)
    return bool(own[0] & theirs[1] or theirs[0] & own[1])


def unknown_holder(present: Mapping[Host, str], holds: Mapping[Host, Collection[str]], wanted: Mapping[Host, str]) -> bool:
    """Whether an LB holds a VIP that its file of ours gives to nobody: keepalived runs an instance there whose lines were deleted since.

    ``holds``: the addresses of hosts.yaml that are on each LB now. It is somebody else's instance, which does not hear ours.
    """
    found = {host: _addresses(text) for host, text in present.items() if is_ours(text)}
    return any(
        address in _addresses(wanted.get(host, ""))[0] and address not in own | theirs
        for host, (own, theirs) in found.items()
        for address in holds.get(host, ())
    )


def _addresses(text: str) -> tuple[set[str], set[str]]:
    """Return the virtual addresses of a file of lb.setup: those of its own instances, and of those that stand there as somebody else's."""
    parts = (lb_kept.without(text), lb_kept.kept("", text).vrrp) if is_ours(text) else ("", "")
    own, theirs = ({address for each in instances(blocks(part)) for address in each.addresses} for part in parts)
    return own, theirs


def away(kept: Kept, others: Sequence[Claims]) -> list[str]:
    """Return whose addresses nobody has while keepalived of this host stands aside: VRRP instances that no other host has."""
    texts = [text for each in others for text in (each.text(KEEPALIVED_CONF), *each.included.values())]
    there = {address for text in texts for each in instances(blocks(text)) for address in each.addresses}
    return [
        f"the VRRP instance {each.name} is on no other load balancer: while keepalived stands aside here, nobody has {listed(lost)}"
        for each in instances(blocks(kept.vrrp))
        if (lost := [address for address in each.addresses if address not in there])
    ]


def deaf_in_the_end(site: Site, texts: Mapping[Host, str]) -> tuple[list[Host], list[Host]]:
    """Return the hosts with a keepalived.conf of others that has a VIP of hosts.yaml, and those with ours; ([], []) when all are of one kind.

    Both kinds would be master at once, for good.
    """
    theirs = [host for host, text in texts.items() if not is_ours(text) and vrrp_rules.replaced_instances(site, blocks(text))]
    ours = [host for host, text in texts.items() if is_ours(text)]
    return (theirs, ours) if theirs and ours else ([], [])
