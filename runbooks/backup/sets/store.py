"""The directory of sets on the operator's machine. One set is made at a time, and a set appears only when it is complete.

DIRECTORY/20260107T021700Z/         a set; never changed after it was published
DIRECTORY/.making-ID  .leaving-ID   a set that is being made or deleted: never listed; the next run deletes leftovers
DIRECTORY/.scratch-*                a verification at work: deleted too, when no process holds the directory's own lock
DIRECTORY/.records/                 what happened to a set later (verified, copied off-site), and the last attempt
DIRECTORY/.tools/                   etcd's own programs, to read sets when no host answers
DIRECTORY/.lock                     held by the command that is changing the directory
"""

from __future__ import annotations

import fcntl
import getpass
import json
import os
import re
import shutil
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from runbooks.backup.sets import manifest
from runbooks.backup.sets.manifest import Manifest
from runbooks.errors import InventoryError, PrecheckError, RunbookError
from runbooks.inventory.model import Host, Site
from runbooks.inventory.settings import Backup
from runbooks.local import files

ID: Final = re.compile(r"[0-9]{8}T[0-9]{6}Z")
MAKING, LEAVING, SCRATCH = ".making-", ".leaving-", ".scratch-"


@dataclass(frozen=True, slots=True, kw_only=True)
class Set:
    """A set on disk. ``manifest`` is None when it cannot be read; ``damage`` says why."""

    id: str
    path: Path
    manifest: Manifest | None
    damage: str = ""

    @property
    def size(self) -> int:
        """The size of all files together, in bytes; of a set whose manifest cannot be read, that of the files that are there."""
        return self.manifest.size if self.manifest else files.size_below(self.path)

    @property
    def sound(self) -> Manifest:
        """Return the manifest. Raises RunbookError when it cannot be read."""
        if not self.manifest:
            raise RunbookError(self.damage, hint="inv backup.list shows the others")
        return self.manifest


class Unlocked:
    """In place of the lock of the site, for commands that change nothing on hosts. The directory of sets has its own lock."""

    def hold(self) -> bool:
        """Return False: no lock was taken."""
        return False

    def regain(self, host: Host) -> None:
        """Do nothing: no host has a lock."""


def configured(site: Site) -> Backup:
    """Return the site's backup section. Raises InventoryError when there is none."""
    if not site.backup:
        raise InventoryError(
            f"{site.name} has no section backup, so there is no directory for sets", hint="docs/site.md: backup: {directory: ...}"
        )
    return site.backup


