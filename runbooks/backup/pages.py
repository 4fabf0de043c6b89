"""The pages of the backups' commands."""

from __future__ import annotations

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
from runbooks.inventory.model import Site
from runbooks.local.restic import Copied, Repository
from runbooks.pages.examples import MADE
from runbooks.pages.page import Page

# ---- load balancers


# ---- the cluster


# ---- etcd


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
