"""Copies of the sets in a restic repository: made, proven, listed, and given up like the sets themselves."""

from __future__ import annotations

from collections.abc import Mapping, MutableMapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Final

from runbooks.backup.rules import retention
from runbooks.backup.rules.retention import Dated
from runbooks.backup.run.new_set import NewSet
from runbooks.backup.sets import manifest
from runbooks.backup.sets.damage import damages
from runbooks.backup.sets.store import Set, Store, Unlocked
from runbooks.engine.by_hand import by_hand
from runbooks.engine.namespace import enter, permit
from runbooks.engine.steps import Procedure, Run, Step
from runbooks.errors import InventoryError, RunbookError
from runbooks.local.restic import Repository, SetSnapshot, SnapshotFiles, is_local, tags

if TYPE_CHECKING:
    from runbooks.engine.session import Session

CACHE: Final = ".restic-cache"
TOOLS: Final = ".tools"
COPY: Final = "copy off-site"
FORGET: Final = "forget off-site"


def repository_of(store: Store) -> Repository:
    """Return the site's repository. Raises InventoryError or PrecheckError when it cannot be used; nothing is connected to."""
    if not store.backup.restic:
        raise InventoryError(
            f"{store.site.name} has no section backup.restic: nothing is off-site",
            hint="docs/site.md: backup: {restic: {repository: ..., password_file: ...}}",
        )
    return Repository(store.backup.restic, store.directory / CACHE)


def reach(store: Store, repository: Repository) -> None:
    """Allow for the site's guard (engine.namespace) before a repository elsewhere is connected to."""
    if not is_local(repository.name):
        enter(store.site)
        permit(store.site)


def after(new_set: NewSet) -> list[Step]:
    """Build what follows once a set is there, or [] without backup.restic. Failures go to ``new_set.problems``.

    Raises InventoryError or PrecheckError, before anything is begun, when restic could not even be started.
    """
    if not new_set.store.backup.restic:
        return []
    return [copy(new_set.store, repository_of(new_set.store), new_set.problems)]


def afterwards(store: Store, problems: MutableMapping[str, str] | None = None) -> list[Step]:
    """Build what follows once the sets here are pruned: the same off-site, where hosts.yaml wants that. See `forget`."""
    if not (store.backup.restic and store.backup.restic.prune):
        return []
    return [forget(store, repository_of(store), problems)]


def copy(store: Store, repository: Repository, problems: MutableMapping[str, str]) -> Step:
    """Copy every set that is not off-site yet, oldest first: this one, and what earlier runs could not copy."""

    def do(run: Run) -> None:
        if run.plan:
            run.here(f"restic backup what {repository.name} does not have yet; restic check", lambda: None)
            return
        repository.stop = lambda: run.interrupted
        try:
            reach(store, repository)
            _copy_all(run, store, repository, problems)
        except RunbookError as error:
            problems[COPY] = f"{error}" + (f"; {error.hint}" if error.hint else "")

    def done(_: Run) -> bool:
        left = [each.id for each in waiting(store, repository.name) if f"copy {each.id} off-site" not in problems]
        return not left or COPY in problems

    text = by_hand("backup", "copy_offsite", repository=repository.name, directory=store.directory)
    return Step("copy the sets that are not off-site yet", done=done, do=do, by_hand=text)


def waiting(store: Store, repository: str, there: Sequence[SetSnapshot] | None = None) -> list[Set]:
    """Return the readable sets that ``repository`` does not have, oldest first; ``there`` is what it says that it has."""
    held = None if there is None else {each.snapshot for each in there}

    def has(name: str) -> bool:
        record = store.records(name).get("offsite", {})
        return record.get("repository") == repository and (held is None or record.get("snapshot") in held)

    return [each for each in reversed(store.sets()) if each.manifest and not has(each.id)]


def _copy_all(run: Run, store: Store, repository: Repository, problems: MutableMapping[str, str]) -> None:
    there = repository.snapshots(store.site.name)
    copied: dict[str, str] = {}
    for each in waiting(store, repository.name, there):
        if wrong := damages(each.path, each.sound):
            problems[f"copy {each.id} off-site"] = f"the set is damaged here: {'; '.join(wrong)}"
            continue
        act = partial(_copy_one, store, repository, each, there)
        copied[each.id] = run.here(f"restic backup {each.id} to {repository.name}, and compare", act) or ""
    if copied:
        run.here("restic check", repository.check)
    for name, snapshot in copied.items():
        record(store, name, repository=repository.name, snapshot=snapshot)