class Store:
    """The sets of one site. The directory is created by `prepare`, not before."""

    def __init__(self, site: Site) -> None:
        self.site = site
        self.backup = configured(site)
        self.directory = self.backup.directory

    def prepare(self) -> None:
        """Create the directory (0700). Raises InventoryError when that fails, or when other users may read the directory."""
        hint = (
            f"chmod 700 {self.directory}, or set backup.directory in hosts.yaml to a directory that you own and use for sets only"
        )
        try:
            self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            (self.directory / ".records").mkdir(mode=0o700, exist_ok=True)
            open_to_others = files.open_to_others(self.directory)
        except OSError as error:
            raise InventoryError(f"{self.directory}: cannot be used for backups: {error.strerror or error}", hint=hint) from None
        if open_to_others:
            raise InventoryError(
                f"{self.directory}: other users may read it, and sets hold every secret of the cluster", hint=hint
            )

    @contextmanager
    def locked(self, what: str) -> Iterator[None]:
        """Hold the directory's lock. At the end a set that was not published is deleted.

        The kernel releases the lock when the process ends, however it ends. Raises PrecheckError, which says who holds the lock.
        """
        self.prepare()
        handle = os.open(self.directory / ".lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise PrecheckError(
                    f"{self.directory} is locked: {_holder(os.pread(handle, 1000, 0))}",
                    hint="wait until it ends; the lock is released then, even if it is killed",
                ) from None
            os.ftruncate(handle, 0)
            os.pwrite(handle, json.dumps(_me(what)).encode(), 0)
            try:
                yield
            finally:
                with suppress(OSError, RunbookError):  # a failed set holds secrets; the next run deletes what remains
                    self.clear()
                os.ftruncate(handle, 0)
        finally:
            os.close(handle)

    def sets(self) -> list[Set]:
        """Return this site's sets, newest first, including those whose manifest cannot be read. Raises InventoryError."""
        try:
            names = sorted((path.name for path in self.directory.iterdir() if ID.fullmatch(path.name)), reverse=True)
        except FileNotFoundError:
            return []
        except OSError as error:
            raise InventoryError(f"{self.directory}: cannot be read: {error.strerror}") from None
        found = [self._read(name) for name in names]
        return [each for each in found if not each.manifest or each.manifest.site == self.site.name]

    def newest_good(self) -> Manifest | None:
        """Return the manifest of the newest good set, None when there is none. Raises InventoryError."""
        return next((each.manifest for each in self.sets() if each.manifest and each.manifest.state == "good"), None)

    def one(self, name: str = "") -> Set:
        """Return the set called ``name``, or the newest one. Raises InventoryError when there is none."""
        sets = self.sets()
        if found := next((each for each in sets if each.id == name or not name), None):
            return found
        what = f"no set called {name}" if name else "no set yet"
        raise InventoryError(f"{self.directory}: there is {what}", hint="inv backup.list" if sets else "inv backup.run")

    def _read(self, name: str) -> Set:
        path = self.directory / name
        try:
            made = manifest.read((path / manifest.NAME).read_bytes(), str(path / manifest.NAME))
        except OSError as error:
            return Set(id=name, path=path, manifest=None, damage=f"{path / manifest.NAME}: {error.strerror}")
        except RunbookError as error:
            return Set(id=name, path=path, manifest=None, damage=str(error))
        if made.id != name:
            return Set(id=name, path=path, manifest=None, damage=f"{path}: its manifest is that of {made.id}")
        return Set(id=name, path=path, manifest=made)

    def leftovers(self) -> list[Path]:
        """Return what killed commands left behind. Only correct while this process holds the directory's lock."""
        found = (path for path in self.directory.glob(".*-*") if path.name.startswith((MAKING, LEAVING)))
        return sorted([*found, *self.abandoned()])

    def abandoned(self) -> list[Path]:
        """Return what killed verifications left behind: scratch directories whose own lock no process holds."""
        return sorted(path for path in self.directory.glob(f"{SCRATCH}*") if is_unlocked(path))

    def clear(self) -> None:
        """Delete the leftovers."""
        for path in self.leftovers():
            _remove(path)

    def begin(self, name: str) -> Path:
        """Create the hidden directory (0700) in which the set ``name`` is made."""
        path = self.directory / f"{MAKING}{name}"
        path.mkdir(mode=0o700)
        return path

    def publish(self, name: str) -> Path:
        """Make the set ``name`` appear under its name, by one rename. Never before all its files are on disk (fsync)."""
        making, final = self.directory / f"{MAKING}{name}", self.directory / name
        for top, _, _ in os.walk(making):
            _sync(Path(top))
        making.rename(final)
        _sync(self.directory)
        return final

    def delete(self, name: str) -> None:
        """Delete the set ``name``. It disappears as a whole, by one rename, before its files are deleted. Raises RunbookError."""
        leaving = self.directory / f"{LEAVING}{name}"
        try:
            (self.directory / name).rename(leaving)
            _sync(self.directory)
        except OSError as error:
            raise RunbookError(f"{self.directory / name}: cannot be deleted: {error.strerror}") from None
        _remove(leaving)
        (self.directory / ".records" / f"{name}.json").unlink(missing_ok=True)

    def records(self, name: str) -> dict[str, Any]:
        """Return what was recorded of the set ``name`` since it was made: ``verified``, ``offsite``; {} when nothing."""
        with suppress(OSError, ValueError):
            found = json.loads((self.directory / ".records" / f"{name}.json").read_text())
            return found if isinstance(found, dict) else {}
        return {}

    def record(self, name: str, **facts: Any) -> None:
        """Record ``facts`` of the set ``name`` (or of ``last-attempt``). They replace earlier ones of the same keys."""
        path = self.directory / ".records" / f"{name}.json"
        files.replace(path, json.dumps(self.records(name) | facts, indent=2, default=str).encode())


def _remove(path: Path) -> None:
    try:
        shutil.rmtree(path)
    except OSError as error:
        where = f" ({error.filename})" if error.filename else ""
        raise RunbookError(f"{path}: cannot be deleted: {error.strerror}{where}", hint="delete it by hand") from None


def _sync(directory: Path) -> None:
    handle = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def is_unlocked(directory: Path) -> bool:
    """Tell whether ``directory`` exists and no process holds its lock (flock). False also when it cannot be opened."""
    try:
        handle = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    except OSError:
        return False
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    else:
        return True
    finally:
        os.close(handle)


def _me(what: str) -> dict[str, Any]:
    since = datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    return {"user": getpass.getuser(), "machine": socket.gethostname(), "pid": os.getpid(), "what": what, "since": since}


def _holder(text: bytes) -> str:
    try:
        who = json.loads(text)
        return f"{who['user']}@{who['machine']} (pid {who['pid']}) has been running {who['what']} since {who['since']}"
    except (ValueError, KeyError, TypeError):
        return "another command is just starting or ending"
