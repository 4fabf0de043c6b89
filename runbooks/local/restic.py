"""Runs restic (0.14 or newer) on the operator's machine, and parses its output.

No secret is ever a command line argument: the password is in a file, all others are in restic's environment.
https://restic.readthedocs.io/
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryFile
from time import monotonic, sleep
from typing import Any, Final, Literal, TypeVar

from runbooks.errors import InventoryError, RunbookError
from runbooks.inventory.settings import Restic
from runbooks.local import programs
from runbooks.local.secret_files import masked, parse_environment, private_text

T = TypeVar("T")
Refusal = Literal["absent", "locked", "password", ""]

TAG: Final = "ha-runbooks"  # every snapshot that these runbooks make has this tag
ABSENT, LOCKED, PASSWORD = 10, 11, 12  # exit statuses since restic 0.17; before, only the message tells
ABSENT_WORDS: Final = "Is there a repository at the following location?"
LOCKED_WORDS: Final = re.compile(r"repository is already locked|unable to create lock")
QUICK_S: Final = 300  # time limit for commands that transfer almost nothing
SLOWEST: Final = 256 << 10  # bytes per second: the slowest link to a repository that is still waited for
LOCK_WAIT_S: Final = 600  # another site or another machine may be using the same repository
LOCK_POLL_S: Final = 5
SCHEME: Final = re.compile(r"[a-z][a-z0-9+-]*:")
# Variables that would override the repository or the password of hosts.yaml. restic takes an empty one as unset.
AMBIENT: Final = (
    "RESTIC_REPOSITORY",
    "RESTIC_REPOSITORY_FILE",
    "RESTIC_PASSWORD",
    "RESTIC_PASSWORD_FILE",
    "RESTIC_PASSWORD_COMMAND",
    "RESTIC_KEY_HINT",
)


class NoRepositoryError(RunbookError):
    """There is no restic repository at the place that hosts.yaml names."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SetSnapshot:
    """A restic snapshot that holds the set ``set``. ``state`` and ``size`` (bytes) are from its tags; "" and 0 without them."""

    snapshot: str
    set: str
    time: str
    state: str = ""
    size: int = 0


@dataclass(frozen=True, slots=True)
class SnapshotFiles:
    """A snapshot's full ID, and the size of each of its files in bytes, by its path without the leading slash."""

    snapshot: str
    sizes: Mapping[str, int]


def tags(site: str, name: str, state: str, size: int) -> tuple[str, ...]:
    """Return the tags of a set's snapshot. With them, `restic snapshots` alone is enough to list the sets."""
    return (TAG, f"site={site}", f"set={name}", f"state={state}", f"bytes={size}")


def parse_snapshots(text: str) -> tuple[SetSnapshot, ...]:
    """Parse `restic snapshots --json`; the newest set comes first. Raises ValueError when it is something else."""
    try:
        found = [_copied(each) for each in json.loads(text) or ()]
        return tuple(sorted(filter(None, found), key=lambda each: (each.set, each.time), reverse=True))
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"this is no list of restic's: {error!r}") from None


def _copied(each: Mapping[str, Any]) -> SetSnapshot | None:
    said = dict(tag.split("=", 1) for tag in each.get("tags") or () if "=" in tag)
    size = said.get("bytes", "0")
    if "set" not in said:
        return None
    whole = int(size) if size.isdigit() else 0
    return SetSnapshot(snapshot=each["id"], set=said["set"], time=each["time"], state=said.get("state", ""), size=whole)


def parse_files(text: str) -> SnapshotFiles:
    """Parse `restic ls --json`. Raises ValueError when it is something else."""
    try:
        first, *nodes = [json.loads(line) for line in text.splitlines() if line.strip()] or [{}]
        return SnapshotFiles(
            first["id"], {each["path"].lstrip("/"): each.get("size", 0) for each in nodes if each["type"] == "file"}
        )
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"this is no list of restic's: {error!r}") from None


def parse_snapshot_id(text: str) -> str:
    """Return the ID (or a prefix of it) of the new snapshot from `restic backup --json`. Raises ValueError when there is none."""
    for line in reversed(text.splitlines()):
        said: Any = json.loads(line) if line.startswith("{") else {}
        if said.get("message_type") == "summary" and said.get("snapshot_id"):
            return str(said["snapshot_id"])
    raise ValueError("restic does not say which snapshot it made")


def refusal(exited: int, stderr: str) -> Refusal:
    """Return why restic ended with ``exited`` and ``stderr``: by its exit status, and by its words before 0.17; "" for other reasons."""
    if exited == ABSENT or ABSENT_WORDS in stderr:
        return "absent"
    if exited == LOCKED or LOCKED_WORDS.search(stderr):
        return "locked"
    return "password" if exited == PASSWORD or "wrong password" in stderr else ""


def is_local(repository: str) -> bool:
    """Whether a repository is a directory of this machine.

    >>> is_local("/srv/restic"), is_local("s3:https://host/bucket")
    (True, False)
    """
    return repository.startswith("local:") or not SCHEME.match(repository)


