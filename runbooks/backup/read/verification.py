"""Verifies one set: files against the manifest, snapshots by restoring them, lists of objects by counting. Finds every problem."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from runbooks.backup.read.contents import key_list, plain_snapshot
from runbooks.backup.read.scratch import scratch
from runbooks.backup.sets import manifest as sets_manifest
from runbooks.backup.sets import opened as sets_opened
from runbooks.backup.sets import tools as sets_tools
from runbooks.backup.sets.damage import strangers
from runbooks.backup.sets.manifest import Kind, Manifest, Snapshot
from runbooks.backup.sets.objects import Pages
from runbooks.backup.sets.opened import AFTER, Opened, differs
from runbooks.backup.sets.store import Set, Store
from runbooks.errors import InventoryError, OutcomeError, PrecheckError, RunbookError
from runbooks.local import files
from runbooks.text import counted, first_few, listed, size_text

if TYPE_CHECKING:
    from runbooks.local.etcd_tools import Tools

MODES = "modes"
NAMED = 3  # files that other users may use; the command is for all of them


@dataclass(frozen=True, slots=True)
class Part:
    """The result for one part of a set; ``ok`` is None when it could not be verified."""

    name: str
    ok: bool | None
    text: str


@dataclass(kw_only=True)
class Verification:
    """The results for one set.

    scope   what was verified: "files" or their "contents" too.
    intact  the files that are as the manifest says.
    usable  the hosts whose snapshots can be restored.
    unable  why some snapshots could not be restored here; None when nothing prevented it.
    private the command that takes the set from other users; "" when they cannot use it.
    unlisted why the set has lacked objects since it was made; "" when it does not.
    """

    id: str
    parts: list[Part] = field(default_factory=list)
    scope: str = "contents"
    intact: set[str] = field(default_factory=set)
    usable: list[str] = field(default_factory=list)
    unable: PrecheckError | None = None
    private: str = ""
    unlisted: str = ""

    @property
    def problems(self) -> list[str]:
        """Everything that is wrong, one line each."""
        return [f"{part.name}: {part.text}" for part in self.parts if part.ok is False]

    def add(self, name: str, text: str, *, ok: bool | None = True) -> None:
        """Add the result for one part."""
        self.parts.append(Part(name, ok, text))


def verify_set(store: Store, found: Set, identity: str = "") -> Verification:
    """Verify the set ``found``, and record the result beside it. ``identity`` is the file of age's private key (--identity).

    Raises InventoryError when the identity does not fit, PrecheckError when there is no room to restore a snapshot, or when the set
    was deleted meanwhile.
    """
    result = Verification(id=found.id)
    if found.manifest:
        key = sets_opened.identity(store, identity)
        result.unlisted = found.manifest.unlisted
        result.add(sets_manifest.NAME, f"its digest is right; {found.manifest.state} when it was made")
        _files(result, found, found.manifest)
        if found.manifest.encrypted_to and not key:
            result.scope = "files"
            result.add("contents", "not verified: the set is encrypted, and there is no --identity", ok=None)
        else:
            opened = Opened(found, key)
            opened.unlock(result.intact)
            _snapshots(result, store, opened)
            _objects(result, opened)
    else:
        result.scope = "files"
        result.add(sets_manifest.NAME, found.damage.removeprefix(f"{found.path / sets_manifest.NAME}: "), ok=False)
        _snapshots_without_manifest(result, found.path)
    _private(result, found)
    if not found.path.is_dir():
        raise PrecheckError(f"{found.id} was deleted while it was being verified", hint="inv backup.list")
    record(store, found.id, ok=not result.problems, scope=result.scope)
    return result


def record(store: Store, name: str, *, ok: bool, scope: str) -> None:
    """Record the result of a verification; ``scope`` is "files", "contents" or "restored"."""
    store.prepare()
    store.record(name, verified={"at": datetime.now(UTC).isoformat(timespec="seconds"), "ok": ok, "what": scope})


# ---- files


def _files(result: Verification, found: Set, manifest: Manifest) -> None:
    for name, stored in sorted(manifest.files.items()):
        if not sets_opened.is_inside(name):
            result.add(name, "the manifest names a file outside of the set", ok=False)
        elif why := differs(found.path / name, stored.size, stored.sha256):
            result.add(name, why, ok=False)
        else:
            result.intact.add(name)
    for name in strangers(found.path, manifest):
        result.add(name, "it is not in the manifest: it was added after the set was made", ok=False)
    good, total = len(result.intact), len(manifest.files)
    size = size_text(sum(manifest.files[name].size for name in result.intact))
    result.add("files", f"{good} of {total} have the size and SHA-256 of the manifest, {size}", ok=good == total or None)


def _private(result: Verification, found: Set) -> None:
    """Name what other users may read or change: a run makes files 0600 and directories 0700, because they hold the cluster's secrets."""
    opened = [f"{path.relative_to(found.path)} ({mode})" for path, mode in files.opened(found.path).items()]
    if opened:
        result.private = f"chmod -R go= {found.path}"
        result.add(MODES, f"other users may use {listed(first_few(opened, NAMED))}; {result.private}", ok=False)


