"""restic (0.14 or newer) on the operator's machine: its words, how its answers read, and running it.

No secret is ever one of its words: the password is in a file, everything else in the child's environment.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryFile
from time import monotonic, sleep
from typing import Any, Final, TypeVar

from runbooks.errors import InventoryError, RunbookError
from runbooks.inventory.settings import Restic
from runbooks.local import files, programs

T = TypeVar("T")

OURS: Final = "ha-runbooks"  # the tag that every snapshot of ours has
ABSENT, LOCKED = 10, 11  # exit statuses since restic 0.17; before, only the words tell
ABSENT_WORDS: Final = "Is there a repository at the following location?"
LOCKED_WORDS: Final = re.compile(r"repository is already locked|unable to create lock")
QUICK_S: Final = 300  # for what moves next to nothing
SLOWEST: Final = 256 << 10  # bytes a second that a wire to the repository does at the least
LOCK_WAIT_S: Final = 600  # another site, or another machine, may share the repository and be at work there
LOCK_POLL_S: Final = 5
SCHEME: Final = re.compile(r"[a-z][a-z0-9+-]*:")
VARIABLE: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
SHORT: Final = 4  # a value of fewer characters is no secret, and would be found in every text
# What chooses another repository or password than hosts.yaml does; empty is as good as not there.
AMBIENT: Final = (
    "RESTIC_REPOSITORY",
    "RESTIC_REPOSITORY_FILE",
    "RESTIC_PASSWORD",
    "RESTIC_PASSWORD_FILE",
    "RESTIC_PASSWORD_COMMAND",
    "RESTIC_KEY_HINT",
)


class AbsentError(RunbookError):
    """There is no repository where hosts.yaml says."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Copied:
    """A snapshot of restic's that holds the set ``set``; the rest is what its tags say ("" and 0 when they do not)."""

    snapshot: str
    set: str
    time: str
    state: str = ""
    size: int = 0


@dataclass(frozen=True, slots=True)
class Listed:
    """A snapshot's whole ID, and the size of each of its files, in bytes, by its path without the leading slash."""

    snapshot: str
    sizes: Mapping[str, int]


def tags(site: str, name: str, state: str, size: int) -> tuple[str, ...]:
    """Return the tags of a set's snapshot, so that listing needs no more than restic's own list."""
    return (OURS, f"site={site}", f"set={name}", f"state={state}", f"bytes={size}")


def parse_snapshots(text: str) -> tuple[Copied, ...]:
    """Read what `restic snapshots --json` prints, newest set first. Raises ValueError when it is something else."""
    try:
        found = [_copied(each) for each in json.loads(text) or ()]
        return tuple(sorted(filter(None, found), key=lambda each: (each.set, each.time), reverse=True))
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"this is no list of restic's: {error!r}") from None


def _copied(each: Mapping[str, Any]) -> Copied | None:
    said = dict(tag.split("=", 1) for tag in each.get("tags") or () if "=" in tag)
    size = said.get("bytes", "0")
    if "set" not in said:
        return None
    whole = int(size) if size.isdigit() else 0
    return Copied(snapshot=each["id"], set=said["set"], time=each["time"], state=said.get("state", ""), size=whole)


def parse_files(text: str) -> Listed:
    """Read what `restic ls --json` prints. Raises ValueError when it is something else."""
    try:
        first, *nodes = [json.loads(line) for line in text.splitlines() if line.strip()] or [{}]
        return Listed(first["id"], {each["path"].lstrip("/"): each.get("size", 0) for each in nodes if each["type"] == "file"})
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"this is no list of restic's: {error!r}") from None


def parse_made(text: str) -> str:
    """Return the snapshot's ID (perhaps only its begin) from what `restic backup --json` prints. Raises ValueError without one."""
    for line in reversed(text.splitlines()):
        said: Any = json.loads(line) if line.startswith("{") else {}
        if said.get("message_type") == "summary" and said.get("snapshot_id"):
            return str(said["snapshot_id"])
    raise ValueError("restic does not say which snapshot it made")


