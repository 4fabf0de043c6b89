"""The pages of etcd's commands. They describe an example: the site's hosts with a healthy etcd."""

from __future__ import annotations

from hashlib import sha256
from typing import Final

from runbooks.commands.etcd import Look, Member, Status
from runbooks.etcd import nospace, steps
from runbooks.inventory.model import Site
from runbooks.inventory.words import literal
from runbooks.pages.examples import second
from runbooks.pages.page import Page
from runbooks.rules.etcd import View


def members(site: Site) -> tuple[Member, ...]:
    """Return one member for every control plane host, with an example ID."""
    return tuple(
        Member(
            id=sha256(host.name.encode()).hexdigest()[:16],
            name=host.name,
            peer_urls=(f"https://{literal(host.address)}:2380",),
            client_urls=(f"https://{literal(host.address)}:2379",),
        )
        for host in site.control_plane
    )


def healthy(site: Site) -> View:
    """Return etcd with every member healthy; the first one leads."""
    known = members(site)
    size = 200 << 20
    said = {
        host: Look(
            Status(
                member=member.id,
                cluster="c0ffee",
                version="3.5.16",
                size=size,
                in_use=size // 4,
                leader=known[0].id,
                term=2,
                index=1000,
                applied=1000,
                revision=900,
            ),
            members=known,
            serves=True,
        )
        for host, member in zip(site.control_plane, known, strict=True)
    }
    return View(said)


def defrag(site: Site) -> Page:
    """Return the page: every member, the leader last."""
    return Page(steps.defragment(site.control_plane, healthy(site)), given=f"the member of {site.control_plane[0]} leads")


def disarm(site: Site) -> Page:
    """Return the page: every member, after a NOSPACE alarm."""
    return Page(nospace.disarm(healthy(site)), given=f"the member of {site.control_plane[0]} leads")


def move_leader(site: Site) -> Page:
    """Return the page: to another member."""
    host, member = second(site), members(site)[1 % len(site.control_plane)]
    return Page(steps.move_leader(member, healthy(site)), f"--to {host}", f"the member of {site.control_plane[0]} leads")


ETCD: Final = (defrag, disarm, move_leader)
