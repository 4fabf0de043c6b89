"""What a host sends, into the files of a set: checked on the way, encrypted on the way, never whole in memory."""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
from collections.abc import Callable
from pathlib import Path

from runbooks.backup.sets.manifest import Stored
from runbooks.backup.sets.objects import Pages
from runbooks.errors import CommandError, DiskError
from runbooks.inventory.settings import Age
from runbooks.local import files, programs
from runbooks.local.disk import written

LONGEST_LINE = 1 << 16
NAMED = re.compile(r"[a-z0-9]([a-z0-9._/-]*[a-z0-9])?")
CARRIED = 32  # bytes: etcd appends the SHA-256 of a snapshot to it
LISTED = "resources/"
CHUNK = 1 << 20  # bytes


class Folder:
    """The files of a set in the making. With age, only what age made of them is ever written."""

    def __init__(self, path: Path, age: Age | None = None) -> None:
        self.path = path
        self.files: dict[str, Stored] = {}
        self._age = age
        self._program = programs.find("age", why="backup.age encrypts with it") if age else ""

    def stored_name(self, name: str) -> str:
        """Return what the file ``name`` is called in the set."""
        return f"{name}.age" if self._age else name

    def open(self, name: str) -> Writer:
        """Begin the file ``name``; one that a broken attempt has begun is begun anew."""
        path = self.path / self.stored_name(name)
        with written(path):
            path.parent.mkdir(mode=0o700, exist_ok=True)
            path.unlink(missing_ok=True)
        return Writer(path, [self._program, *_recipients(self._age)] if self._age else [])

    def close(self, name: str, writer: Writer, sha256: str = "") -> None:
        """End the file ``name`` and remember its size and digest: ``sha256``, where the caller knows that of what it wrote."""
        self.files[self.stored_name(name)] = writer.close(sha256)

    def put(self, name: str, content: bytes) -> None:
        """Write a small file."""
        writer = self.open(name)
        writer.write(content)
        self.close(name, writer, hashlib.sha256(content).hexdigest())


def _recipients(age: Age) -> list[str]:
    return [word for recipient in age.recipients for word in ("--recipient", recipient)]


class Writer:
    """One file, 0600 from its first byte, on disk when it is closed. Raises DiskError when the disk takes no more."""

    def __init__(self, path: Path, encrypt: list[str]) -> None:
        self._path = path
        with written(path):
            self._file = os.fdopen(files.create(path), "r+b", buffering=0)
        self._size = 0
        self._age = (
            subprocess.Popen(encrypt, stdin=subprocess.PIPE, stdout=self._file, stderr=subprocess.PIPE) if encrypt else None
        )

    def write(self, data: bytes | memoryview) -> None:
        """Add ``data``."""
        if self._age:
            assert self._age.stdin  # noqa: S101 - for the type checker: it is a pipe
            try:
                self._age.stdin.write(data)
            except BrokenPipeError:
                self._encrypted()  # says why age has gone
                raise
            return
        self._size += len(data)
        left = memoryview(data)
        with written(self._path):
            while left:
                left = left[self._file.write(left) :]

    def close(self, sha256: str = "") -> Stored:
        """End the file. ``sha256`` is that of what was written, for those who know it: it need not be read again then."""
        if self._age:
            self._encrypted()
        with written(self._path):
            if self._age or not sha256:
                self._file.seek(0)
                sha256 = hashlib.file_digest(self._file, "sha256").hexdigest()
                self._size = self._file.tell()
            os.fsync(self._file.fileno())
            self._file.close()
        return Stored(size=self._size, sha256=sha256)

    def abandon(self) -> None:
        """Give up; what is there is nothing."""
        if self._age:
            self._age.kill()
            self._age.communicate()
        self._file.close()
        self._path.unlink(missing_ok=True)

    def _encrypted(self) -> None:
        assert self._age  # noqa: S101 - for the type checker
        _, said = self._age.communicate()
        if self._age.returncode:
            text = said.decode(errors="replace")
            raise DiskError(
                f"{self._path}: age could not encrypt it{programs.tail(text)}", hint="look at backup.age in hosts.yaml"
            )


