"""Reads what the gates of etcd ask for beyond its view: the members in the snapshots of a set, and data of the v2 API."""

from __future__ import annotations

from collections.abc import Mapping
from mmap import ACCESS_READ, mmap
from pathlib import Path

from runbooks.backup.read.contents import plain_snapshot
from runbooks.backup.read.scratch import scratch
from runbooks.backup.sets import opened as sets_opened
from runbooks.backup.sets.manifest import Snapshot
from runbooks.backup.sets.opened import Opened
from runbooks.backup.sets.store import Set, Store
from runbooks.commands import etcd_v2
from runbooks.commands.etcd import Member
from runbooks.commands.etcd_v2 import V2Check
from runbooks.engine.steps import Run
from runbooks.errors import RunbookError, reason
from runbooks.inventory.model import Host
from runbooks.rules.etcd import View
from runbooks.rules.upgrade_seen import version_in
from runbooks.upgrade.rules import bolt
from runbooks.upgrade.rules.etcd_brought import Brought


def stored_members(store: Store, found: Set, identity: str = "") -> dict[str, tuple[Member, ...] | str]:
    """Return the members in the database of each snapshot of the set ``found``, by host; a text where it could not be read: why.

    For `etcd_gates.stored_members`. ``identity`` is the file of age's private key (--identity) for an encrypted set; what is decrypted is
    deleted again. Raises RunbookError when the set's manifest cannot be read.
    """
    opened = Opened(found, sets_opened.identity(store, identity))
    members: dict[str, tuple[Member, ...] | str] = {}
    for snapshot in opened.manifest.snapshots:
        try:
            members[snapshot.host] = _members(store, opened, snapshot)
        except (RunbookError, ValueError) as error:
            members[snapshot.host] = f"{found.id}: {str(error).partition(chr(10))[0]}"
    return members


def _members(store: Store, opened: Opened, snapshot: Snapshot) -> tuple[Member, ...]:
    if opened.encrypted:
        with scratch(store, snapshot.size) as directory:
            return members_in(plain_snapshot(opened, snapshot, directory))
    stored = opened.manifest.files[snapshot.file]
    path = opened.stored(snapshot.file)
    if why := sets_opened.differs(path, stored.size, stored.sha256):
        raise ValueError(f"{snapshot.file}: {why}")
    return members_in(path)


def members_in(path: Path) -> tuple[Member, ...]:
    """Return the members in the database of one snapshot. Raises ValueError when it is no sound database of etcd, or cannot be read."""
    try:
        with path.open("rb") as file, mmap(file.fileno(), 0, access=ACCESS_READ) as data:
            return bolt.members(data)
    except OSError as error:
        raise ValueError(f"{path.name}: {error.strerror}") from None


def v2_checks(run: Run, view: View, target: Brought, base: str) -> dict[Host, V2Check]:
    """Ask each member of etcd 3.5 for data of the v2 API, when ``target`` is 3.6 or newer; {} when that is not the case.

    ``base`` is the hosts' directory for backups (`backup.host_directory`). A host that fails is "unchecked".
    """
    if not target.version or target.version[:2] < (3, 6):
        return {}
    old = [host for host, status in view.statuses.items() if (version_in(status.version) or (0, 0, 0))[:2] == (3, 5)]
    said: Mapping[Host, V2Check | RunbookError] = run.read_each(dict.fromkeys(old, etcd_v2.check(base)), fresh=True)
    return {
        host: V2Check("unchecked", reason(host, each)) if isinstance(each, RunbookError) else each for host, each in said.items()
    }