def record(store: Store, name: str, *, repository: str, snapshot: str) -> None:
    """Remember that the set ``name`` is off-site, and where."""
    at = datetime.now(UTC).isoformat(timespec="seconds")
    store.record(name, offsite={"at": at, "repository": repository, "snapshot": snapshot, "verified": True})


def _copy_one(store: Store, repository: Repository, each: Set, there: Sequence[SetSnapshot]) -> str:
    """Return the snapshot that holds the set: one that a run could not prove any more, or a new one."""
    for known in there:
        if known.set == each.id and not _differences(repository, repository.files(known.snapshot), each):
            return known.snapshot
    made = each.sound
    labels = tags(made.site, made.id, made.state, made.size)
    names = [made.id, *([TOOLS] if (store.directory / TOOLS).is_dir() else [])]
    listed = repository.files(repository.backup(store.directory, names, labels, made.site, made.size))
    if wrong := _differences(repository, listed, each):
        raise RunbookError(f"the copy of {each.id} in {repository.name} is not the set: {'; '.join(wrong)}")
    return listed.snapshot


def _differences(repository: Repository, listed: SnapshotFiles, each: Set) -> list[str]:
    """Compare a snapshot with the set: every file's name and size, and the manifest byte for byte."""
    ours = (each.path / manifest.NAME).read_bytes()
    wanted = {name: stored.size for name, stored in each.sound.files.items()} | {manifest.NAME: len(ours)}
    wrong = []
    for name, size in wanted.items():
        seen = listed.sizes.get(f"{each.id}/{name}")
        if seen != size:
            wrong.append(f"{name} {'is missing' if seen is None else f'has {seen} bytes instead of {size}'}")
    if not wrong and repository.content(listed.snapshot, f"{each.id}/{manifest.NAME}") != ours:
        wrong.append(f"{manifest.NAME} differs")
    return wrong


def forget(store: Store, repository: Repository, problems: MutableMapping[str, str] | None = None) -> Step:
    """Give up what backup.keep no longer wants; never what is still here, for whatever reason. Raises without ``problems``."""

    def do(run: Run) -> None:
        if run.plan:
            run.here(f"restic forget --prune what backup.keep no longer wants in {repository.name}", lambda: None)
            return
        repository.stop = lambda: run.interrupted
        try:
            gone = unwanted(store, _look(store, repository))
            snapshots = [each.snapshot for each in gone]
            if snapshots:
                names = " ".join(dict.fromkeys(each.set for each in gone))
                run.here(f"restic forget --prune {names} in {repository.name}", partial(repository.forget, snapshots))
        except RunbookError as error:
            if problems is None:
                raise
            problems[FORGET] = str(error)

    def done(_: Run) -> bool:
        if problems is not None and {COPY, FORGET} & problems.keys():
            return True  # what could not be copied may need what is there
        with suppress(RunbookError):  # `do` says it
            return not unwanted(store, _look(store, repository))
        return False

    text = by_hand("backup", "forget_offsite", repository=repository.name)
    return Step("forget off-site what backup.keep no longer wants", done=done, do=do, by_hand=text)


def _look(store: Store, repository: Repository) -> tuple[SetSnapshot, ...]:
    reach(store, repository)
    return repository.snapshots(store.site.name)


def unwanted(store: Store, there: Sequence[SetSnapshot]) -> list[SetSnapshot]:
    """Return the snapshots of sets that backup.keep no longer wants and that are not here any more."""
    known: Mapping[str, SetSnapshot] = {each.set: each for each in reversed(there)}
    dated = [Dated(name, manifest.made_at(name), good=each.state == "good") for name, each in known.items()]
    gone = {each.id for each in retention.decide(dated, store.backup.keep) if not each.kept}
    return [each for each in there if each.set in gone and not (store.directory / each.set).exists()]


def make_repository(session: Session) -> None:
    """Make the repository that hosts.yaml names, unless it is there."""
    store = Store(session.site)
    session.carry_out(making_repository(store, repository_of(store)), lease=Unlocked())


def making_repository(store: Store, repository: Repository) -> Procedure:
    """Return the procedure that makes the repository, unless it is there."""

    def done(_: Run) -> bool:
        reach(store, repository)
        return repository.exists()

    def do(run: Run) -> None:
        run.here(f"restic init {repository.name}", repository.init)

    step = Step("make the repository", done=done, do=do, by_hand=by_hand("backup", "make_repository", repository=repository.name))
    return Procedure("backup.offsite-init", f"make {repository.name}", [step])
