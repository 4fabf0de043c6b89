"""Private files of this machine, and files that are there whole or not at all. A symbolic link at a path is never followed."""

from __future__ import annotations

import os
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from runbooks.errors import DiskError


def create(path: Path) -> int:
    """Return a file descriptor for reading and writing the new file ``path``, mode 0600. Raises FileExistsError, OSError."""
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)


def replace(path: Path, content: bytes, mode: int = 0o600) -> None:
    """Put ``content`` at ``path`` in place of what is there, whole, with ``mode``, and on disk. Raises DiskError."""
    try:
        with _beside(path, content, mode) as temporary:
            temporary.replace(path)
    except OSError as error:
        raise DiskError(f"{path}: cannot be written: {error.strerror or error}") from None


def keep(path: Path, content: bytes) -> None:
    """Put ``content`` at ``path``, mode 0600, unless something is there: of several processes the first one wins. Raises OSError."""
    with _beside(path, content, 0o600) as temporary, suppress(FileExistsError):
        path.hardlink_to(temporary)


@contextmanager
def _beside(path: Path, content: bytes, mode: int) -> Iterator[Path]:
    """Give a temporary file with ``content`` in the directory of ``path``, on disk; it is deleted unless it was renamed."""
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    temporary = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as file:
            os.fchmod(descriptor, mode)
            file.write(content)
            file.flush()
            os.fsync(descriptor)
        yield temporary
    finally:
        temporary.unlink(missing_ok=True)


def open_to_others(path: Path) -> bool:
    """Whether anybody but the owner of ``path`` has a right on it. Raises OSError."""
    return bool(path.stat().st_mode & 0o077)


def make_private(top: Path) -> list[str]:
    """Give every directory below ``top`` to this user with 0700, every file with 0600; return what is neither (links, pipes ...)."""
    odd = []
    for directory, names, files in os.walk(top):
        for name in (*names, *files):
            path = Path(directory) / name
            mode = path.lstat().st_mode
            if not (stat.S_ISDIR(mode) or stat.S_ISREG(mode)):
                odd.append(str(path.relative_to(top)))
                continue
            os.chown(path, os.geteuid(), os.getegid())
            path.chmod(0o700 if stat.S_ISDIR(mode) else 0o600)
    return odd
