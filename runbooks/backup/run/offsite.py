"""Copies of the sets in a restic repository (https://restic.readthedocs.io): made, verified, listed and forgotten."""

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
from runbooks.engine.steps import Failed, Procedure, Run, Step
from runbooks.errors import InventoryError, RunbookError
from runbooks.local.restic import Repository, SetSnapshot, SnapshotFiles, is_local, tags

if TYPE_CHECKING:
    from runbooks.engine.session import Session

CACHE: Final = ".restic-cache"
TOOLS: Final = ".tools"
COPY: Final = "copy off-site"
FORGET: Final = "forget off-site"


def repository_of(store: Store) -> Repository:
    """Return the site's repository, without connecting to it. Raises InventoryError or PrecheckError when it cannot be used."""
    if not store.backup.restic:
        raise InventoryError(
            f"{store.site.name} has no section backup.restic, so there are no off-site copies",
            hint="docs/site.md: backup: {restic: {repository: ..., password_file: ...}}",
        )
    return Repository(store.backup.restic, store.directory / CACHE)


def reach(store: Store, repository: Repository) -> None:
    """Pass the guard against wrong networks (engine.namespace) before a repository on another machine is used."""
    if not is_local(repository.name):
        enter(store.site)
        permit(store.site)


def after(new_set: NewSet) -> list[Step]:
    """Return the step that copies sets off-site, or [] without backup.restic. Its failures go to ``new_set.problems``.

    Raises InventoryError or PrecheckError, before anything is started, when restic cannot be run.
    """
    if not new_set.store.backup.restic:
        return []
    return [copy(new_set.store, repository_of(new_set.store), new_set.problems)]


def afterwards(store: Store, problems: MutableMapping[str, str] | None = None) -> list[Step]:
    """Return the step that prunes the repository, or [] unless hosts.yaml has backup.restic.prune. See `forget`."""
    if not (store.backup.restic and store.backup.restic.prune):
        return []
    return [forget(store, repository_of(store), problems)]


def copy(store: Store, repository: Repository, problems: MutableMapping[str, str]) -> Step:
    """Return the step that copies every set without an off-site copy, oldest first, also those that earlier runs failed to copy."""

    def do(run: Run) -> Failed | None:
        if run.plan:
            run.here(f"restic backup what {repository.name} does not have yet; restic check", lambda: None)
            return None
        repository.stop = lambda: run.interrupted
        try:
            reach(store, repository)
            _copy_all(run, store, repository, problems)
        except RunbookError as error:
            problems[COPY] = f"{error}" + (f"; {error.hint}" if error.hint else "")
        return Failed() if any(what == COPY or what.startswith("copy ") for what in problems) else None

    def done(_: Run) -> bool:
        left = [each.id for each in waiting(store, repository.name) if f"copy {each.id} off-site" not in problems]
        return not left or COPY in problems

    text = by_hand("backup", "copy_offsite", repository=repository.name, directory=store.directory, site=store.site.name)
    return Step("copy sets to the restic repository", done=done, do=do, by_hand=text)


def waiting(store: Store, repository: str, there: Sequence[SetSnapshot] | None = None) -> list[Set]:
    """Return the readable sets that ``repository`` does not have, oldest first. ``there``: its snapshots, if they were read."""
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
            problems[f"copy {each.id} off-site"] = f"the set on this machine is damaged: {'; '.join(wrong)}"
            continue
        act = partial(_copy_one, store, repository, each, there)
        copied[each.id] = run.here(f"restic backup {each.id} to {repository.name}, and compare", act) or ""
    if copied:
        run.here("restic check", repository.check)
    for name, snapshot in copied.items():
        record(store, name, repository=repository.name, snapshot=snapshot)


def record(store: Store, name: str, *, repository: str, snapshot: str) -> None:
    """Record that the set ``name`` has a verified copy, and where."""
    at = datetime.now(UTC).isoformat(timespec="seconds")
    store.record(name, offsite={"at": at, "repository": repository, "snapshot": snapshot, "verified": True})


def _copy_one(store: Store, repository: Repository, each: Set, there: Sequence[SetSnapshot]) -> str:
    """Return the ID of a restic snapshot that holds the set: an earlier one whose files match, else a new one.

    Raises RunbookError when the new copy differs from the set.
    """
    for known in there:
        if known.set == each.id and not _differences(repository, repository.files(known.snapshot), each):
            return known.snapshot
    made = each.sound
    labels = tags(made.site, made.id, made.state, made.size)
    names = [made.id, *([TOOLS] if (store.directory / TOOLS).is_dir() else [])]
    listed = repository.files(repository.backup(store.directory, names, labels, made.site, made.size))
    if wrong := _differences(repository, listed, each):
        raise RunbookError(f"the copy of {each.id} in {repository.name} differs from the set: {'; '.join(wrong)}")
    return listed.snapshot


def _differences(repository: Repository, listed: SnapshotFiles, each: Set) -> list[str]:
    """Say how a restic snapshot differs from the set: every file's name and size, and the manifest byte for byte."""
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
    """Return the step that deletes copies of sets that backup.keep does not retain.

    Never deletes the copy of a set that still exists on this machine, nor the newest good copy, nor anything after a copy failed in
    this run. Failures go to ``problems``; without it they are raised.
    """

    def do(run: Run) -> Failed | None:
        if run.plan:
            run.here(f"restic forget --prune the sets that backup.keep does not retain in {repository.name}", lambda: None)
            return None
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
            return Failed()
        return None

    def done(_: Run) -> bool:
        if problems is not None and {COPY, FORGET} & problems.keys():
            return True  # after a failed copy the older copies may be the only ones
        with suppress(RunbookError):  # `do` reports it
            return not unwanted(store, _look(store, repository))
        return False

    text = by_hand("backup", "forget_offsite", repository=repository.name)
    return Step("delete off-site copies that backup.keep does not retain", done=done, do=do, by_hand=text)


def _look(store: Store, repository: Repository) -> tuple[SetSnapshot, ...]:
    reach(store, repository)
    return repository.snapshots(store.site.name)


def unwanted(store: Store, there: Sequence[SetSnapshot]) -> list[SetSnapshot]:
    """Return the restic snapshots of sets that backup.keep does not retain and that are no longer on this machine."""
    known: Mapping[str, SetSnapshot] = {each.set: each for each in reversed(there)}
    dated = [Dated(name, manifest.made_at(name), good=each.state == "good") for name, each in known.items()]
    gone = {each.id for each in retention.decide(dated, store.backup.keep) if not each.kept}
    return [each for each in there if each.set in gone and not (store.directory / each.set).exists()]


def make_repository(session: Session) -> None:
    """Create the repository that hosts.yaml names, unless it exists."""
    store = Store(session.site)
    session.carry_out(repository_procedure(store, repository_of(store)), lease=Unlocked())


def repository_procedure(store: Store, repository: Repository) -> Procedure:
    """Return the procedure that creates the repository, unless it exists."""

    def done(_: Run) -> bool:
        reach(store, repository)
        return repository.exists()

    def do(run: Run) -> None:
        run.here(f"restic init {repository.name}", repository.init)

    text = by_hand("backup", "make_repository", repository=repository.name)
    step = Step("create the restic repository", done=done, do=do, by_hand=text)
    return Procedure("backup.offsite-init", f"create {repository.name}", [step])