class Repository:
    """One repository as hosts.yaml describes it. ``stop`` is called while restic runs; when it returns true, restic is ended.

    The constructor raises InventoryError when a file of secrets is missing or others may read it, PrecheckError without restic.
    """

    def __init__(self, settings: Restic, cache: Path, stop: Callable[[], bool] = lambda: False) -> None:
        self.name = settings.repository
        self.settings = settings
        self.stop = stop
        self._cache = cache
        if is_local(self.name) and not self.name.removeprefix("local:").startswith("/"):
            raise InventoryError(
                f"backup.restic.repository: {self.name} is a relative path", hint="write the whole path, from / on"
            )
        if not private_text(settings.password_file, "backup.restic.password_file").strip():
            raise InventoryError(f"backup.restic.password_file: {settings.password_file} is empty")
        file = settings.environment_file
        key = "backup.restic.environment_file"
        self._secrets = parse_environment(private_text(file, key), f"{key}: {file}") if file else {}
        self._program = programs.find("restic", why="backup.restic copies sets with it")

    def exists(self) -> bool:
        """Whether there is a repository that the password opens. Raises RunbookError when that cannot be found out."""
        try:
            self._run(["cat", "config"], read_only=True)
        except NoRepositoryError:
            return False
        return True

    def init(self) -> None:
        """Create the repository."""
        self._run(["init"])

    def unlock(self) -> None:
        """Remove stale locks: those of restic processes that no longer run."""
        self._run(["unlock"])

    def snapshots(self, site: str) -> tuple[SetSnapshot, ...]:
        """Return the snapshots of the sets of ``site``, newest first."""
        return _read(parse_snapshots, self._run(["snapshots", "--json", "--tag", f"{TAG},site={site}"], read_only=True))

    def backup(self, directory: Path, names: Sequence[str], labels: Sequence[str], host: str, size: int) -> str:
        """Copy ``names`` below ``directory``; return the snapshot's ID. ``size`` in bytes determines the time limit."""
        words = ["backup", "--json", "--force", "--host", host]  # --force: read every file, whatever its time stamp
        words += [word for label in labels for word in ("--tag", label)]
        return _read(parse_snapshot_id, self._run([*words, "--", *names], cwd=directory, timeout_s=QUICK_S + size / SLOWEST))

    def files(self, snapshot: str) -> SnapshotFiles:
        """Return the files of a snapshot. ``snapshot`` may be a prefix of its ID."""
        return _read(parse_files, self._run(["ls", "--json", snapshot], read_only=True))

    def content(self, snapshot: str, path: str) -> bytes:
        """Return one small file of a snapshot."""
        with TemporaryFile() as file:
            self._run(["dump", snapshot, f"/{path}"], read_only=True, stdout=file)
            file.seek(0)
            return file.read()

    def restore(self, snapshot: str, target: Path, size: int) -> None:
        """Restore a snapshot's files below ``target``. ``size`` in bytes determines the time limit."""
        self._run(["restore", snapshot, "--target", str(target)], read_only=True, timeout_s=QUICK_S + size / SLOWEST)

    def check(self) -> None:
        """Let restic check the repository's structure. It does not read the data."""
        self._run(["check"], timeout_s=3600)

    def forget(self, snapshots: Sequence[str]) -> None:
        """Delete ``snapshots`` for good, and free the space that only they needed."""
        self._run(["forget", *snapshots])
        self._run(["prune"], timeout_s=3600)

    def _run(
        self,
        words: Sequence[str],
        *,
        read_only: bool = False,
        timeout_s: float = QUICK_S,
        cwd: Path | None = None,
        stdout: Any = None,
    ) -> str:
        """Run restic and return its standard output. While another process holds the repository's lock, try again.

        ``read_only`` neither takes a lock nor leaves a cache. Raises RunbookError when restic fails, or the lock is held too long.
        """
        line = [self._program, f"--repo={self.name}", f"--password-file={self.settings.password_file}"]
        line += ["--no-lock"] if read_only else []
        line += [] if self._cached(read_only=read_only) else ["--no-cache"]
        deadline, unlocked = monotonic() + LOCK_WAIT_S, False
        while True:
            said = programs.run(
                programs.tied_to_parent([*line, *words]),
                environ=self._environment(),
                cwd=cwd,
                timeout_s=timeout_s,
                good=range(-64, 256),
                stdout=stdout,
                stop=self.stop,
            )
            if said.exited == 0:
                return said.stdout
            if self.stop():
                raise KeyboardInterrupt  # Ctrl-C has ended restic, too
            if refusal(said.exited, said.stderr) != "locked" or monotonic() > deadline:
                raise self._failed(words[0], said)
            if unlocked:
                sleep(LOCK_POLL_S)
            self.unlock()
            unlocked = True

    def _cached(self, *, read_only: bool) -> bool:
        if not read_only and self._cache.parent.is_dir():
            self._cache.mkdir(mode=0o700, exist_ok=True)
        return self._cache.is_dir()

    def _environment(self) -> Mapping[str, str]:
        quiet = {name: "" for name in AMBIENT if name in os.environ}
        return quiet | self._secrets | {"RESTIC_CACHE_DIR": str(self._cache)}

    def _failed(self, what: str, said: programs.Finished) -> RunbookError:
        text, secrets = programs.tail(said.stderr or said.stdout), self._secrets.values()
        if refusal(said.exited, said.stderr) == "absent":
            message = masked(f"there is no restic repository at {self.name}{text}", secrets)
            return NoRepositoryError(message, hint="inv backup.offsite-init creates it")
        return RunbookError(masked(f"`restic {what}` on {self.name} exited {said.exited}{text}", secrets), hint=_hint(said))


def _read(parse: Callable[[str], T], text: str) -> T:
    try:
        return parse(text)
    except ValueError as error:
        raise RunbookError(f"restic's answer cannot be read: {error}", hint="restic 0.14 or newer is needed") from None


def _hint(said: programs.Finished) -> str:
    match refusal(said.exited, said.stderr):
        case "password":
            return "check backup.restic.password_file"
        case "locked":
            return "another process is using that repository: wait until it ends"
    return "check backup.restic in hosts.yaml, and that the repository can be reached"
