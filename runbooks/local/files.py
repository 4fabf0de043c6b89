"""Private files on this machine, written atomically. A symbolic link at the path is never followed."""

from __future__ import annotations

import os
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from runbooks.errors import DiskError


def create(path: Path) -> int:
    """Create ``path``, mode 0600, and return its file descriptor for reading and writing. Raises FileExistsError, OSError."""
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)


def replace(path: Path, content: bytes, mode: int = 0o600, owner: tuple[int, int] | None = None) -> None:
    """Replace ``path`` by a file with ``content`` and ``mode``, atomically and synced to disk. Raises DiskError.

    ``owner``: the numbers of its user and group, where they are not this process's own.
    """
    try:
        with _beside(path, content, mode, owner) as temporary:
            temporary.replace(path)
    except OSError as error:
        raise DiskError(f"{path}: cannot be written: {error.strerror or error}") from None


def create_once(path: Path, content: bytes) -> None:
    """Create ``path`` with ``content``, mode 0600, unless it exists: of several processes the first one wins. Raises OSError."""
    with _beside(path, content, 0o600) as temporary, suppress(FileExistsError):
        path.hardlink_to(temporary)


def create_new(path: Path, content: bytes, mode: int = 0o600) -> None:
    """Create ``path`` with ``content`` and ``mode``, complete or not at all. Raises FileExistsError when it is there, OSError."""
    with _beside(path, content, mode) as temporary:
        path.hardlink_to(temporary)


@contextmanager
def _beside(path: Path, content: bytes, mode: int, owner: tuple[int, int] | None = None) -> Iterator[Path]:
    """Yield a temporary file with ``content`` in the directory of ``path``, synced to disk. It is deleted unless it was renamed."""
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    temporary = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as file:
            if owner:
                os.fchown(descriptor, *owner)
            os.fchmod(descriptor, mode)
            file.write(content)
            file.flush()
            os.fsync(descriptor)
        yield temporary
    finally:
        temporary.unlink(missing_ok=True)


def open_to_others(path: Path) -> bool:
    """Whether anybody but the owner of ``path`` has any permission on it. Raises OSError."""
    return bool(path.stat().st_mode & 0o077)


def opened(top: Path) -> dict[Path, str]:
    """Return ``top`` and what is below it that anybody but its owner may read or change, with the mode in octal. Links are left out."""
    paths = (top, *(Path(directory) / name for directory, names, files in os.walk(top) for name in (*names, *files)))
    found = {}
    for path in paths:
        with suppress(FileNotFoundError):  # it goes away meanwhile
            mode = path.lstat().st_mode
            if not stat.S_ISLNK(mode) and mode & 0o077:
                found[path] = f"{stat.S_IMODE(mode):04o}"
    return dict(sorted(found.items()))


def size_below(top: Path) -> int:
    """Return the size of all files below ``top``, in bytes. A file that goes away meanwhile counts as 0."""
    total = 0
    for directory, _, files in os.walk(top):
        for name in files:
            with suppress(OSError):
                total += (Path(directory) / name).lstat().st_size
    return total


def make_private(top: Path) -> list[str]:
    """Make this user the owner of all below ``top``: directories 0700, files 0600. Return the paths that are neither (links, pipes)."""
    others = []
    for directory, names, files in os.walk(top):
        for name in (*names, *files):
            path = Path(directory) / name
            mode = path.lstat().st_mode
            if not (stat.S_ISDIR(mode) or stat.S_ISREG(mode)):
                others.append(str(path.relative_to(top)))
                continue
            os.chown(path, os.geteuid(), os.getegid())
            path.chmod(0o700 if stat.S_ISDIR(mode) else 0o600)
    return others
