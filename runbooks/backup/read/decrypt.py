"""`inv backup.decrypt`: export a whole set in plaintext, for recovery by hand."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from runbooks.backup.rules.snapshots import MARGIN
from runbooks.backup.sets import manifest
from runbooks.backup.sets.folder import Folder
from runbooks.backup.sets.manifest import Manifest, Stored
from runbooks.backup.sets.opened import SUFFIX, Opened, differs
from runbooks.backup.sets.opened import identity as key_file
from runbooks.backup.sets.store import Store, is_unlocked
from runbooks.errors import InventoryError, OutcomeError, PrecheckError
from runbooks.local.disk import require_room
from runbooks.local.programs import interruptible
from runbooks.text import counted

if TYPE_CHECKING:
    from runbooks.engine.session import Session


def decrypt(session: Session, *, to: str, name: str, identity: str) -> None:
    """Write the set ``name`` (the newest when it is "") in plaintext, with its manifest, to ``to``, which must not exist yet.

    Raises OutcomeError when a file of the set is damaged; then ``to`` is not made.
    """
    store = Store(session.site)
    found = store.one(name)
    opened = Opened(found, key_file(store, identity))
    target = Path(to).expanduser().absolute()
    _check(opened, target)
    if session.options.plan:
        _print(session, opened, target)
        return
    with interruptible(), _partial(target) as partial:
        made = copy(opened, Folder(partial))
        Folder(partial).put(manifest.NAME, manifest.write(made))
        partial.rename(target)
    _print(session, opened, target)


def _check(opened: Opened, target: Path) -> None:
    if target.exists() or target.is_symlink():
        raise InventoryError(
            f"{target}: it is there already, and nothing is overwritten", hint="--to a directory that does not exist"
        )
    if not target.parent.is_dir():
        raise InventoryError(f"{target.parent}: there is no such directory", hint="mkdir -m 0700 it, or choose another --to")
    require_room(target.parent, opened.manifest.size + MARGIN, "the set takes", "--to a directory on a larger disk")
    opened.unlock(opened.manifest.files)


def copy(opened: Opened, folder: Folder) -> Manifest:
    """Write every file to ``folder`` in plaintext, and return the manifest of the copy. Raises OutcomeError, naming a damaged file."""
    for name, stored in opened.manifest.files.items():
        if why := differs(opened.stored(name), stored.size, stored.sha256):
            raise OutcomeError(f"{opened.manifest.id}: {name}: {why}", hint="inv backup.verify shows everything that is wrong")
        writer = folder.open(_plain(opened, name))
        try:
            for data in opened.chunks(name):
                writer.write(data)
        except BaseException:
            writer.abandon()
            raise
        folder.close(_plain(opened, name), writer)
    return plain_manifest(opened, folder.files)


def plain_manifest(opened: Opened, files: dict[str, Stored]) -> Manifest:
    """Return the manifest of the same set without encryption: names, sizes and digests of its files differ, nothing else."""
    made = opened.manifest
    replace = msgspec.structs.replace
    return replace(
        made,
        files=dict(sorted(files.items())),
        encrypted_to=(),
        snapshots=tuple(
            replace(each, file=_plain(opened, each.file), keys_file=_plain(opened, each.keys_file) if each.keys_file else None)
            for each in made.snapshots
        ),
        kinds={
            name: replace(kind, file=_plain(opened, kind.file), size=files[_plain(opened, kind.file)].size)
            for name, kind in made.kinds.items()
        },
    )


def _plain(opened: Opened, name: str) -> str:
    return name.removesuffix(SUFFIX) if opened.encrypted else name


@contextmanager
def _partial(target: Path) -> Iterator[Path]:
    """Yield a hidden directory (0700) beside ``target``; it is deleted at the end unless it was renamed.

    First deletes what a killed attempt has left there. Raises PrecheckError when the directory cannot be made, also because another
    attempt is running.
    """
    path = target.with_name(f".{target.name}.ha-runbooks-partial")
    try:
        if is_unlocked(path) and path.lstat().st_uid == os.getuid():
            shutil.rmtree(path)
        path.mkdir(mode=0o700)
    except OSError as error:
        raise PrecheckError(f"{path}: cannot be made: {error.strerror}", hint="another --to") from None
    handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield path
        os.fsync(handle)
    finally:
        os.close(handle)
        shutil.rmtree(path, ignore_errors=True)


def _print(session: Session, opened: Opened, target: Path) -> None:
    made, plan = opened.manifest, session.options.plan
    if session.options.json:
        print(json.dumps({"id": made.id, "to": str(target), "files": len(made.files) + 1, "plan": plan}))
    elif plan:
        print(f"would put {counted(len(made.files) + 1, 'file')} of {made.id} in plaintext at {target}; nothing was touched")
    else:
        print(f"{made.id}: {counted(len(made.files) + 1, 'file')} in plaintext at {target}")
        reader = "root" if not os.getuid() else "you"
        print(f"{target} now holds every secret of the cluster, readable only by {reader}: delete it soon")
