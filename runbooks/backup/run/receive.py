"""Storing a host's stream in the files of a set: checked and encrypted while it arrives, never whole in memory."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable

from runbooks.backup.sets.folder import CARRIED, Folder, Writer
from runbooks.backup.sets.objects import Pages
from runbooks.errors import CommandError

LONGEST_LINE = 1 << 16
NAMED = re.compile(r"[a-z0-9]([a-z0-9._/-]*[a-z0-9])?")
LISTED = "resources/"


class Receiver:
    """Splits one host's stream into files (the format: scripts/host/backup-work.sh).

    ``where`` returns the file of the set that a part becomes, or None for a part that is kept in ``texts``. Afterwards ``facts`` and
    ``missing`` hold what the host reported, ``received`` the file of each part, ``objects`` how many objects a list has, and
    ``whole`` whether the end of the stream arrived.
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
        """Process the next bytes. Raises CommandError when they are not part of a backup, or a file is damaged."""
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
                raise self._invalid("a line without an end")

    def finish(self) -> None:
        """Check that the stream is complete. Raises CommandError, and deletes an incomplete file, when it ended too early."""
        if self._part:
            self._part.abandon()
            raise CommandError(f"{self._host}: what it sent ended in the middle of {self._part.name}")
        if not self.whole:
            raise CommandError(f"{self._host}: what it sent ended too early")

    def abandon(self) -> None:
        """Delete the file that is being received, if there is one."""
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
            raise self._invalid(repr(line[:80]))

    def _open(self, name: str, value: str) -> None:
        size, _, digest = value.partition(" ")
        if not NAMED.fullmatch(name) or ".." in name or not size.isdigit():
            raise self._invalid(f"a file {name!r} of {size!r} bytes")  # a host must not choose a path outside the set
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
            raise CommandError(
                f"{self._host}: {part.name} was damaged on the way: its SHA-256 differs from what the host announced"
            )
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

    def _invalid(self, what: str) -> CommandError:
        self.abandon()
        return CommandError(f"{self._host}: it sent {what}, which is not part of a backup")


class _Part:
    """One file while it arrives. The last 32 bytes of a snapshot are the SHA-256 of all bytes before them."""

    def __init__(self, name: str, size: int, digest: str, writer: Writer | None) -> None:
        self.name, self.left, self.writer = name, size, writer
        self.pages = Pages() if name.startswith(LISTED) else None
        self.text = bytearray()
        self._digest = hashlib.sha256()
        self._wanted = digest
        self._carried = CARRIED if digest == "-" else 0
        self._tail = bytearray()

    def take(self, view: memoryview) -> int:
        """Store the bytes of ``view`` that belong to this part, and return how many they are."""
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
        """Whether the digest matches what the host announced."""
        if self._carried:
            return self._tail == self._digest.digest()
        return self._wanted == self._digest.hexdigest()

    @property
    def sha256(self) -> str:
        """The SHA-256 of the whole file, in hexadecimal."""
        whole = self._digest.copy()
        whole.update(self._tail)
        return whole.hexdigest()

    def abandon(self) -> None:
        """Delete what was written."""
        if self.writer:
            self.writer.abandon()
