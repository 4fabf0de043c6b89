"""`inv backup.fetch`: a set comes back from off-site, also to a machine that has never seen it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

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
from runbooks.local.restic import Copied, Repository
from runbooks.text import counted, size_text, table

if TYPE_CHECKING:
    from runbooks.engine.session import Session

HEADER = ("id", "state", "size", "copied", "here", "snapshot")


@dataclass(frozen=True, slots=True)
class Fetching:
    """One set on its way back: the snapshot that has it, its manifest, and how many bytes the snapshot is."""

    store: Store
    repository: Repository
    copied: Copied
    made: Manifest
    size: int

    @property
    def there(self) -> bool:
        """Whether the set is in the directory of sets, whole or not."""
        return (self.store.directory / self.made.id).exists()

    @property
    def beside(self) -> Path:
        """Where the snapshot is put: hidden, and cleared by the next run if we are killed."""
        return self.store.directory / f"{MAKING}fetch-{self.made.id}"


def fetch(session: Session, name: str = "") -> None:
    """Bring the set ``name`` back, or the newest one that is off-site. Raises PrecheckError when it is here, but damaged."""
    store = Store(session.site)
    repository = offsite.repository_of(store)
    with nullcontext() if session.options.plan else store.locked("inv backup.fetch"):
        fetching = _found(store, repository, name)
        session.carry_out(bring_back(fetching), lease=Unlocked())
        if not session.options.plan:
            _tell(session, fetching)


def bring_back(fetching: Fetching) -> Procedure:
    """Return the procedure that fetches one set."""
    steps = [clear(fetching.store), _fits(fetching), _restore(fetching), _appear(fetching)]
    title = f"fetch {fetching.made.id} from {fetching.repository.name} to {fetching.store.directory}"
    return Procedure("backup.fetch", title, steps, {"id": fetching.made.id})


def _found(store: Store, repository: Repository, name: str) -> Fetching:
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


def _fits(fetching: Fetching) -> Step:
    def check(_: Run) -> None:
        path, made = fetching.store.directory / fetching.made.id, fetching.made
        if fetching.there:
            if wrong := damages(path, made):
                text = "".join(f"\n  {each}" for each in wrong)
                raise PrecheckError(
                    f"{path} is there, but damaged:{text}",
                    hint=f"take it away (mv {path} elsewhere, or inv backup.prune --id {made.id}), then fetch again",
                )
            return
        require_room(fetching.store.directory, fetching.size + MARGIN, f"{made.id} takes")

    text = by_hand("backup", "fits", directory=fetching.store.directory, name=fetching.made.id)
    return Step("see whether it is here, or fits", check=check, by_hand=text)


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
    return Step("restore it beside the sets", done=lambda _: fetching.there or fetching.beside.exists(), do=do, by_hand=text)


def _appear(fetching: Fetching) -> Step:
    def do(run: Run) -> None:
        run.here(f"compare every file with {sets_manifest.NAME}; mv {fetching.made.id}", partial(_publish, fetching))

    text = by_hand("backup", "appear", directory=fetching.store.directory, beside=fetching.beside, name=fetching.made.id)
    return Step("prove every file and make the set appear", done=lambda _: fetching.there, do=do, by_hand=text)


def _publish(fetching: Fetching) -> None:
    """Publish what was restored if it is the set. Raises OutcomeError, naming every file that is not what was saved."""
    store, made = fetching.store, fetching.made
    odd = files.make_private(fetching.beside)
    came = fetching.beside / made.id
    wrong = [*damages(came, made, sync=True), *(f"{name}: it is no file" for name in odd)]
    manifest = came / sets_manifest.NAME
    if not wrong and sets_manifest.read(manifest.read_bytes(), str(manifest)) != made:
        wrong = [f"{sets_manifest.NAME}: it differs"]
    if wrong:
        text = "".join(f"\n  {each}" for each in wrong)
        raise OutcomeError(
            f"what {fetching.repository.name} has of {made.id} is not what was saved:{text}",
            hint="restic check --read-data, or another set: inv backup.fetch --list",
        )
    for name in strangers(came, made):
        (came / name).unlink()
    files.replace(manifest, manifest.read_bytes())  # and on disk
    _keep_tools(fetching.beside / TOOLS, store.directory / TOOLS)
    came.rename(store.directory / f"{MAKING}{made.id}")
    store.publish(made.id)
    shutil.rmtree(fetching.beside)
    offsite.record(store, made.id, repository=fetching.repository.name, snapshot=fetching.copied.snapshot)
    at = datetime.now(UTC).isoformat(timespec="seconds")
    store.record(made.id, verified={"at": at, "ok": True, "what": "files"})


def _keep_tools(came: Path, kept: Path) -> None:
    """Take etcd's own tools along when there are none: on a new machine nobody else may have them."""
    if came.is_dir() and not kept.exists():
        for path in came.rglob("*"):
            path.chmod(0o700)
        came.chmod(0o700)
        came.rename(kept)


def _tell(session: Session, fetching: Fetching) -> None:
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


def _rows(store: Store, there: Sequence[Copied]) -> list[Sequence[str]]:
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


def _for_machines(store: Store, each: Copied) -> dict[str, object]:
    return {
        "id": each.set,
        "state": each.state,
        "size": each.size,
        "copied": each.time,
        "snapshot": each.snapshot,
        "here": (store.directory / each.set).exists(),
    }
