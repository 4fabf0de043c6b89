"""A temporary private directory in which a snapshot is restored. It is always deleted afterwards."""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from runbooks.backup.sets.store import SCRATCH, Store
from runbooks.commands.backup import ROOM
from runbooks.local.disk import require_room


@contextmanager
def scratch(store: Store, size: int) -> Iterator[Path]:
    """Yield a hidden directory (0700) on the disk of the sets, with room for ``size`` bytes and a write-ahead log.

    First deletes directories that killed commands have left. Raises PrecheckError when the disk has less room.
    """
    store.prepare()
    for path in store.abandoned():
        shutil.rmtree(path, ignore_errors=True)
    require_room(store.directory, size + ROOM, "restoring a snapshot there takes")
    path = Path(tempfile.mkdtemp(prefix=".born-", dir=store.directory))
    try:
        handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
            path = path.rename(path.with_name(SCRATCH + path.name.removeprefix(".born-")))  # this name means: its lock is held
            yield path
        finally:
            os.close(handle)
    finally:
        shutil.rmtree(path, ignore_errors=True)
