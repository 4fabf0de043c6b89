"""Read the files of a set, through age when the set is encrypted. No file is ever whole in memory."""

from __future__ import annotations

import hashlib
import os
import stat
import subprocess
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath

from runbooks.backup.sets.folder import CARRIED, CHUNK
from runbooks.backup.sets.store import Set, Store
from runbooks.errors import InventoryError, RunbookError
from runbooks.local import programs
from runbooks.text import listed

SUFFIX = ".age"
AFTER = "it was changed or damaged after it was made"
NO_MATCH = "no identity matched"  # in age's message


class Opened:
    """The files of a set in plaintext. ``identity`` is the file with age's private key; a set without encryption needs none.

    Raises RunbookError when the set's manifest cannot be read.
    """

    def __init__(self, found: Set, identity: Path | None = None) -> None:
        self.manifest = found.sound
        self.encrypted = bool(self.manifest.encrypted_to)
        self._path, self._identity = found.path, identity
        self._age = ""

    def stored(self, name: str) -> Path:
        """Return the path of the file ``name``, given as in the manifest or without ".age". Raises RunbookError if there is none."""
        stored = next((each for each in (name, name + SUFFIX) if each in self.manifest.files), "")
        if not stored or not is_inside(stored):
            raise RunbookError(f"{self.manifest.id}: there is no file {name} in this set")
        return self._path / stored

    def chunks(self, name: str) -> Iterator[bytes]:
        """Yield the plaintext of the file ``name``.

        Do not use the data before the iteration has ended without an error: only then has age checked the last byte. Raises
        RunbookError when the file cannot be read or decrypted, InventoryError when the identity is missing or does not match.
        """
        path = self.stored(name)
        return self._decrypted(path) if path.suffix == SUFFIX and self.encrypted else pieces(path, path.name)

    def unlock(self, sound: Iterable[str]) -> None:
        """Decrypt the smallest of the undamaged files ``sound`` as a test. Raises InventoryError when the identity does not match."""
        if self.encrypted and (smallest := min(sound, key=lambda name: self.manifest.files[name].size, default="")):
            for _ in self.chunks(smallest):
                pass

    def _decrypted(self, path: Path) -> Iterator[bytes]:
        words = [self._program(), "--decrypt", "--identity", str(self._key()), str(path)]
        with subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as age:
            assert age.stdout  # noqa: S101 - for the type checker: these are pipes
            assert age.stderr  # noqa: S101
            try:
                while data := age.stdout.read(CHUNK):
                    yield data
                said = age.stderr.read().decode(errors="replace")
                exited = age.wait()
            finally:
                age.kill()
        if NO_MATCH in said:
            raise InventoryError(
                f"the identity {self._identity} does not open {self.manifest.id}, which is encrypted to {self._recipients()}",
                hint="--identity FILE, with the private key of one of these recipients",
            )
        if exited:
            raise RunbookError(f"{path.name}: it cannot be decrypted{programs.tail(said)}")

    def _program(self) -> str:
        self._age = self._age or programs.find("age", why="this set is encrypted with it")
        return self._age

    def _key(self) -> Path:
        if not self._identity:
            raise InventoryError(
                f"{self.manifest.id} is encrypted to {self._recipients()}, and no file with the private key is given",
                hint="--identity FILE, or backup.age.identity in hosts.yaml",
            )
        if not self._identity.is_file():
            raise InventoryError(
                f"{self._identity}: there is no such file; it should hold the private key", hint="--identity FILE"
            )
        return self._identity

    def _recipients(self) -> str:
        return listed(self.manifest.encrypted_to)


def identity(store: Store, given: str = "") -> Path | None:
    """Return the file of the private key: ``given`` (--identity), else backup.age.identity of hosts.yaml, else None."""
    if given:
        return Path(given).expanduser().absolute()
    return store.backup.age.identity if store.backup.age else None


def is_inside(name: str) -> bool:
    """Tell whether a file of this name is inside the set. A forged manifest may name a file elsewhere."""
    path = PurePosixPath(name)
    return not path.is_absolute() and ".." not in path.parts and bool(path.parts)


def pieces(path: Path, called: object) -> Iterator[bytes]:
    """Yield the content of a file in pieces. Raises RunbookError, which names it as ``called``, when it cannot be read."""
    try:
        with path.open("rb", buffering=0) as file:
            while data := file.read(CHUNK):
                yield data
    except OSError as error:
        raise RunbookError(f"{called}: it cannot be read: {error.strerror}") from None


class Carried:
    """Checks the SHA-256 that etcd appends to a snapshot, while the bytes are read."""

    def __init__(self) -> None:
        self._digest = hashlib.sha256()
        self._tail = b""

    def add(self, data: bytes) -> None:
        """Process the next bytes."""
        data = self._tail + data
        self._digest.update(data[:-CARRIED])
        self._tail = data[-CARRIED:]

    @property
    def sound(self) -> bool:
        """Whether the last 32 bytes are the digest of all bytes before them."""
        return self._tail == self._digest.digest()


def is_whole(path: Path) -> bool:
    """Tell whether the unencrypted snapshot at ``path`` ends with its SHA-256. Raises RunbookError when it cannot be read."""
    carried = Carried()
    for data in pieces(path, path.name):
        carried.add(data)
    return carried.sound


def differs(path: Path, size: int, sha256: str, *, sync: bool = False) -> str:
    """Return how a file differs from its recorded size and digest, or "". ``sync`` also calls fsync on it."""
    try:
        seen = path.lstat()
        if not stat.S_ISREG(seen.st_mode):
            return "it is no longer a regular file"
        if seen.st_size != size:
            return f"it has {seen.st_size} bytes instead of {size}: {AFTER}"
        digest = hashlib.sha256()
        with path.open("rb", buffering=0) as file:
            while data := file.read(CHUNK):
                digest.update(data)
            if sync:
                os.fsync(file.fileno())
    except FileNotFoundError:
        return "it is missing"
    except OSError as error:
        return f"it cannot be read: {error.strerror}"
    return "" if digest.hexdigest() == sha256 else f"its SHA-256 differs: {AFTER}"


def there(path: Path) -> Iterator[str]:
    """Yield the names of all files and symbolic links below ``path``. Links are not followed."""
    for top, directories, files in os.walk(path):
        links = [each for each in directories if (Path(top) / each).is_symlink()]
        yield from (str((Path(top) / each).relative_to(path)) for each in [*files, *links])
