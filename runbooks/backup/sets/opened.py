"""Reading what is stored in a set: as it lies there, or through age when the set is encrypted. Never whole in memory."""

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

SUFFIX = ".age"
AFTER = "it was changed or damaged after it was made"
STRANGER = "no identity matched"  # age's words


class Opened:
    """The files of a set in plaintext. ``identity`` is the file of age's private key; a plain set needs none.

    Raises RunbookError when the set's manifest cannot be read.
    """

    def __init__(self, found: Set, identity: Path | None = None) -> None:
        self.manifest = found.sound
        self.encrypted = bool(self.manifest.encrypted_to)
        self._path, self._identity = found.path, identity
        self._age = ""

    def stored(self, name: str) -> Path:
        """Return where the file ``name`` lies, given as the manifest has it or without ".age". Raises RunbookError."""
        stored = next((each for each in (name, name + SUFFIX) if each in self.manifest.files), "")
        if not stored or not is_inside(stored):
            raise RunbookError(f"{self.manifest.id}: there is no file {name} in this set")
        return self._path / stored

    def chunks(self, name: str) -> Iterator[bytes]:
        """Yield the plaintext of the file ``name``.

        Believe it only once it has ended: age vouches for the last byte with its exit status. Raises RunbookError when the file
        cannot be read or decrypted, InventoryError when an identity is needed that is not there or does not fit.
        """
        path = self.stored(name)
        return self._decrypted(path) if path.suffix == SUFFIX and self.encrypted else pieces(path, path.name)

    def unlock(self, sound: Iterable[str]) -> None:
        """Find out whether the identity fits, with the smallest of the files ``sound``. Raises InventoryError when it does not."""
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
        if STRANGER in said:
            raise InventoryError(
                f"the identity {self._identity} does not open {self.manifest.id}, which is encrypted to {self._recipients()}",
                hint="--identity FILE, with the private key of one of these",
            )
        if exited:
            raise RunbookError(f"{path.name}: it cannot be decrypted{programs.tail(said)}")

    def _program(self) -> str:
        self._age = self._age or programs.find("age", why="this set is encrypted with it")
        return self._age

    def _key(self) -> Path:
        if not self._identity:
            raise InventoryError(
                f"{self.manifest.id} is encrypted to {self._recipients()}, and nobody says where the private key is",
                hint="--identity FILE, or backup.age.identity in hosts.yaml",
            )
        if not self._identity.is_file():
            raise InventoryError(
                f"{self._identity}: there is no such file, and it should hold the private key", hint="--identity FILE"
            )
        return self._identity

    def _recipients(self) -> str:
        return ", ".join(self.manifest.encrypted_to)


def identity(store: Store, given: str = "") -> Path | None:
    """Return the file of the private key: ``given`` (--identity), else what hosts.yaml says, else None."""
    if given:
        return Path(given).expanduser().absolute()
    return store.backup.age.identity if store.backup.age else None


def is_inside(name: str) -> bool:
    """Tell whether a file of this name lies in the set: a manifest that somebody forged may say otherwise."""
    path = PurePosixPath(name)
    return not path.is_absolute() and ".." not in path.parts and bool(path.parts)


def pieces(path: Path, called: object) -> Iterator[bytes]:
    """Yield a file of this machine piece by piece. Raises RunbookError, naming it as ``called``, when it cannot be read."""
    try:
        with path.open("rb", buffering=0) as file:
            while data := file.read(CHUNK):
                yield data
    except OSError as error:
        raise RunbookError(f"{called}: it cannot be read: {error.strerror}") from None


class Carried:
    """The SHA-256 that etcd appends to a snapshot, checked while its bytes pass."""

    def __init__(self) -> None:
        self._digest = hashlib.sha256()
        self._tail = b""

    def add(self, data: bytes) -> None:
        """Take the next bytes."""
        data = self._tail + data
        self._digest.update(data[:-CARRIED])
        self._tail = data[-CARRIED:]

    @property
    def sound(self) -> bool:
        """Whether it is the digest of all that stands before it."""
        return self._tail == self._digest.digest()


def is_whole(path: Path) -> bool:
    """Tell whether the plain snapshot at ``path`` carries the right SHA-256. Raises RunbookError when it cannot be read."""
    carried = Carried()
    for data in pieces(path, path.name):
        carried.add(data)
    return carried.sound


def differs(path: Path, size: int, sha256: str, *, sync: bool = False) -> str:
    """Say in which way a file is not what it was; "" when it is. ``sync`` also puts it on disk."""
    try:
        seen = path.lstat()
        if not stat.S_ISREG(seen.st_mode):
            return "it is no file any more"
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
    """Yield the names of all files below ``path``, and of links; none is followed."""
    for top, directories, files in os.walk(path):
        links = [each for each in directories if (Path(top) / each).is_symlink()]
        yield from (str((Path(top) / each).relative_to(path)) for each in [*files, *links])