def parse_environment(text: str, where: str) -> dict[str, str]:
    """Read lines KEY=VALUE; a value may stand in quotes. Raises InventoryError, naming the line but never its value."""
    found = {}
    for number, line in enumerate(text.splitlines(), start=1):
        name, equals, value = line.strip().partition("=")
        if not name or name.startswith("#"):
            continue
        if not equals or not VARIABLE.fullmatch(name):
            raise InventoryError(
                f"{where}, line {number}: this is not KEY=VALUE", hint="one KEY=VALUE a line; # begins a comment"
            )
        if len(value) > 1 and value[0] == value[-1] and value[0] in "'\"":
            value = value[1:-1]
        found[name] = value
    return found


def masked(text: str, secrets: Iterable[str]) -> str:
    """Return ``text`` without any of ``secrets``."""
    for secret in sorted((each for each in secrets if len(each) >= SHORT), key=len, reverse=True):
        text = text.replace(secret, "***")
    return text


def is_local(repository: str) -> bool:
    """Tell whether a repository is a directory of this machine.

    >>> is_local("/srv/restic"), is_local("s3:https://host/bucket")
    (True, False)
    """
    return repository.startswith("local:") or not SCHEME.match(repository)


def private_text(path: Path, key: str) -> str:
    """Return what is in a file of secrets. Raises InventoryError, naming ``key``, when it is not there or open to others."""
    try:
        open_to_others = files.open_to_others(path)
        content = path.read_text()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", "") or "it is no text"
        raise InventoryError(f"{key}: {path} cannot be read: {reason}", hint="make that file, 0600") from None
    if open_to_others:
        raise InventoryError(f"{key}: others may read {path}, and it holds secrets", hint=f"chmod 600 {path}")
    return content


