"""Write the files of a new set: readable only by this user, encrypted if the site says so, with size and digest recorded."""

from __future__ import annotations

import hashlib
import os
import subprocess
from pathlib import Path

from runbooks.backup.sets.manifest import Stored
from runbooks.errors import DiskError
from runbooks.inventory.settings import Age
from runbooks.local import files, programs
from runbooks.local.disk import writing

CARRIED = 32  # bytes: etcd appends the SHA-256 of a snapshot to it
CHUNK = 1 << 20  # bytes


class Folder:
    """The files of a new set. With ``age`` only ciphertext is ever written to disk."""

    def __init__(self, path: Path, age: Age | None = None) -> None:
        self.path = path
        self.files: dict[str, Stored] = {}
        self._age = age
        self._program = programs.find("age", why="backup.age in hosts.yaml needs it") if age else ""

    def stored_name(self, name: str) -> str:
        """Return the name of the file ``name`` in the set: with ".age" when the set is encrypted."""
        return f"{name}.age" if self._age else name

    def open(self, name: str) -> Writer:
        """Start the file ``name``. Replaces what an earlier attempt left. Raises DiskError."""
        path = self.path / self.stored_name(name)
        with writing(path):
            path.parent.mkdir(mode=0o700, exist_ok=True)
            path.unlink(missing_ok=True)
        return Writer(path, [self._program, *_recipients(self._age)] if self._age else [])

    def close(self, name: str, writer: Writer, sha256: str = "") -> None:
        """Finish the file ``name`` and record its size and digest. ``sha256``: that of the plaintext, if the caller knows it."""
        self.files[self.stored_name(name)] = writer.close(sha256)

    def put(self, name: str, content: bytes) -> None:
        """Write a small file."""
        writer = self.open(name)
        writer.write(content)
        self.close(name, writer, hashlib.sha256(content).hexdigest())


def _recipients(age: Age) -> list[str]:
    return [word for recipient in age.recipients for word in ("--recipient", recipient)]


class Writer:
    """One file, mode 0600 from its first byte, synced when it is closed. Raises DiskError when it cannot be written.

    ``encrypt`` is the command line of age, or [] to write plaintext.
    """

    def __init__(self, path: Path, encrypt: list[str]) -> None:
        self._path = path
        with writing(path):
            self._file = os.fdopen(files.create(path), "r+b", buffering=0)
        self._size = 0
        self._age = (
            subprocess.Popen(encrypt, stdin=subprocess.PIPE, stdout=self._file, stderr=subprocess.PIPE) if encrypt else None
        )

    def write(self, data: bytes | memoryview) -> None:
        """Append ``data``."""
        if self._age:
            assert self._age.stdin  # noqa: S101 - for the type checker: it is a pipe
            try:
                self._age.stdin.write(data)
            except BrokenPipeError:
                self._wait_for_age()  # raises with age's message
                raise
            return
        self._size += len(data)
        left = memoryview(data)
        with writing(self._path):
            while left:
                left = left[self._file.write(left) :]

    def close(self, sha256: str = "") -> Stored:
        """Finish the file. With ``sha256``, the digest of the plaintext, a plain file is not read again."""
        if self._age:
            self._wait_for_age()
        with writing(self._path):
            if self._age or not sha256:
                self._file.seek(0)
                sha256 = hashlib.file_digest(self._file, "sha256").hexdigest()
                self._size = self._file.tell()
            os.fsync(self._file.fileno())
            self._file.close()
        return Stored(size=self._size, sha256=sha256)

    def abandon(self) -> None:
        """Stop writing and delete the file."""
        if self._age:
            self._age.kill()
            self._age.communicate()
        self._file.close()
        self._path.unlink(missing_ok=True)

    def _wait_for_age(self) -> None:
        assert self._age  # noqa: S101 - for the type checker
        _, said = self._age.communicate()
        if self._age.returncode:
            text = said.decode(errors="replace")
            raise DiskError(f"{self._path}: age could not encrypt it{programs.tail(text)}", hint="check backup.age in hosts.yaml")