class Receiver:
    """Takes one host's stream (see scripts/host/backup-work.sh) apart.

    ``where`` says which file of the set a part becomes, or None for one that is kept in ``texts``. Afterwards ``facts`` and
    ``missing`` hold the host's own words.
    """

    def __init__(self, host: str, folder: Folder, where: Callable[[str], str | None]) -> None:
        self.facts: dict[str, str] = {}
        self.missing: dict[str, str] = {}
        self.texts: dict[str, bytes] = {}
        self.received: dict[str, str] = {}
        self.objects: dict[str, int] = {}
        self.whole = False
        self._host, self._folder, self._where = host, folder, where
        self._line = bytearray()
        self._part: _Part | None = None

    def __call__(self, data: bytes) -> None:
        """Take what has come."""
        view = memoryview(data)
        while view:
            if self._part:
                view = view[self._part.take(view) :]
                if not self._part.left:
                    self._close()
                continue
            end = data.find(b"\n", len(data) - len(view))
            stop = len(view) if end < 0 else end - (len(data) - len(view)) + 1
            self._line += view[:stop]
            view = view[stop:]
            if end >= 0:
                line, self._line = self._line.decode(errors="replace").rstrip("\n"), bytearray()
                self._said(line)
            elif len(self._line) > LONGEST_LINE:
                raise self._nonsense("a line without an end")

    def finish(self) -> None:
        """Give up a file that did not come whole. Raises CommandError when the stream ended too early."""
        if self._part:
            self._part.abandon()
            raise CommandError(f"{self._host}: what it sent ended in the middle of {self._part.name}")
        if not self.whole:
            raise CommandError(f"{self._host}: what it sent ended too early")

    def abandon(self) -> None:
        """Give up a file that is under way."""
        if self._part:
            self._part.abandon()

    def _said(self, line: str) -> None:
        kind, _, rest = line.partition(" ")
        name, _, value = rest.partition(" ")
        if kind == "@.":
            self.whole = True
        elif kind == "@=":
            self.facts[name] = value
        elif kind == "@!":
            self.missing[name] = value
        elif kind == "@@":
            self._open(name, value)
        else:
            raise self._nonsense(repr(line[:80]))

    def _open(self, name: str, value: str) -> None:
        size, _, digest = value.partition(" ")
        if not NAMED.fullmatch(name) or ".." in name or not size.isdigit():
            raise self._nonsense(f"a file {name!r} of {size!r} bytes")  # it would lie where the host wants it
        target = self._where(name)
        self._part = _Part(name, int(size), digest, self._folder.open(target) if target else None)
        if target:
            self.received[name] = target
        if not self._part.left:
            self._close()

    def _close(self) -> None:
        part, self._part = self._part, None
        assert part  # noqa: S101 - for the type checker
        if not part.sound():
            part.abandon()
            raise CommandError(f"{self._host}: {part.name} is not what the host sent: its SHA-256 differs")
        if part.pages:
            try:
                self.objects[part.name] = part.pages.end(f"{self._host}: {part.name}")
            except CommandError:
                part.abandon()
                raise
        if part.writer:
            self._folder.close(self.received[part.name], part.writer, part.sha256)
        else:
            self.texts[part.name] = bytes(part.text)

    def _nonsense(self, what: str) -> CommandError:
        self.abandon()
        return CommandError(f"{self._host}: it sent {what}, which is no part of a backup")


class _Part:
    """One file on its way. A snapshot carries its own digest in its last 32 bytes."""

    def __init__(self, name: str, size: int, digest: str, writer: Writer | None) -> None:
        self.name, self.left, self.writer = name, size, writer
        self.pages = Pages() if name.startswith(LISTED) else None
        self.text = bytearray()
        self._digest = hashlib.sha256()
        self._wanted = digest
        self._carried = CARRIED if digest == "-" else 0
        self._tail = bytearray()

    def take(self, view: memoryview) -> int:
        """Take what belongs to this part, and return how much that was."""
        data = view[: self.left]
        self.left -= len(data)
        if self.writer:
            self.writer.write(data)
        else:
            self.text += data
        if self.pages:
            self.pages.add(bytes(data))
        of_digest = min(max(self._carried - self.left, 0), len(data))
        self._tail += data[len(data) - of_digest :]
        self._digest.update(data[: len(data) - of_digest])
        return len(data)

    def sound(self) -> bool:
        """Whether all of it is what was sent."""
        if self._carried:
            return self._tail == self._digest.digest()
        return self._wanted == self._digest.hexdigest()

    @property
    def sha256(self) -> str:
        """The digest of all of it."""
        whole = self._digest.copy()
        whole.update(self._tail)
        return whole.hexdigest()

    def abandon(self) -> None:
        """Leave nothing of it."""
        if self.writer:
            self.writer.abandon()
