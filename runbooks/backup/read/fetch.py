"""`inv backup.fetch`: fetch a set from the off-site repository, also to a new machine."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from runbooks.backup.read import verification
from runbooks.backup.rules.snapshots import MARGIN
from runbooks.backup.run import offsite
from runbooks.backup.run.offsite import TOOLS
from runbooks.backup.run.steps import clear
from runbooks.backup.sets import manifest as sets_manifest
from runbooks.backup.sets.damage import damages, strangers
from runbooks.backup.sets.manifest import Manifest
from runbooks.backup.sets.store import ID, MAKING, Store, Unlocked
from runbooks.engine.by_hand import by_hand
from runbooks.engine.steps import Procedure, Run, Step
from runbooks.errors import InventoryError, OutcomeError, PrecheckError
from runbooks.local import files
from runbooks.local.disk import require_room
from runbooks.local.restic import Repository, SetSnapshot
from runbooks.text import counted, indented, size_text, table

if TYPE_CHECKING:
    from runbooks.engine.session import Session

HEADER = ("id", "state", "size", "copied", "here", "snapshot")


@dataclass(frozen=True, slots=True)
class Fetching:
    """One set to fetch: the restic snapshot that holds it, its manifest, and the size of the snapshot in bytes."""

    store: Store
    repository: Repository
    copied: SetSnapshot
    made: Manifest
    size: int

    @property
    def there(self) -> bool:
        """Whether the set is in the directory of sets, damaged or not."""
        return (self.store.directory / self.made.id).exists()

    @property
    def beside(self) -> Path:
        """The hidden directory into which the snapshot is restored. If this command is killed, the next run deletes it."""
        return self.store.directory / f"{MAKING}fetch-{self.made.id}"


def fetch(session: Session, name: str = "") -> None:
    """Fetch the set ``name``, or the newest one that is off-site. Raises PrecheckError when it is here, but damaged."""
    store = Store(session.site)
    repository = offsite.repository_of(store)
    with nullcontext() if session.options.plan else store.locked("inv backup.fetch"):
        fetching = _find(store, repository, name)
        session.carry_out(procedure(fetching), lease=Unlocked())
        if not session.options.plan:
            _print(session, fetching)


def procedure(fetching: Fetching) -> Procedure:
    """Return the procedure that fetches one set."""
    steps = [clear(fetching.store), _check_room(fetching), _restore(fetching), _check_and_publish(fetching)]
    title = f"fetch {fetching.made.id} from {fetching.repository.name} to {fetching.store.directory}"
    return Procedure("backup.fetch", title, steps, {"id": fetching.made.id})


def _find(store: Store, repository: Repository, name: str) -> Fetching:
    """Return the set to fetch. Raises InventoryError when it is not off-site, OutcomeError when its manifest is another set's."""
    offsite.reach(store, repository)
    there = repository.snapshots(store.site.name)
    copied = next((each for each in there if ID.fullmatch(each.set) and each.set == (name or each.set)), None)
    if not copied:
        what = f"no set called {name}" if name else f"no set of {store.site.name}"
        raise InventoryError(f"{repository.name}: there is {what}", hint="inv backup.fetch --list")
    where = f"{repository.name}, snapshot {copied.snapshot[:8]}, {copied.set}/{sets_manifest.NAME}"
    made = sets_manifest.read(repository.content(copied.snapshot, f"{copied.set}/{sets_manifest.NAME}"), where)
    if (made.id, made.site) != (copied.set, store.site.name):
        raise OutcomeError(f"{where}: it is the manifest of {made.id} of {made.site}", hint="inv backup.fetch --list")
    return Fetching(store, repository, copied, made, sum(repository.files(copied.snapshot).sizes.values()))


def _check_room(fetching: Fetching) -> Step:
    def check(_: Run) -> None:
        path, made = fetching.store.directory / fetching.made.id, fetching.made
        if fetching.there:
            if wrong := damages(path, made):
                raise PrecheckError(
                    f"{path} is there, but damaged:{indented(wrong)}",
                    hint=f"move it away (mv {path} elsewhere) or delete it (inv backup.prune --id {made.id}), then fetch again",
                )
            return
        require_room(fetching.store.directory, fetching.size + MARGIN, f"{made.id} takes")

    text = by_hand("backup", "fits", directory=fetching.store.directory, name=fetching.made.id)
    return Step("check whether the set is here already, or the disk has room for it", check=check, by_hand=text)


