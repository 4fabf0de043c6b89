"""`inv backup.restore-test`: boot an etcd from a set, and compare its keys with those the cluster had when the set was made."""

from __future__ import annotations

import hashlib
import json
import time
from base64 import b64decode
from collections.abc import Sequence
from typing import TYPE_CHECKING

from runbooks.backup.read.contents import key_list, plain_snapshot
from runbooks.backup.read.scratch import scratch
from runbooks.backup.read.verification import record
from runbooks.backup.sets import opened as sets_opened
from runbooks.backup.sets import tools as sets_tools
from runbooks.backup.sets.manifest import Keys, Manifest, Snapshot
from runbooks.backup.sets.opened import Opened, differs
from runbooks.backup.sets.store import Store
from runbooks.commands import backup, etcd
from runbooks.errors import CommandError, InventoryError, OutcomeError, RunbookError
from runbooks.local.etcd_tools import LocalMember
from runbooks.local.programs import interruptible
from runbooks.text import counted, first_few, listed

if TYPE_CHECKING:
    from runbooks.engine.session import Session

PREFIXES_AT_ONCE = 100  # etcd takes 128 operations in one transaction
SHOWN = 20  # differences in the error message


def restore_test(session: Session, *, name: str, host: str, identity: str) -> None:
    """Boot an etcd from the set ``name`` (the newest when it is "") with the snapshot of ``host`` (the best one when it is "").

    Raises OutcomeError, with every difference, when its keys are not those that were saved. Records the result beside the set.
    """
    store = Store(session.site)
    found = store.one(name)
    opened = Opened(found, sets_opened.identity(store, identity))
    snapshot = choose(opened.manifest, host)
    tools = sets_tools.find(store, snapshot.version, boot=True)
    size = snapshot.size * (3 if opened.encrypted else 2)  # etcd may double its size when it boots
    try:
        with interruptible(), scratch(store, size) as directory:
            keys = _intact_keys(opened, snapshot)
            tools.restore(plain_snapshot(opened, snapshot, directory), directory / "restored")
            started = time.monotonic()
            with LocalMember(tools, directory, "restored") as member:
                status = member.ready()
                booted = time.monotonic() - started
                wrong = compare(member, status, snapshot, keys)
    except (OutcomeError, CommandError):
        record(store, found.id, ok=False, scope="restored")
        raise
    record(store, found.id, ok=not wrong, scope="restored")
    if wrong:
        raise OutcomeError(
            f"{found.id}: the etcd restored from {snapshot.host}'s snapshot is not what was saved:\n  "
            + "\n  ".join(first_few(wrong, SHOWN)),
            hint="inv backup.verify; --host tries another member's snapshot",
        )
    _tell(session, found.id, snapshot, keys, booted)


def choose(manifest: Manifest, host: str) -> Snapshot:
    """Return the snapshot of ``host``. Without a host: one with a key list before one without, then the newest revision.

    Raises InventoryError when the set has no snapshot of ``host``.
    """
    if not host:
        return max(manifest.snapshots, key=lambda each: (each.keys_file is not None, each.revision))
    for each in manifest.snapshots:
        if each.host == host:
            return each
    hosts = listed(each.host for each in manifest.snapshots)
    raise InventoryError(f"{manifest.id} has no snapshot of {host}", hint=f"--host one of: {hosts}")


def _intact_keys(opened: Opened, snapshot: Snapshot) -> Keys | None:
    """Return the key list of a snapshot, None without one. Raises OutcomeError when the snapshot or its key list fails its checksum."""
    names = [name for name in (snapshot.file, snapshot.keys_file) if name]
    for name in names:
        stored = opened.manifest.files[name]
        if why := differs(opened.stored(name), stored.size, stored.sha256):
            raise OutcomeError(f"{opened.manifest.id}: {name}: {why}", hint="inv backup.verify shows which snapshots are usable")
    return key_list(opened, snapshot.keys_file) if snapshot.keys_file else None


def compare(member: LocalMember, status: str, snapshot: Snapshot, keys: Keys | None) -> list[str]:
    """Return every difference between the keys of ``member`` and those that were saved."""
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
        wrong.append(f"it does not answer: {error}")
    return wrong


def _transactions(prefixes: Sequence[str], revision: int) -> list[str]:
    """Return the etcdctl transactions that backup-etcd.sh made, too: count all keys, then each prefix, all at one revision."""
    first = [f'get "" --from-key --limit=1 --keys-only --rev={revision}']
    batches = [prefixes[at : at + PREFIXES_AT_ONCE] for at in range(0, len(prefixes), PREFIXES_AT_ONCE)] or [()]
    found = []
    for number, batch in enumerate(batches):
        asked = [f"get {prefix} --prefix --limit=2 --rev={revision}" for prefix in batch]
        found.append("\n".join(["", *(first if not number else []), *asked, "", "", ""]))
    return found


def differences(saved: Keys, seen: backup.Keys) -> list[str]:
    """Return every difference between ``saved`` and ``seen``: counts, and the revision and the value of each sample.

    Names keys, but never a value: values may be secrets.
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
