"""`inv backup.verify`: is a set still what it was when it was made? Every part is looked at, and every problem is told."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from runbooks.backup.read.scratch import scratch
from runbooks.backup.sets import manifest as sets_manifest
from runbooks.backup.sets import opened as sets_opened
from runbooks.backup.sets import tools as sets_tools
from runbooks.backup.sets.manifest import Kind, Manifest, Snapshot
from runbooks.backup.sets.objects import Pages
from runbooks.backup.sets.opened import AFTER, Carried, Opened, differs, there
from runbooks.backup.sets.store import Set, Store
from runbooks.errors import InventoryError, OutcomeError, PrecheckError, RunbookError
from runbooks.local import files
from runbooks.local.programs import interruptible
from runbooks.text import counted, size_text, table

if TYPE_CHECKING:
    from runbooks.engine.session import Session
    from runbooks.local.etcd_tools import Tools

HEADER = ("part", "state", "what was seen")


@dataclass(frozen=True, slots=True)
class Part:
    """What a look at one part of a set gave; ``ok`` is None when it could not be looked at."""

    name: str
    ok: bool | None
    text: str


@dataclass(kw_only=True)
class Proof:
    """What is known of one set afterwards. ``sound`` are the files that are as the manifest says, ``usable`` the snapshots."""

    id: str
    parts: list[Part] = field(default_factory=list)
    what: str = "contents"
    sound: set[str] = field(default_factory=set)
    usable: list[str] = field(default_factory=list)
    unable: PrecheckError | None = None

    @property
    def problems(self) -> list[str]:
        """Everything that is wrong."""
        return [f"{part.name}: {part.text}" for part in self.parts if part.ok is False]

    def saw(self, name: str, text: str, *, ok: bool | None = True) -> None:
        """Note what was seen of a part."""
        self.parts.append(Part(name, ok, text))


def verify(session: Session, name: str, identity: str, *, everything: bool) -> None:
    """Prove the set ``name`` (the newest when it is ""), or all of them.

    Raises OutcomeError, with every problem, when a set is not what it was, and PrecheckError when it could not be looked into.
    """
    store = Store(session.site)
    if everything and name:
        raise InventoryError("--all looks at every set, so --id has nothing to choose", hint="give one of the two")
    chosen = (store.sets() if everything else []) or [store.one(name)]
    proofs = []
    with interruptible():
        for each in chosen:
            proofs.append(proof := prove(store, each, identity))
            if not session.options.json:
                print(f"{proof.id}\n\n{_table(proof)}\n\n{_verdict(proof)}\n", flush=True)
    if session.options.json:
        print(json.dumps({"sets": [_for_machines(proof) for proof in proofs]}))
    if bad := [proof for proof in proofs if proof.problems]:
        raise OutcomeError(
            "\n".join(map(_complaint, bad)), hint="inv backup.run makes a new set; inv backup.list shows the others"
        )
    for proof in proofs:
        if proof.unable:
            raise proof.unable


def prove(store: Store, found: Set, given: str = "") -> Proof:
    """Look at everything in the set ``found`` and leave word of it. ``given`` is --identity.

    Raises InventoryError when the identity does not fit, PrecheckError when there is no room to restore a snapshot.
    """
    proof = Proof(id=found.id)
    if found.manifest:
        key = sets_opened.identity(store, given)
        proof.saw(sets_manifest.NAME, f"its digest is right; {found.manifest.state} when it was made")
        _files(proof, found, found.manifest)
        if found.manifest.encrypted_to and not key:
            proof.what = "files"
            proof.saw("contents", "not looked into: the set is encrypted, and there is no --identity", ok=None)
        else:
            opened = Opened(found, key)
            opened.unlock(proof.sound)
            _snapshots(proof, store, opened, found)
            _objects(proof, opened)
    else:
        proof.what = "files"
        proof.saw(sets_manifest.NAME, found.damage.removeprefix(f"{found.path / sets_manifest.NAME}: "), ok=False)
        _orphans(proof, found.path)
    if not found.path.is_dir():
        raise PrecheckError(f"{found.id} was deleted while it was being looked at", hint="inv backup.list")
    record(store, found.id, ok=not proof.problems, what=proof.what)
    return proof


def record(store: Store, name: str, *, ok: bool, what: str) -> None:
    """Leave word of how a proof went; ``what`` is "files", "contents" or "restored"."""
    store.prepare()
    store.record(name, verified={"at": datetime.now(UTC).isoformat(timespec="seconds"), "ok": ok, "what": what})


# ---- what lies there


def _files(proof: Proof, found: Set, manifest: Manifest) -> None:
    for name, stored in sorted(manifest.files.items()):
        if not sets_opened.is_inside(name):
            proof.saw(name, "the manifest names a file outside of the set", ok=False)
            continue
        if why := differs(found.path / name, stored.size, stored.sha256):
            proof.saw(name, why, ok=False)
        else:
            proof.sound.add(name)
    for name in sorted(set(there(found.path)) - manifest.files.keys() - {sets_manifest.NAME}):
        proof.saw(name, "it is not in the manifest: it was added after the set was made", ok=False)
    good, total = len(proof.sound), len(manifest.files)
    sizes = sum(manifest.files[name].size for name in proof.sound)
    proof.saw(
        "files", f"{good} of {total} have the size and SHA-256 of the manifest, {size_text(sizes)}", ok=good == total or None
    )


def _orphans(proof: Proof, path: Path) -> None:
    """Without a manifest, a snapshot still tells whether it is whole."""
    for file in sorted(path.glob("etcd/*.db")):
        name = f"etcd/{file.name}"
        try:
            whole = sets_opened.is_whole(file)
        except RunbookError as error:
            proof.saw(name, str(error), ok=False)
            continue
        if whole:
            proof.usable.append(file.stem)
            proof.saw(name, "it is whole: the SHA-256 that it carries is right")
        else:
            proof.saw(name, f"the SHA-256 that it carries differs: {AFTER}", ok=False)


# ---- what is in it


def _snapshots(proof: Proof, store: Store, opened: Opened, found: Set) -> None:
    copies = 2 if opened.encrypted else 1
    whole = [each for each in opened.manifest.snapshots if each.file in proof.sound]
    room = max((each.size for each in whole), default=0) * copies
    for snapshot in whole:
        try:
            tools = sets_tools.find(store, snapshot.version)
        except PrecheckError as error:
            proof.unable, proof.what = error, "files"
            proof.saw(snapshot.file, "not restored: there is no etcdutl that fits on this machine", ok=None)
            continue
        with scratch(store, room) as place:
            try:
                text = _restored(opened, tools, snapshot, place)
            except (InventoryError, PrecheckError):
                raise
            except RunbookError as error:
                proof.saw(snapshot.file, str(error), ok=False)
                continue
        proof.usable.append(snapshot.host)
        proof.saw(snapshot.file, text)
    for keys in (each for each in opened.manifest.snapshots if each.keys_file in proof.sound):
        _keys(proof, opened, keys)


def _restored(opened: Opened, tools: Tools, snapshot: Snapshot, place: Path) -> str:
    """Say what a snapshot holds. Raises RunbookError when it is not what the manifest says, or cannot be restored."""
    path = plain(opened, snapshot, place)
    said = tools.status(path)
    wanted = {"hash": snapshot.hash, "revision": snapshot.revision, "totalKey": snapshot.total_keys, "totalSize": snapshot.size}
    if odd := [f"{name} {said.get(name)} instead of {value}" for name, value in wanted.items() if said.get(name) != value]:
        raise OutcomeError(f"its content is not what the manifest says: {', '.join(odd)}")
    tools.restore(path, place / "restored")  # checks the SHA-256 that it carries
    return f"revision {snapshot.revision}, {counted(snapshot.total_keys, 'key')} with their history, {size_text(snapshot.size)}; it restores"


def plain(opened: Opened, snapshot: Snapshot, place: Path) -> Path:
    """Return where a snapshot lies in plaintext; an encrypted one is put below ``place``. Raises RunbookError."""
    if not opened.encrypted:
        return opened.stored(snapshot.file)
    path, carried = place / "snapshot.db", Carried()
    with os.fdopen(files.create(path), "wb") as file:
        for data in opened.chunks(snapshot.file):
            carried.add(data)
            try:
                file.write(data)
            except OSError as error:
                raise PrecheckError(f"{path}: cannot be written: {error.strerror}", hint="inv backup.prune") from None
    if not carried.sound:
        raise OutcomeError("the SHA-256 that it carries differs")
    return path


def read_keys(opened: Opened, name: str) -> sets_manifest.Keys:
    """Return what a restored etcd must show. Raises RunbookError when the file is damaged."""
    content = b"".join(opened.chunks(name))
    try:
        return msgspec.json.decode(content, type=sets_manifest.Keys)
    except msgspec.MsgspecError as error:
        raise OutcomeError(f"{name}: it is damaged: {error}") from None


def _keys(proof: Proof, opened: Opened, snapshot: Snapshot) -> None:
    name = snapshot.keys_file or ""
    try:
        keys = read_keys(opened, name)
    except InventoryError:
        raise
    except RunbookError as error:
        proof.saw(name, str(error), ok=False)
        return
    if (keys.total, keys.revision) != (snapshot.live_keys, snapshot.revision):
        text = f"it counts {counted(keys.total, 'key')} at revision {keys.revision}, the manifest {snapshot.live_keys} at {snapshot.revision}"
        proof.saw(name, text, ok=False)


def _objects(proof: Proof, opened: Opened) -> None:
    counts = {name: _count(proof, opened, kind) for name, kind in sorted(opened.manifest.kinds.items())}
    good = [count for count in counts.values() if count is not None]
    text = f"{sum(good)} of {opened.manifest.objects} objects read, {len(good)} of {len(counts)} kinds"
    if counts:
        proof.saw("objects", text, ok=len(good) == len(counts) or None)


def _count(proof: Proof, opened: Opened, kind: Kind) -> int | None:
    if kind.file not in proof.sound:
        return None
    pages = Pages()
    try:
        for chunk in opened.chunks(kind.file):
            pages.add(chunk)
        count = pages.end("its content")
    except InventoryError:
        raise
    except RunbookError as error:
        proof.saw(kind.file, str(error), ok=False)
        return None
    if count != kind.objects:
        proof.saw(kind.file, f"it holds {counted(count, 'object')}, the manifest says {kind.objects}", ok=False)
        return None
    return count


# ---- telling


def _table(proof: Proof) -> str:
    states = {True: "ok", False: "FAILED", None: "-"}
    return table(HEADER, [[part.name, states[part.ok], part.text.splitlines()[0]] for part in proof.parts])


def _verdict(proof: Proof) -> str:
    if proof.problems:
        return f"FAILED: {counted(len(proof.problems), 'problem')}"
    if proof.what == "files":
        return "the files are as they were when the set was made; what is in them was not looked into"
    return "everything is as it was when the set was made, and every snapshot restores"


def _complaint(proof: Proof) -> str:
    usable = (
        f"still usable: the snapshots of {', '.join(proof.usable)}" if proof.usable else "no snapshot of it was proven usable"
    )
    return "\n  ".join([f"{proof.id} is not what it was when it was made:", *proof.problems, usable])


def _for_machines(proof: Proof) -> dict[str, Any]:
    return {
        "id": proof.id,
        "ok": not proof.problems,
        "what": proof.what,
        "problems": proof.problems,
        "usable": proof.usable,
        "parts": [{"name": part.name, "ok": part.ok, "text": part.text} for part in proof.parts],
    }