def _snapshots_without_manifest(result: Verification, path: Path) -> None:
    """Compare each plain snapshot with the SHA-256 that etcd appended to it: that needs no manifest."""
    for file in sorted(path.glob("etcd/*.db")):
        name = f"etcd/{file.name}"
        try:
            whole = sets_opened.is_whole(file)
        except RunbookError as error:
            result.add(name, str(error), ok=False)
            continue
        if whole:
            result.usable.append(file.stem)
            result.add(name, "it is whole: the SHA-256 that it carries is right")
        else:
            result.add(name, f"the SHA-256 that it carries differs: {AFTER}", ok=False)


# ---- contents


def _snapshots(result: Verification, store: Store, opened: Opened) -> None:
    copies = 2 if opened.encrypted else 1
    intact = [each for each in opened.manifest.snapshots if each.file in result.intact]
    room = max((each.size for each in intact), default=0) * copies
    for snapshot in intact:
        try:
            tools = sets_tools.find(store, snapshot.version)
        except PrecheckError as error:
            result.unable, result.scope = error, "files"
            result.add(snapshot.file, "not restored: this machine has no etcdutl of a version that fits", ok=None)
            continue
        with scratch(store, room) as directory:
            try:
                text = _restored(opened, tools, snapshot, directory)
            except (InventoryError, PrecheckError):
                raise
            except RunbookError as error:
                result.add(snapshot.file, str(error), ok=False)
                continue
        result.usable.append(snapshot.host)
        result.add(snapshot.file, text)
    for snapshot in opened.manifest.snapshots:
        if snapshot.keys_file in result.intact:
            _keys(result, opened, snapshot, snapshot.keys_file)


def _restored(opened: Opened, tools: Tools, snapshot: Snapshot, directory: Path) -> str:
    """Restore a snapshot, and return what it holds. Raises RunbookError when it differs from the manifest or cannot be restored."""
    path = plain_snapshot(opened, snapshot, directory)
    said = tools.status(path)
    pairs = {
        "hash": (said.hash, snapshot.hash),
        "revision": (said.revision, snapshot.revision),
        "size": (said.size, snapshot.size),
    }
    if wrong := [f"{name} {seen} instead of {wanted}" for name, (seen, wanted) in pairs.items() if seen != wanted]:
        raise OutcomeError(f"its content is not what the manifest says: {listed(wrong)}")
    tools.restore(path, directory / "restored")  # also checks the SHA-256 inside the snapshot
    keys = "" if snapshot.live_keys is None else f"{counted(snapshot.live_keys, 'key')}, "
    return f"revision {snapshot.revision}, {keys}{size_text(snapshot.size)}; it restores"


def _keys(result: Verification, opened: Opened, snapshot: Snapshot, name: str) -> None:
    try:
        keys = key_list(opened, name)
    except InventoryError:
        raise
    except RunbookError as error:
        result.add(name, str(error), ok=False)
        return
    if (keys.total, keys.revision) != (snapshot.live_keys, snapshot.revision):
        own = f"it counts {counted(keys.total, 'key')} at revision {keys.revision}"
        result.add(name, f"{own}, the manifest {snapshot.live_keys} at {snapshot.revision}", ok=False)


def _objects(result: Verification, opened: Opened) -> None:
    counts = [_count(result, opened, kind) for _, kind in sorted(opened.manifest.kinds.items())]
    good = [count for count in counts if count is not None]
    text = f"{sum(good)} of {opened.manifest.objects} objects read, {len(good)} of {len(counts)} kinds"
    if counts:
        result.add("objects", text, ok=len(good) == len(counts) or None)


def _count(result: Verification, opened: Opened, kind: Kind) -> int | None:
    """Return how many objects of a kind the set holds; None when its file is damaged or disagrees with the manifest."""
    if kind.file not in result.intact:
        return None
    pages = Pages()
    try:
        for chunk in opened.chunks(kind.file):
            pages.add(chunk)
        count = pages.end("its content")
    except InventoryError:
        raise
    except RunbookError as error:
        result.add(kind.file, str(error), ok=False)
        return None
    if count != kind.objects:
        result.add(kind.file, f"it holds {counted(count, 'object')}, the manifest says {kind.objects}", ok=False)
        return None
    return count
