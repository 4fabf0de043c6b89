"""What the pages of the chapters in daily use are built from: the site, and small examples of what is otherwise seen on hosts."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from hashlib import sha256
from types import SimpleNamespace
from typing import Final, cast

from runbooks.backup.read import fetch as read_fetch
from runbooks.backup.run import keep_tools, offsite
from runbooks.backup.run import prune as run_prune
from runbooks.backup.run import steps as run_steps
from runbooks.backup.run.making import Making
from runbooks.backup.sets import manifest
from runbooks.backup.sets.manifest import Manifest
from runbooks.backup.sets.store import Store
from runbooks.cluster import build
from runbooks.cluster import prepare as cluster_prepare
from runbooks.cluster import remove as cluster_remove
from runbooks.commands.base import MASK, Secret
from runbooks.commands.etcd import Look, Member, Status
from runbooks.etcd import relief
from runbooks.etcd import steps as etcd_steps
from runbooks.inventory.model import Host, Site
from runbooks.inventory.words import literal
from runbooks.lb import failover
from runbooks.lb import steps as lb_steps
from runbooks.lb.files import lb_files
from runbooks.local.restic import Copied, Repository
from runbooks.pages.page import Page
from runbooks.rules.etcd import View

MADE: Final = datetime(2026, 1, 7, 2, 17, tzinfo=UTC)


# ---- load balancers


def wanted(site: Site, order: Sequence[Host] = ()) -> list[lb_steps.Wanted]:
    """The LBs' configurations, the standby's first; a VRRP password is masked."""
    secret = Secret(MASK) if site.load_balancer.vrrp.version == 2 else None
    hosts = order or tuple(reversed(site.load_balancers))
    return [lb_steps.Wanted(site, host, lb_files(site, host, secret)) for host in hosts]


def lb_setup(site: Site) -> Page:
    """Both LBs; the second one is the standby."""
    title = f"Set up the load balancers of {site.name}"
    return Page(lb_steps.set_up("lb.setup", title, wanted(site)), given=f"{site.load_balancers[0]} holds the VIP, or none does")


def lb_rollback(site: Site) -> Page:
    """The same steps with other files."""
    title = f"Bring back the configuration before the last change on {site.name}"
    return Page(lb_steps.set_up("lb.rollback", title, wanted(site)), given=f"{site.load_balancers[0]} holds the VIP")


def lb_failover_(site: Site) -> Page:
    """To the standby."""
    first, second = site.load_balancers[0], site.load_balancers[-1]
    return Page(failover.hand_over(site, second, None), f"--to {second}", f"{first} holds the VIP")


LB: Final = (lb_setup, lb_rollback, lb_failover_)


# ---- the cluster


def second(site: Site) -> Host:
    """A control plane host that is not the first, where there is one."""
    return site.control_plane[1 % len(site.control_plane)]


def prepare(site: Site) -> Page:
    """Every host."""
    return Page(cluster_prepare.make_ready(site, site.nodes))


def init(site: Site) -> Page:
    """A whole cluster, from nothing."""
    plan = build.Plan(site, site.nodes)
    return Page(build.begin(plan, site.control_plane[0]), given="no host is in any cluster yet")


def join(site: Site) -> Page:
    """A control plane host comes back, empty."""
    host = second(site)
    return Page(build.grow(build.Plan(site, (host,))), f"--host {host}", f"{host} is empty, the others are in service")


def remove(site: Site) -> Page:
    """A control plane host goes."""
    host = second(site)
    return Page(cluster_remove.leave(site, host), f"--host {host}", f"{host} is to leave, dead or alive, and the others are well")


def reset(site: Site) -> Page:
    """Everything."""
    return Page(cluster_remove.take_apart(site, site.nodes))


CLUSTER: Final = (prepare, init, join, remove, reset)


# ---- etcd


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


# ---- backup


def repository(site: Site) -> Repository:
    """The site's repository, or an example; nobody can speak to it."""
    restic = site.backup and site.backup.restic
    return cast(Repository, SimpleNamespace(name=restic.repository if restic else "sftp:backup@vault:/srv/restic"))


def run(site: Site) -> Page:
    """A set, from every host."""
    making = Making(store=Store(site), started=MADE)
    copy = offsite.copy(making.store, repository(site), making.amiss)
    steps = (keep_tools.keep(making), copy, run_prune.unwanted(making))
    return Page(run_steps.run(making, *steps), given="the copy off-site only with backup.restic in hosts.yaml")


def prune(site: Site) -> Page:
    """One old set."""
    return Page(run_prune.deletion(Store(site), [manifest.new_id(MADE)]), given="backup.keep no longer wants this one set")


def fetch(site: Site) -> Page:
    """One set from off-site."""
    return Page(read_fetch.bring_back(fetching(site)), given="the newest set off-site is this one")


def fetching(site: Site) -> read_fetch.Fetching:
    """A set that is off-site."""
    made = Manifest(
        id=manifest.new_id(MADE),
        site=site.name,
        state="good",
        started=MADE,
        finished=MADE,
        etcd=manifest.Etcd(cluster="c0ffee", revision=900, members=()),
        snapshots=(),
        kinds={},
        files={},
    )
    copied = Copied(snapshot="0a1b2c3d" * 8, set=made.id, time=MADE.isoformat())
    return read_fetch.Fetching(Store(site), repository(site), copied, made, 1 << 20)


def offsite_init(site: Site) -> Page:
    """An empty repository."""
    return Page(offsite.making_repository(Store(site), repository(site)))


BACKUP: Final = (run, prune, fetch, offsite_init)
