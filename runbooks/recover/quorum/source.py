"""The snapshots that can be restored: of a set, in a file, or a member's own database. Each is read whole before it is used."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from runbooks.backup.sets import opened, tools
from runbooks.backup.sets.manifest import Snapshot
from runbooks.backup.sets.opened import Carried, Opened, differs, pieces
from runbooks.backup.sets.store import Set, Store
from runbooks.engine import channel
from runbooks.errors import CommandError, InventoryError, PrecheckError, RunbookError
from runbooks.inventory.model import Site
from runbooks.local import etcd_tools, files
from runbooks.local.disk import writing
from runbooks.recover.rules.restore import Source

PAGE = 512  # bytes; the size of a database is a multiple of it. A snapshot is a database and the 32 bytes of its SHA-256


@dataclass(frozen=True, slots=True)
class Snapshots:
    """The snapshots that this machine can read. ``identity`` is the file of age's private key, or ""."""

    site: Site
    identity: str = ""

    def sets(self) -> tuple[list[Set], str]:
        """Return the sets, newest first, and ""; or an empty list and the reason."""
        if not self.site.backup:
            return [], "hosts.yaml has no section backup"
        found = Store(self.site).sets()
        return found, "" if found else f"there is no set in {self.site.backup.directory}"

    def newest(self) -> tuple[Source | None, list[str]]:
        """Return the newest set with an undamaged snapshot, or None; and what is wrong with the newer sets.

        Raises InventoryError when the key for an encrypted set is missing.
        """
        sets, why = self.sets()
        passed = [why] if why else []
        readable = [each for each in sets if each.manifest and each.manifest.snapshots]
        passed += [each.damage for each in sets if not each.manifest]
        # A degraded set lacks the part of some host. The snapshots that it has are good.
        for each in readable:
            try:
                return self.of_set(each), passed
            except InventoryError:
                raise
            except RunbookError as error:
                passed.append(str(error))
        return None, passed

    def of_set(self, found: Set) -> Source:
        """Return the undamaged snapshot of a set with the highest revision. Raises RunbookError when there is none."""
        problems = []
        for snapshot in sorted(found.sound.snapshots, key=lambda each: -each.revision):
            try:
                return self._of_snapshot(found, snapshot)
            except InventoryError:
                raise
            except RunbookError as error:
                problems.append(f"{snapshot.file}: {error}")
        raise PrecheckError(f"{found.id}: " + "; ".join(problems), hint="inv backup.verify; inv backup.list shows the other sets")

    def _of_snapshot(self, found: Set, snapshot: Snapshot) -> Source:
        size, sha256, sound = self.read(found, snapshot.file)
        if not sound:
            raise PrecheckError("the SHA-256 at its end differs: it is damaged")
        made = found.sound.started.isoformat(timespec="seconds")
        return Source(
            kind="set",
            name=found.id,
            revision=snapshot.revision,
            size=size,
            part=snapshot.file,
            made=made,
            sha256=sha256,
            cluster=found.sound.etcd.cluster,
        )

    def read(self, found: Set, name: str) -> tuple[int, str, bool]:
        """Read a whole file of a set, as `measured` does. Raises RunbookError when it is missing or differs from the manifest."""
        files_of_set = self.open_set(found)
        path = files_of_set.stored(name)
        stored = found.sound.files[path.relative_to(found.path).as_posix()]
        if why := differs(path, stored.size, stored.sha256):
            raise PrecheckError(why)
        return measured(files_of_set.chunks(name))

    def named(self, name: str) -> Source:
        """Return the snapshot of the set called ``name``. Raises RunbookError when there is no such set, or it is damaged."""
        return self.of_set(Store(self.site).one(name))

    def of_file(self, name: str) -> Source:
        """Return the snapshot in a file. Raises InventoryError when there is no such file, PrecheckError when it is damaged."""
        path = Path(name).expanduser().absolute()
        if not path.is_file():
            raise InventoryError(f"--snapshot {path}: there is no such file")
        size, sha256, sound = measured(pieces(path, path))
        carries = size % PAGE != 0
        if not sound and carries:
            raise PrecheckError(
                f"{path}: the SHA-256 at its end differs: it is damaged, or no snapshot of etcd", hint="inv backup.list"
            )
        made = datetime.fromtimestamp(path.stat().st_mtime, UTC).isoformat(timespec="seconds")
        return Source(
            kind="file",
            name=str(path),
            revision=self._revision(path),
            size=size,
            part="",
            made=made,
            sha256=sha256,
            carries=carries,
        )

    def _revision(self, path: Path) -> int:
        """Return the revision of a snapshot, as the first etcdutl (or etcdctl) says that is on PATH or kept beside the sets."""
        kept = sorted(Store(self.site).directory.glob(f"{tools.KEPT}/etcd-*/etcdutl"), reverse=True) if self.site.backup else []
        on_path = shutil.which("etcdutl") or shutil.which("etcdctl")
        why = "there is no etcdutl on this machine"
        for program in [*([Path(on_path)] if on_path else []), *kept]:
            try:
                return etcd_tools.Tools(reader=program).status(path).revision
            except (CommandError, OSError) as error:
                why = str(error)
        raise PrecheckError(
            f"{path}: its revision cannot be read: {why}",
            hint="put etcdutl on the PATH, or run inv backup.run once: it keeps etcd's programs beside the sets",
        )

    def open_set(self, found: Set) -> Opened:
        """Return the decrypted files of a set."""
        return Opened(found, opened.identity(Store(self.site), self.identity))

    def content(self, source: Source, spool: Path) -> channel.Source:
        """Return the bytes of ``source``, to be sent to a host. ``spool`` is the local file with a survivor's database."""
        if source.kind == "set":
            found = Store(self.site).one(source.name)
            return channel.Source(source.size, lambda: self.open_set(found).chunks(source.part))
        path = spool if source.kind == "member" else Path(source.name)
        return channel.Source(path.stat().st_size if path.exists() else source.size, lambda: pieces(path, path))


def measured(chunks: Iterator[bytes]) -> tuple[int, str, bool]:
    """Read all chunks. Return the size in bytes, the SHA-256, and whether they end in the SHA-256 of what is before it."""
    size, digest, carried = 0, hashlib.sha256(), Carried()
    for data in chunks:
        size += len(data)
        digest.update(data)
        carried.add(data)
    return size, digest.hexdigest(), carried.sound


class Spool:
    """A local file (mode 0600) that receives a database from one host, to be sent to the others."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        path.unlink(missing_ok=True)
        self._file = os.fdopen(files.create(path), "wb")
        self._path, self._digest = path, hashlib.sha256()

    def __call__(self, data: bytes) -> None:
        """Write the next bytes."""
        with writing(self._path):
            self._file.write(data)
        self._digest.update(data)

    @property
    def sha256(self) -> str:
        """The SHA-256 of everything written so far, in hexadecimal."""
        return self._digest.hexdigest()

    def close(self) -> None:
        """Close the file."""
        self._file.close()