def _restore(fetching: Fetching) -> Step:
    def restore() -> None:
        fetching.beside.mkdir(mode=0o700)
        fetching.repository.restore(fetching.copied.snapshot, fetching.beside, fetching.size)

    def do(run: Run) -> None:
        fetching.repository.stop = lambda: run.interrupted
        run.here(f"restic restore {fetching.copied.snapshot[:8]}", restore)

    text = by_hand(
        "backup",
        "restore_offsite",
        repository=fetching.repository.name,
        snapshot=fetching.copied.snapshot[:8],
        beside=fetching.beside,
    )
    return Step(
        "restore it into a hidden directory beside the sets",
        done=lambda _: fetching.there or fetching.beside.exists(),
        do=do,
        by_hand=text,
    )


def _check_and_publish(fetching: Fetching) -> Step:
    def do(run: Run) -> None:
        run.here(f"compare every file with {sets_manifest.NAME}; mv {fetching.made.id}", partial(_publish, fetching))

    text = by_hand("backup", "appear", directory=fetching.store.directory, beside=fetching.beside, name=fetching.made.id)
    return Step("verify every file and publish the set", done=lambda _: fetching.there, do=do, by_hand=text)


def _publish(fetching: Fetching) -> None:
    """Make the restored set appear in the directory of sets. Raises OutcomeError, naming every file that differs from the manifest."""
    store, made = fetching.store, fetching.made
    odd = files.make_private(fetching.beside)
    came = fetching.beside / made.id
    wrong = [*damages(came, made, sync=True), *(f"{name}: it is no file" for name in odd)]
    manifest = came / sets_manifest.NAME
    if not wrong and sets_manifest.read(manifest.read_bytes(), str(manifest)) != made:
        wrong = [f"{sets_manifest.NAME}: it differs"]
    if wrong:
        raise OutcomeError(
            f"what {fetching.repository.name} has of {made.id} is not what was saved:{indented(wrong)}",
            hint="restic check --read-data, or another set: inv backup.fetch --list",
        )
    for name in strangers(came, made):
        (came / name).unlink()
    files.replace(manifest, manifest.read_bytes())  # to have it on disk
    _keep_tools(fetching.beside / TOOLS, store.directory / TOOLS)
    came.rename(store.directory / f"{MAKING}{made.id}")
    store.publish(made.id)
    shutil.rmtree(fetching.beside)
    offsite.record(store, made.id, repository=fetching.repository.name, snapshot=fetching.copied.snapshot)
    verification.record(store, made.id, ok=True, scope="files")


def _keep_tools(came: Path, kept: Path) -> None:
    """Move etcd's tools, which were saved with the set, beside the sets, unless there are some already: a new machine may have none."""
    if came.is_dir() and not kept.exists():
        for path in came.rglob("*"):
            path.chmod(0o700)
        came.chmod(0o700)
        came.rename(kept)


def _print(session: Session, fetching: Fetching) -> None:
    made = fetching.made
    if session.options.json:
        print(json.dumps({"event": "set", "id": made.id, "state": made.state, "size": made.size}))
    else:
        print(f"{made.id}: {made.state}; {counted(len(made.files), 'file')}, {size_text(made.size)}: all as they were saved")


def show_offsite(session: Session) -> None:
    """Print what is off-site, newest first."""
    store = Store(session.site)
    repository = offsite.repository_of(store)
    offsite.reach(store, repository)
    there = repository.snapshots(store.site.name)
    if session.options.json:
        print(json.dumps([_for_machines(store, each) for each in there]))
    elif there:
        print(table(HEADER, _rows(store, there)))
    else:
        print(f"{repository.name}: no set of {store.site.name} yet; inv backup.run copies them there")


def _rows(store: Store, there: Sequence[SetSnapshot]) -> list[Sequence[str]]:
    return [
        (
            each.set,
            each.state or "?",
            size_text(each.size) if each.size else "?",
            each.time[:16].replace("T", " "),
            "yes" if (store.directory / each.set).exists() else "-",
            each.snapshot[:8],
        )
        for each in there
    ]


def _for_machines(store: Store, each: SetSnapshot) -> dict[str, object]:
    return {
        "id": each.set,
        "state": each.state,
        "size": each.size,
        "copied": each.time,
        "snapshot": each.snapshot,
        "here": (store.directory / each.set).exists(),
    }
