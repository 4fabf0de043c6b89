"""Where a restore takes its snapshot from: a set, a file, or a member's own database; read whole before anything is touched."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from runbooks.backup.sets import opened as sets_opened
from runbooks.backup.sets import tools
from runbooks.backup.sets.manifest import Snapshot
from runbooks.backup.sets.opened import Carried, Opened, differs, pieces
from runbooks.backup.sets.store import Set, Store
from runbooks.engine.channel import Source as Flow
from runbooks.errors import CommandError, InventoryError, PrecheckError, RunbookError
from runbooks.inventory.model import Site
from runbooks.local import etcd_tools, files
from runbooks.local.disk import writing
from runbooks.recover.rules.quorum import Source

PAGE = 512  # bytes: a database is made of such pages; a snapshot is a database and 32 more bytes


@dataclass(frozen=True, slots=True)
class Snapshots:
    """Where the bytes of a source come from on this machine. ``identity`` is the file of age's private key, or ""."""

    site: Site
    identity: str = ""

    def sets(self) -> tuple[list[Set], str]:
        """Return the sets that there are, newest first; or why there are none."""
        if not self.site.backup:
            return [], "hosts.yaml has no section backup"
        found = Store(self.site).sets()
        return found, "" if found else f"there is no set in {self.site.backup.directory}"

    def newest(self) -> tuple[Source | None, list[str]]:
        """Return the newest set that has a whole snapshot, and what is wrong with those before it."""
        sets, why = self.sets()
        passed = [why] if why else []
        readable = [each for each in sets if each.manifest and each.manifest.snapshots]
        passed += [each.damage for each in sets if not each.manifest]
        # A degraded set lacks some host's part; the snapshots that are in it are as good as any.
        for each in readable:
            try:
                return self.of_set(each), passed
            except InventoryError:
                raise
            except RunbookError as error:
                passed.append(str(error))
        return None, passed

    def of_set(self, found: Set) -> Source:
        """Return the best snapshot of a set that is as it was when it was made. Raises RunbookError when none is."""
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
            raise PrecheckError("the SHA-256 that it carries differs")
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
        """Read a file of a set whole, as `measured` does. Raises RunbookError when it is not there, or not what was saved."""
        opened = self.opened(found)
        path = opened.stored(name)
        stored = found.sound.files[path.relative_to(found.path).as_posix()]
        if why := differs(path, stored.size, stored.sha256):
            raise PrecheckError(why)
        return measured(opened.chunks(name))

    def named(self, name: str) -> Source:
        """Return the snapshot of the set called ``name``. Raises RunbookError when there is no such set, or it is damaged."""
        return self.of_set(Store(self.site).one(name))

    def of_file(self, name: str) -> Source:
        """Return the snapshot in a file. Raises InventoryError when it cannot be read, PrecheckError when it is not whole."""
        path = Path(name).expanduser().absolute()
        if not path.is_file():
            raise InventoryError(f"--snapshot {path}: there is no such file")
        size, sha256, sound = measured(pieces(path, path))
        carries = size % PAGE != 0
        if not sound and carries:
            raise PrecheckError(
                f"{path}: the SHA-256 that it carries differs: it is damaged, or no snapshot of etcd's", hint="inv backup.list"
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
        """Ask whichever etcdutl there is on this machine."""
        kept = sorted(Store(self.site).directory.glob(f"{tools.KEPT}/etcd-*/etcdutl"), reverse=True) if self.site.backup else []
        on_path = shutil.which("etcdutl") or shutil.which("etcdctl")
        why = "there is no etcdutl on this machine"
        for program in [*([Path(on_path)] if on_path else []), *kept]:
            try:
                return int(etcd_tools.Tools(reader=program).status(path)["revision"])
            except (CommandError, OSError, KeyError, ValueError) as error:
                why = str(error)
        raise PrecheckError(
            f"{path}: it cannot be looked into: {why}",
            hint="put etcdutl on the PATH, or run inv backup.run once, which keeps etcd's programs beside the sets",
        )

    def opened(self, found: Set) -> Opened:
        """Return the files of a set in plaintext."""
        return Opened(found, sets_opened.identity(Store(self.site), self.identity))

    def flow(self, source: Source, spool: Path) -> Flow:
        """Return the bytes of ``source`` for a host. ``spool`` is where `fetched` put a member's database."""
        if source.kind == "set":
            found = Store(self.site).one(source.name)
            return Flow(source.size, lambda: self.opened(found).chunks(source.part))
        path = spool if source.kind == "member" else Path(source.name)
        return Flow(path.stat().st_size if path.exists() else source.size, lambda: pieces(path, path))


def measured(chunks: Iterator[bytes]) -> tuple[int, str, bool]:
    """Read everything: size, SHA-256, and whether it ends in the SHA-256 of all before."""
    size, digest, carried = 0, hashlib.sha256(), Carried()
    for data in chunks:
        size += len(data)
        digest.update(data)
        carried.add(data)
    return size, digest.hexdigest(), carried.sound


class Spool:
    """A file of this machine, 0600, for a database on its way from one host to the others. ``sha256`` is that of what came."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        path.unlink(missing_ok=True)
        self._file = os.fdopen(files.create(path), "wb")
        self._path, self._digest = path, hashlib.sha256()

    def __call__(self, data: bytes) -> None:
        """Take what has come."""
        with writing(self._path):
            self._file.write(data)
        self._digest.update(data)

    @property
    def sha256(self) -> str:
        """The digest of all that came."""
        return self._digest.hexdigest()

    def close(self) -> None:
        """End the file."""
        self._file.close()
