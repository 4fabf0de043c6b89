"""`inv backup.restore-test`: a real etcd is booted from a set, and must show what the cluster showed when the set was made."""

from __future__ import annotations

import hashlib
import json
import time
from base64 import b64decode
from collections.abc import Sequence
from typing import TYPE_CHECKING

from runbooks.backup.read.scratch import scratch
from runbooks.backup.read.verify import plain, read_keys, record
from runbooks.backup.sets import opened as sets_opened
from runbooks.backup.sets import tools as sets_tools
from runbooks.backup.sets.manifest import Keys, Manifest, Snapshot
from runbooks.backup.sets.opened import Opened, differs
from runbooks.backup.sets.store import Store
from runbooks.commands import backup, etcd
from runbooks.errors import CommandError, InventoryError, OutcomeError, RunbookError
from runbooks.local.etcd_tools import Member
from runbooks.local.programs import interruptible
from runbooks.text import counted, first_few

if TYPE_CHECKING:
    from runbooks.engine.session import Session

AT_ONCE = 100  # prefixes in one transaction; etcd takes 128
SHOWN = 20


def restore_test(session: Session, *, name: str, host: str, identity: str) -> None:
    """Boot an etcd from the set ``name`` (the newest when it is ""), from ``host``'s snapshot (the best one's when it is "").

    Raises OutcomeError, with every difference, when it does not show what was saved.
    """
    store = Store(session.site)
    found = store.one(name)
    opened = Opened(found, sets_opened.identity(store, identity))
    snapshot = choose(opened.manifest, host)
    tools = sets_tools.find(store, snapshot.version, boot=True)
    size = snapshot.size * (3 if opened.encrypted else 2)  # booting it may double it
    try:
        with interruptible(), scratch(store, size) as place:
            keys = _trustworthy(opened, snapshot)
            tools.restore(plain(opened, snapshot, place), place / "restored")
            started = time.monotonic()
            with Member(tools, place, "restored") as member:
                status = member.ready()
                booted = time.monotonic() - started
                wrong = compare(member, status, snapshot, keys)
    except (OutcomeError, CommandError):
        record(store, found.id, ok=False, what="restored")
        raise
    record(store, found.id, ok=not wrong, what="restored")
    if wrong:
        raise OutcomeError(
            f"{found.id}: the etcd restored from {snapshot.host}'s snapshot is not what was saved:\n  "
            + "\n  ".join(first_few(wrong, SHOWN)),
            hint="inv backup.verify; --host tries another member's snapshot",
        )
    _tell(session, found.id, snapshot, keys, booted)


def choose(manifest: Manifest, host: str) -> Snapshot:
    """Return ``host``'s snapshot, or the one with the newest revision, for choice one whose keys were counted.

    Raises InventoryError when the set has none of ``host``.
    """
    if not host:
        return max(manifest.snapshots, key=lambda each: (each.keys_file is not None, each.revision))
    for each in manifest.snapshots:
        if each.host == host:
            return each
    hosts = ", ".join(each.host for each in manifest.snapshots)
    raise InventoryError(f"{manifest.id} has no snapshot of {host}", hint=f"--host one of: {hosts}")


def _trustworthy(opened: Opened, snapshot: Snapshot) -> Keys | None:
    """Return what the snapshot must show. Raises OutcomeError when it, or the list of it, is not what it was."""
    names = [name for name in (snapshot.file, snapshot.keys_file) if name]
    for name in names:
        stored = opened.manifest.files[name]
        if why := differs(opened.stored(name), stored.size, stored.sha256):
            raise OutcomeError(f"{opened.manifest.id}: {name}: {why}", hint="inv backup.verify shows which snapshots are usable")
    return read_keys(opened, snapshot.keys_file) if snapshot.keys_file else None


def compare(member: Member, status: str, snapshot: Snapshot, keys: Keys | None) -> list[str]:
    """Return every difference between what ``member`` shows and what was saved."""
    wrong = []
    try:
        revision = etcd.parse_status(status).revision
        if revision != snapshot.revision:
            wrong.append(f"it is at revision {revision} instead of {snapshot.revision}")
        if keys:
            prefixes = tuple(keys.counts)
            answers = [member.ask("txn", "-w", "json", stdin=words) for words in _transactions(prefixes, snapshot.revision)]
            wrong += differences(keys, backup.parse_keys("".join(answers), prefixes))
    except (ValueError, RunbookError) as error:
        wrong.append(f"it cannot be asked: {error}")
    return wrong


def _transactions(prefixes: Sequence[str], revision: int) -> list[str]:
    """Build what backup-etcd.sh asked the cluster as well: all keys, then each prefix, as of one revision."""
    first = [f'get "" --from-key --limit=1 --keys-only --rev={revision}']
    batches = [prefixes[at : at + AT_ONCE] for at in range(0, len(prefixes), AT_ONCE)] or [()]
    found = []
    for number, batch in enumerate(batches):
        asked = [f"get {prefix} --prefix --limit=2 --rev={revision}" for prefix in batch]
        found.append("\n".join(["", *(first if not number else []), *asked, "", "", ""]))
    return found


def differences(saved: Keys, seen: backup.Keys) -> list[str]:
    """Return where what a restored etcd shows is not what was saved: counts, and revision and value of each sample.

    No value is named: they are secrets.
    """
    wrong = [] if seen.total == saved.total else [f"it has {counted(seen.total, 'key')} instead of {saved.total}"]
    for prefix, count in saved.counts.items():
        if (there := seen.counts.get(prefix, 0)) != count:
            wrong.append(f"{prefix} has {there} keys instead of {count}")
    samples = {b64decode(each.key).decode(errors="replace"): each for each in seen.samples}
    for each in saved.samples:
        found = samples.get(each.key)
        if not found:
            wrong.append(f"{each.key} is not there")
        elif found.mod_revision != each.mod_revision:
            wrong.append(f"{each.key} was last changed at revision {found.mod_revision} instead of {each.mod_revision}")
        elif hashlib.sha256(b64decode(found.value)).hexdigest() != each.sha256:
            wrong.append(f"{each.key} has another value")
    return wrong


def _tell(session: Session, name: str, snapshot: Snapshot, keys: Keys | None, booted: float) -> None:
    if session.options.json:
        compared = {"keys": keys.total, "prefixes": len(keys.counts), "samples": len(keys.samples)} if keys else None
        seen = {
            "id": name,
            "host": snapshot.host,
            "revision": snapshot.revision,
            "booted_s": round(booted, 3),
            "compared": compared,
        }
        print(json.dumps(seen))
        return
    what = f"etcd {snapshot.version} booted in {booted:.1f} s from {snapshot.host}'s snapshot, at revision {snapshot.revision}"
    print(f"{name}: {what}")
    if keys:
        print(f"{keys.total:,} keys under {len(keys.counts)} prefixes, {len(keys.samples)} samples: all as saved")
    else:
        print("its keys were not counted when it was saved, so there is nothing to compare them with")
