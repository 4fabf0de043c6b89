"""Free space on the disks of this machine, and errors in writing to them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from runbooks.errors import DiskError, PrecheckError
from runbooks.text import size_text

MORE: Final = "free space there (inv backup.prune), or set backup.directory in hosts.yaml to a larger disk"


def free_bytes(directory: Path) -> int:
    """Return how many bytes this user can still write on the disk of ``directory``, which need not exist yet."""
    there = next(path for path in (directory, *directory.parents) if path.exists())
    found = os.statvfs(there)
    return found.f_bavail * found.f_frsize


def require_room(directory: Path, needed: int, what: str, hint: str = MORE) -> None:
    """Raise PrecheckError when ``directory`` has fewer than ``needed`` bytes free; ``what`` says what takes them: "this set takes"."""
    free = free_bytes(directory)
    if free < needed:
        raise PrecheckError(f"{directory}: {size_text(free)} are free, but {what} {size_text(needed)}", hint=hint)


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turn an OSError while ``path`` is written into a DiskError."""
    try:
        yield
    except OSError as error:
        raise DiskError(f"{path}: cannot be written: {error.strerror}", hint=MORE) from None