class Repository:
    """One repository as hosts.yaml describes it. ``stop`` is asked while restic runs; once it is true, restic is ended.

    Making it raises InventoryError when a file of secrets is missing or open to others, PrecheckError when there is no restic.
    """

    def __init__(self, settings: Restic, cache: Path, stop: Callable[[], bool] = lambda: False) -> None:
        self.name = settings.repository
        self.settings = settings
        self.stop = stop
        self._cache = cache
        if is_local(self.name) and not self.name.removeprefix("local:").startswith("/"):
            raise InventoryError(f"backup.restic.repository: {self.name} depends on where one stands", hint="write it from / on")
        if not private_text(settings.password_file, "backup.restic.password_file").strip():
            raise InventoryError(f"backup.restic.password_file: {settings.password_file} is empty")
        file = settings.environment_file
        key = "backup.restic.environment_file"
        self._secrets = parse_environment(private_text(file, key), f"{key}: {file}") if file else {}
        self._program = programs.find("restic", why="backup.restic copies sets with it")

    def exists(self) -> bool:
        """Tell whether there is a repository that the password opens. Raises RunbookError when that cannot be found out."""
        try:
            self._run(["cat", "config"], look=True)
        except AbsentError:
            return False
        return True

    def init(self) -> None:
        """Make the repository."""
        self._run(["init"])

    def unlock(self) -> None:
        """Take away the locks of runs that are dead (those of living ones stay)."""
        self._run(["unlock"])

    def snapshots(self, site: str) -> tuple[Copied, ...]:
        """Return what is there of the sets of ``site``, newest first."""
        return _read(parse_snapshots, self._run(["snapshots", "--json", "--tag", f"{OURS},site={site}"], look=True))

    def backup(self, directory: Path, names: Sequence[str], labels: Sequence[str], host: str, size: int) -> str:
        """Copy ``names`` below ``directory``; return the snapshot's ID. ``size`` is in bytes, for the time that it may take."""
        words = ["backup", "--json", "--force", "--host", host]  # --force: read everything, trust no time stamps
        words += [word for label in labels for word in ("--tag", label)]
        return _read(parse_made, self._run([*words, "--", *names], cwd=directory, timeout_s=QUICK_S + size / SLOWEST))

    def files(self, snapshot: str) -> Listed:
        """Return what a snapshot holds. ``snapshot`` may be the begin of its ID."""
        return _read(parse_files, self._run(["ls", "--json", snapshot], look=True))

    def content(self, snapshot: str, path: str) -> bytes:
        """Return one small file of a snapshot."""
        with TemporaryFile() as file:
            self._run(["dump", snapshot, f"/{path}"], look=True, stdout=file)
            file.seek(0)
            return file.read()

    def restore(self, snapshot: str, target: Path, size: int) -> None:
        """Put a snapshot's files below ``target``. ``size`` is in bytes, for the time that it may take."""
        self._run(["restore", snapshot, "--target", str(target)], look=True, timeout_s=QUICK_S + size / SLOWEST)

    def check(self) -> None:
        """Let restic check the repository's structure: that everything that a snapshot names is there."""
        self._run(["check"], timeout_s=3600)

    def forget(self, snapshots: Sequence[str]) -> None:
        """Give up ``snapshots``, and free what only they needed."""
        self._run(["forget", *snapshots])
        self._run(["prune"], timeout_s=3600)

    def _run(
        self,
        words: Sequence[str],
        *,
        look: bool = False,
        timeout_s: float = QUICK_S,
        cwd: Path | None = None,
        stdout: Any = None,
    ) -> str:
        """Run restic; while somebody who lives holds the repository's lock, try again.

        ``look`` neither takes a lock nor leaves a cache.
        """
        line = [self._program, f"--repo={self.name}", f"--password-file={self.settings.password_file}"]
        line += ["--no-lock"] if look else []
        line += [] if self._cached(look=look) else ["--no-cache"]
        deadline, unlocked = monotonic() + LOCK_WAIT_S, False
        while True:
            said = programs.run(
                programs.bound([*line, *words]),
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
                raise KeyboardInterrupt  # Ctrl-C reaches restic as well
            if not _is_locked(said) or monotonic() > deadline:
                raise self._failed(words[0], said)
            if unlocked:
                sleep(LOCK_POLL_S)
            self.unlock()
            unlocked = True

    def _cached(self, *, look: bool) -> bool:
        if not look and self._cache.parent.is_dir():
            self._cache.mkdir(mode=0o700, exist_ok=True)
        return self._cache.is_dir()

    def _environment(self) -> Mapping[str, str]:
        quiet = {name: "" for name in AMBIENT if name in os.environ}
        return quiet | self._secrets | {"RESTIC_CACHE_DIR": str(self._cache)}

    def _failed(self, what: str, said: programs.Said) -> RunbookError:
        text, secrets = programs.tail(said.stderr or said.stdout), self._secrets.values()
        if said.exited == ABSENT or ABSENT_WORDS in said.stderr:
            message = masked(f"there is no restic repository at {self.name}{text}", secrets)
            return AbsentError(message, hint="inv backup.offsite-init makes it")
        return RunbookError(masked(f"`restic {what}` on {self.name} exited {said.exited}{text}", secrets), hint=_way_out(said))


def _read(parse: Callable[[str], T], text: str) -> T:
    try:
        return parse(text)
    except ValueError as error:
        raise RunbookError(f"restic's answer cannot be read: {error}", hint="restic 0.14 or newer is needed") from None


def _is_locked(said: programs.Said) -> bool:
    return said.exited == LOCKED or bool(LOCKED_WORDS.search(said.stderr))


def _way_out(said: programs.Said) -> str:
    if "wrong password" in said.stderr:
        return "look at backup.restic.password_file"
    if _is_locked(said):
        return "somebody else is at work in that repository: wait for them"
    return "look at backup.restic in hosts.yaml, and whether the repository can be reached"
