"""The pages of the backups' commands."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Final, cast

from runbooks.backup.read.fetch import Fetching
from runbooks.backup.read.fetch import procedure as fetch_procedure
from runbooks.backup.run import keep_tools, offsite, steps
from runbooks.backup.run.new_set import NewSet
from runbooks.backup.run.prune import deletion, unwanted
from runbooks.backup.sets import manifest
from runbooks.backup.sets.manifest import Manifest
from runbooks.backup.sets.store import Store
from runbooks.inventory.model import Site
from runbooks.local.restic import Repository, SetSnapshot
from runbooks.pages.examples import MADE
from runbooks.pages.page import Page


def repository(site: Site) -> Repository:
    """Return a stand-in with the name of the site's repository, or of an example; no command works on it."""
    restic = site.backup and site.backup.restic
    return cast(Repository, SimpleNamespace(name=restic.repository if restic else "sftp:backup@vault:/srv/restic"))


def run(site: Site) -> Page:
    """One set, from every host."""
    new_set = NewSet(store=Store(site), started=MADE)
    copy = offsite.copy(new_set.store, repository(site), new_set.problems)
    afterwards = (keep_tools.keep(new_set), copy, unwanted(new_set))
    return Page(steps.run(new_set, *afterwards), given="the copy off-site only with backup.restic in hosts.yaml")


def prune(site: Site) -> Page:
    """One old set."""
    return Page(deletion(Store(site), [manifest.new_id(MADE)]), given="backup.keep does not retain this one set")


def fetch(site: Site) -> Page:
    """The newest set from the restic repository."""
    return Page(fetch_procedure(fetching(site)), given="the newest set in the restic repository is this one")


def fetching(site: Site) -> Fetching:
    """Return an example of a set in the repository."""
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
    copied = SetSnapshot(snapshot="0a1b2c3d" * 8, set=made.id, time=MADE.isoformat())
    return Fetching(Store(site), repository(site), copied, made, 1 << 20)


def offsite_init(site: Site) -> Page:
    """Create the repository."""
    return Page(offsite.repository_procedure(Store(site), repository(site)))


BACKUP: Final = (run, prune, fetch, offsite_init)
