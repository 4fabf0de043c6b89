"""What a run has done, step by step: the report of a run, and what a later one resumes from.

One file of JSON lines per run, in the site's state directory: ``begin``; ``change``, ``diff`` and ``note`` of the running step, one
``step`` when it has finished; ``end``.
"""

from __future__ import annotations

import hashlib
import json
import os
import secrets
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from threading import Lock
from typing import Any

from runbooks.engine.steps import Procedure
from runbooks.errors import InventoryError
from runbooks.local import files

KEEP = 200


def new_run_id(now: datetime) -> str:
    """Name a run: its UTC time, in milliseconds since names tell the order, and enough chance that two never choose the same."""
    return f"{now:%Y%m%dT%H%M%S}{now.microsecond // 1000:03}Z-{secrets.token_hex(2)}"


def digest(procedure: Procedure) -> str:
    """Fingerprint of what the steps were built from: a run can only be resumed with the same."""
    text = json.dumps([procedure.key, dict(procedure.inputs), [step.title for step in procedure]], sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


class NullJournal:
    """The journal of a plan: nothing was done before, and nothing is recorded."""

    def finished(self, title: str) -> bool:
        """No step was finished before."""
        return False

    def record(self, title: str, outcome: str, seconds: float) -> None:
        """Record nothing."""

    def note(self, kind: str, host: str, text: str) -> None:
        """Note nothing."""


class RunJournal:
    """Writes ``DIRECTORY/RUN.jsonl``; each line is on disk before the next step starts."""

    def __init__(self, directory: Path, run: str, procedure: Procedure, finished: frozenset[str] = frozenset()) -> None:
        self._finished = finished
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.path = directory / f"{run}.jsonl"
        self._file = os.fdopen(files.create(self.path), "w", encoding="utf-8")
        self._lock = Lock()  # steps that run together write to it at the same time
        self._write(
            {
                "event": "begin",
                "run": run,
                "procedure": procedure.key,
                "title": procedure.title,
                "digest": digest(procedure),
                "inputs": dict(procedure.inputs),
                "steps": [step.title for step in procedure],
            }
        )
        for title in sorted(finished):
            self._write({"event": "step", "step": title, "outcome": "done before", "seconds": 0})

    def finished(self, title: str) -> bool:
        """Whether an interrupted run that this one resumes had finished the step."""
        return title in self._finished

    def record(self, title: str, outcome: str, seconds: float) -> None:
        """Add a finished step."""
        self._write(
            {"event": "step", "step": title, "outcome": outcome, "seconds": round(seconds, 3)}, durable=outcome == "changed"
        )

    def note(self, kind: str, host: str, text: str) -> None:
        """Add what a step is about to do to a host (``change``, ``diff``) or has found there (``note``), secrets masked."""
        self._write({"event": kind, "host": host, "text": text})

    def end(self, outcome: str, error: str = "") -> None:
        """Close the journal: ``ok``, ``failed`` or ``interrupted``."""
        self._write({"event": "end", "outcome": outcome, **({"error": error} if error else {})})
        self._file.close()

    def _write(self, line: Mapping[str, Any], *, durable: bool = False) -> None:
        text = json.dumps({"at": datetime.now(UTC).isoformat(timespec="milliseconds"), **line}) + "\n"
        with self._lock:
            self._file.write(text)
            self._file.flush()
        if durable:
            os.fsync(self._file.fileno())


def finished_steps(directory: Path, procedure: Procedure, run: str) -> frozenset[str]:
    """Return the steps that an earlier, unfinished run of the same procedure has finished.

    ``run`` is its id, or "" for the newest one that was not finished. Raises InventoryError when there is none, or when the
    procedure is no longer the one that was interrupted.
    """
    path, events = _interrupted(directory, procedure.key, run)
    if events[0].get("digest") != digest(procedure):
        raise InventoryError(
            f"{path.stem} cannot be resumed: hosts.yaml, the arguments or this tool have changed since",
            hint=f"run `inv {procedure.key}` without --resume; it looks at every step again",
        )
    return frozenset(event["step"] for event in events if event["event"] == "step")


def interrupted_inputs(directory: Path, key: str, run: str) -> dict[str, Any]:
    """Return the inputs of the interrupted run of procedure ``key`` that would be resumed.

    For a procedure whose steps depend on what was seen when it began. ``run`` and errors as in `finished_steps`.
    """
    _, events = _interrupted(directory, key, run)
    inputs: dict[str, Any] = events[0].get("inputs", {})
    return inputs


def _interrupted(directory: Path, key: str, run: str) -> tuple[Path, list[dict[str, Any]]]:
    for path in [directory / f"{run}.jsonl"] if run else sorted(directory.glob("*.jsonl"), reverse=True):
        events = _events(path)
        if not events or events[0].get("procedure") != key:
            continue
        if events[-1].get("outcome") == "ok" and events[-1]["event"] == "end":
            break
        return path, events
    raise InventoryError(f"there is no interrupted run of {key} to resume" + (f" called {run}" if run else ""))


def prune(directory: Path) -> None:
    """Delete the oldest journals beyond the newest 200."""
    for path in sorted(directory.glob("*.jsonl"), reverse=True)[KEEP:]:
        path.unlink(missing_ok=True)


def _events(path: Path) -> list[dict[str, Any]]:
    events = []
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return []
    for line in lines:
        try:
            events.append(json.loads(line))
        except json.JSONDecodeError:  # the last line of a run that was killed while writing it
            break
    return events


def summaries(directory: Path, last: int) -> list[dict[str, str]]:
    """Return the newest ``last`` runs, newest first: run, procedure, outcome, detail."""
    found = []
    for path in sorted(directory.glob("*.jsonl"), reverse=True)[:last]:
        events = _events(path)
        if not events:
            continue
        end = events[-1] if events[-1]["event"] == "end" else {"outcome": "not ended"}
        steps = [event for event in events if event["event"] == "step"]
        changed = sum(event["outcome"] == "changed" for event in steps)
        detail = end.get("error", "").splitlines()[:1] or [f"{len(steps)} of {len(events[0]['steps'])} steps, {changed} changed"]
        found.append({"run": path.stem, "procedure": events[0]["procedure"], "outcome": end["outcome"], "detail": detail[0]})
    return found
