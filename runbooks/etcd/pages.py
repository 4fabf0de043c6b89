"""The pages of etcd's commands, for a small example of what is otherwise seen on hosts."""

from __future__ import annotations

from hashlib import sha256
from typing import Final

from runbooks.commands.etcd import Look, Member, Status
from runbooks.etcd import relief
from runbooks.etcd import steps as etcd_steps
from runbooks.inventory.model import Site
from runbooks.inventory.words import literal
from runbooks.pages.examples import second
from runbooks.pages.page import Page
from runbooks.rules.etcd import View


def members(site: Site) -> tuple[Member, ...]:
    """One member on every control plane host, with an ID that is only an example."""
    return tuple(
        Member(
            id=sha256(host.name.encode()).hexdigest()[:16],
            name=host.name,
            peer_urls=(f"https://{literal(host.address)}:2380",),
            client_urls=(f"https://{literal(host.address)}:2379",),
        )
        for host in site.control_plane
    )


def well(site: Site) -> View:
    """Every member healthy; the first one leads."""
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
    """Every member, the leader last."""
    return Page(etcd_steps.defragment(site.control_plane, well(site)), given=f"the member of {site.control_plane[0]} leads")


def disarm(site: Site) -> Page:
    """The same turns, with an alarm on."""
    return Page(relief.disarm(well(site)), given=f"the member of {site.control_plane[0]} leads")


def move_leader(site: Site) -> Page:
    """To another member."""
    host, member = second(site), members(site)[1 % len(site.control_plane)]
    return Page(etcd_steps.move_leader(member, well(site)), f"--to {host}", f"the member of {site.control_plane[0]} leads")


ETCD: Final = (defrag, disarm, move_leader)
