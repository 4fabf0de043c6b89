"""The journal: what a run has done, step by step. It is the report of the run, and --resume reads it.

One file of JSON lines per run, in the site's state directory; lines are only added. One ``begin``; for each step a ``start``, then ``change``,
``diff`` and ``note`` while it runs, and a ``step`` when it has ended; one ``end``. While the run is at work, its process holds a lock (flock) on
the file. `engine.history` reads all of them.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import secrets
import socket
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime
from io import FileIO
from pathlib import Path
from threading import Lock, get_ident
from typing import Any, Final

from runbooks.engine.lock import user
from runbooks.engine.steps import Procedure
from runbooks.errors import DiskError, InventoryError, PrecheckError
from runbooks.local import disk, files
from runbooks.text import MIB

KEEP = 200
# What may lie beside a journal: what was measured in the run, its page, and what a drill has shown.
BESIDE: Final = (".clients.json", ".html", ".drill.json", ".drill.html")
ROOM: Final = 16 * MIB  # the longest reports, those of upgrades, have about 1 MiB
DURABLE: Final = frozenset({"begin", "change", "end"})


def new_run_id(now: datetime) -> str:
    """Return a new id for a run: the UTC time in milliseconds, so that ids sort by time, and random digits, so that ids are unique."""
    return f"{now:%Y%m%dT%H%M%S}{now.microsecond // 1000:03}Z-{secrets.token_hex(2)}"


def digest(procedure: Procedure) -> str:
    """Return a fingerprint of the procedure's key, inputs and step titles. A run can only be resumed if it is unchanged."""
    text = json.dumps([procedure.key, dict(procedure.inputs), [step.title for step in procedure]], sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


class NullJournal:
    """A journal that records nothing and remembers nothing; a plan uses it."""

    def finished(self, title: str) -> bool:
        """Return False: no step was finished before."""
        return False

    def start(self, title: str) -> None:
        """Record nothing."""

    def record(self, title: str, outcome: str, seconds: float) -> None:
        """Record nothing."""

    def note(self, kind: str, host: str, text: str) -> None:
        """Record nothing."""


class RunJournal:
    """Writes ``DIRECTORY/RUN.jsonl``.

    Each line is written before the run goes on. A change is also synced to disk before it is made, and after its step has ended; so are
    the first and the last line. Where the disk is full, the run is refused before its first step. When it becomes full later, the
    step that is at work is carried out to its end, and the run stops then: `record` raises DiskError. Lines that could not be
    written are tried again with the next one, and a part of a line is never left behind.

    The constructor raises PrecheckError when nothing can be written, or less than ``ROOM``.
    """

    def __init__(self, directory: Path, run: str, procedure: Procedure, finished: frozenset[str] = frozenset()) -> None:
        self._finished = finished
        self._command = procedure.command
        self._steps: dict[int, str] = {}  # the title of the step that is at work, by thread: a step runs in one thread
        self._lock = Lock()  # steps of one Together write at the same time
        self._unwritten: list[bytes] = []
        self._size = 0
        self.path = directory / f"{run}.jsonl"
        self._file = _opened(self.path)
        try:
            self._begin(run, procedure)
            _sync_directory(directory)
        except (OSError, DiskError) as error:
            self._file.close()
            self.path.unlink(missing_ok=True)
            raise _refused(self.path, error) from None

    @property
    def unwritten(self) -> int:
        """How many lines could not be written so far."""
        return len(self._unwritten)

    def finished(self, title: str) -> bool:
        """Return whether the interrupted run that this one resumes had finished the step."""
        return title in self._finished

    def start(self, title: str) -> None:
        """Record that a step begins; what this thread notes from now on belongs to it."""
        self._steps[get_ident()] = title
        with suppress(DiskError):
            self._write({"event": "start", "step": title})

    def record(self, title: str, outcome: str, seconds: float) -> None:
        """Record that a step has ended. Raises DiskError when that, or anything noted before it, cannot be written."""
        self._steps.pop(get_ident(), None)
        line = {"event": "step", "step": title, "outcome": outcome, "seconds": round(seconds, 3)}
        self._write(line, durable=outcome in {"changed", "failed"})

    def note(self, kind: str, host: str, text: str) -> None:
        """Record what a step is about to change on a host (``change``, ``diff``) or has found there (``note``), secrets masked.

        A full disk does not stop it here, in the middle of a step.
        """
        step = self._steps.get(get_ident())
        with suppress(DiskError):
            self._write({"event": kind, "host": host, "text": text, **({"step": step} if step else {})})

    def end(self, outcome: str, error: str = "") -> None:
        """Record the outcome of the run (``ok``, ``failed`` or ``interrupted``) and close the file."""
        with suppress(DiskError):
            self._write({"event": "end", "outcome": outcome, **({"error": error} if error else {})})
        self._file.close()

    def _begin(self, run: str, procedure: Procedure) -> None:
        with suppress(OSError):  # a file system without locks: a run that is at work looks like one that was killed
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        self._write(
            {
                "event": "begin",
                "run": run,
                "procedure": procedure.key,
                "title": procedure.title,
                "command": procedure.command,
                **_origin(),
                "digest": digest(procedure),
                "inputs": dict(procedure.inputs),
                "steps": [step.title for step in procedure],
            }
        )
        for title in sorted(self._finished):
            self._write({"event": "step", "step": title, "outcome": "done before", "seconds": 0})

    def _write(self, line: Mapping[str, Any], *, durable: bool = False) -> None:
        """Add a line, after those that could not be written before. Raises DiskError when that fails."""
        text = json.dumps({"at": datetime.now(UTC).isoformat(timespec="milliseconds"), **line}) + "\n"
        try:
            with self._lock:
                self._unwritten.append(text.encode())
                while self._unwritten:
                    self._append(self._unwritten[0])
                    del self._unwritten[0]
            if durable or line["event"] in DURABLE:
                os.fsync(self._file.fileno())
        except OSError as error:
            hint = f"{_way_out(self.path.parent)}, then run `{self._command}` again: it continues with what is not done yet"
            raise DiskError(f"the report {self.path} cannot be written: {error.strerror or error}", hint=hint) from None

    def _append(self, data: bytes) -> None:
        """Write all of ``data`` at the end of the file, or nothing of it. Raises OSError."""
        done = 0
        try:
            while done < len(data):
                done += os.pwrite(self._file.fileno(), data[done:], self._size + done)
        except OSError:
            if done:
                self._file.truncate(self._size)
            raise
        self._size += done


def _origin() -> dict[str, Any]:
    """Return who runs this command, on which machine, in which process, and from which address that user is logged in there by SSH."""
    client = os.environ.get("SSH_CONNECTION", "").partition(" ")[0]
    return {"user": user(), "machine": socket.gethostname(), "pid": os.getpid(), **({"client": client} if client else {})}


def _sync_directory(directory: Path) -> None:
    """Make sure that the name of a new file is on disk."""
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _opened(path: Path) -> FileIO:
    """Create the file of a journal. Raises PrecheckError where there is no room for it, FileExistsError when it is there already."""
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise _refused(path, error) from None
    disk.require_room(path.parent, ROOM, "the report of a run may take", hint=_way_out(path.parent))
    try:
        return os.fdopen(files.create(path), "r+b", buffering=0)
    except FileExistsError:
        raise
    except OSError as error:
        raise _refused(path, error) from None


def _way_out(directory: Path) -> str:
    return f"make room on the disk of {directory}"


def _refused(path: Path, error: OSError | DiskError) -> PrecheckError:
    why = str(error) if isinstance(error, DiskError) else f"the report {path} cannot be written: {error.strerror or error}"
    return PrecheckError(f"{why}; nothing was started", hint=_way_out(path.parent))


def finished_steps(directory: Path, procedure: Procedure, run: str) -> frozenset[str]:
    """Return the titles of the steps that an interrupted run of the same procedure had finished.

    ``run`` is its id, or "" for the newest run of the procedure. Raises InventoryError when there is no interrupted run, or when the
    procedure has changed since.
    """
    path, events = _interrupted(directory, procedure.key, run)
    if events[0].get("digest") != digest(procedure):
        raise InventoryError(
            f"{path.stem} cannot be resumed: hosts.yaml, the arguments or this tool have changed since",
            hint=f"run `inv {procedure.key}` without --resume; it checks every step again",
        )
    return frozenset(event["step"] for event in events if event["event"] == "step" and event["outcome"] != "failed")


def interrupted_inputs(directory: Path, key: str, run: str) -> dict[str, Any]:
    """Return the inputs of the interrupted run of procedure ``key`` that --resume continues.

    A procedure whose steps depend on what was seen at its start is rebuilt from them. ``run`` and errors as in `finished_steps`.
    """
    _, events = _interrupted(directory, key, run)
    inputs: dict[str, Any] = events[0].get("inputs", {})
    return inputs


def _interrupted(directory: Path, key: str, run: str) -> tuple[Path, list[dict[str, Any]]]:
    for path in [directory / f"{run}.jsonl"] if run else sorted(directory.glob("*.jsonl"), reverse=True):
        events = read(path)
        if not events or events[0].get("procedure") != key:
            continue
        if events[-1].get("outcome") == "ok" and events[-1]["event"] == "end":
            break
        return path, events
    raise InventoryError(f"there is no interrupted run of {key} to resume" + (f" called {run}" if run else ""))


def prune(directory: Path) -> None:
    """Delete the oldest journals beyond the newest 200, and what lies beside them (``BESIDE``)."""
    for path in sorted(directory.glob("*.jsonl"), reverse=True)[KEEP:]:
        for suffix in BESIDE:  # first: without its journal nobody would find it again
            path.with_name(path.stem + suffix).unlink(missing_ok=True)
        path.unlink(missing_ok=True)


def read(path: Path) -> list[dict[str, Any]]:
    """Return the lines of a journal, without those that are none, as one that was cut off by a power cut; [] when it cannot be read."""
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").split("\n")
    except OSError:
        return []
    return [event for event in map(_event, lines) if event]


def _event(line: str) -> dict[str, Any]:
    try:
        found = json.loads(line, parse_constant=_no_number)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) and isinstance(found.get("event"), str) else {}


def _no_number(name: str) -> None:
    raise ValueError(f"{name} is no number in JSON")
