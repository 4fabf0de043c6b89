"""The journal: what a run has done, step by step. It is the report of the run, and --resume reads it.

One file of JSON lines per run, in the site's state directory: one ``begin``; ``change``, ``diff`` and ``note`` while a step runs; one
``step`` when it has finished; one ``end``.
"""

from __future__ import annotations

import hashlib
import json
import os
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from threading import Lock
from typing import Any

from runbooks.engine.steps import Procedure
from runbooks.errors import InventoryError
from runbooks.local import files

KEEP = 200


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

    def record(self, title: str, outcome: str, seconds: float) -> None:
        """Record nothing."""

    def note(self, kind: str, host: str, text: str) -> None:
        """Record nothing."""


class RunJournal:
    """Writes ``DIRECTORY/RUN.jsonl``. Each line is written before the next step starts; a change is also synced to disk."""

    def __init__(self, directory: Path, run: str, procedure: Procedure, finished: frozenset[str] = frozenset()) -> None:
        self._finished = finished
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.path = directory / f"{run}.jsonl"
        self._file = os.fdopen(files.create(self.path), "w", encoding="utf-8")
        self._lock = Lock()  # steps of one Together write at the same time
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
        """Return whether the interrupted run that this one resumes had finished the step."""
        return title in self._finished

    def record(self, title: str, outcome: str, seconds: float) -> None:
        """Add a finished step."""
        self._write(
            {"event": "step", "step": title, "outcome": outcome, "seconds": round(seconds, 3)}, durable=outcome == "changed"
        )

    def note(self, kind: str, host: str, text: str) -> None:
        """Record what a step is about to change on a host (``change``, ``diff``) or has found there (``note``), secrets masked."""
        self._write({"event": kind, "host": host, "text": text})

    def end(self, outcome: str, error: str = "") -> None:
        """Record the outcome of the run (``ok``, ``failed`` or ``interrupted``) and close the file."""
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
    """Delete the oldest journals beyond the newest 200, and what else was measured in these runs: ``RUN.clients.json``."""
    for path in sorted(directory.glob("*.jsonl"), reverse=True)[KEEP:]:
        path.with_name(f"{path.stem}.clients.json").unlink(
            missing_ok=True
        )  # first: without its journal nobody would find it again
        path.unlink(missing_ok=True)


def read(path: Path) -> list[dict[str, Any]]:
    """Return the lines of a journal, without one that was cut off; [] when it cannot be read."""
    events = []
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return []
    for line in lines:
        try:
            events.append(json.loads(line))
        except json.JSONDecodeError:  # the run was killed while it wrote its last line
            break
    return events


@dataclass(frozen=True, slots=True)
class Past:
    """How long a procedure took in earlier runs, in seconds, the newest run first.

    steps   by the step's title: of the runs in which it made its change, or in which a gate or a wait let it through.
    totals  of the runs that ended well, changed something, and were not resumed.
    """

    steps: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    totals: tuple[float, ...] = ()


def past(directory: Path, key: str, runs: int = 20) -> Past:
    """Return what the newest ``runs`` journals of the procedure ``key`` say. Steps that failed or had nothing to do are left out."""
    steps: dict[str, list[float]] = {}
    totals, seen = [], 0
    for path in sorted(directory.glob("*.jsonl"), reverse=True):
        events = read(path) if seen < runs else []
        if not events or events[0].get("procedure") != key:
            continue
        seen += 1
        finished = [event for event in events if event["event"] == "step"]
        for event in finished:
            if event["outcome"] in {"changed", "ok"}:
                steps.setdefault(event["step"], []).append(float(event["seconds"]))
        whole = events[-1]["event"] == "end" and events[-1]["outcome"] == "ok"
        outcomes = {event["outcome"] for event in finished}
        if whole and "changed" in outcomes and "done before" not in outcomes:
            begun, ended = (datetime.fromisoformat(event["at"]) for event in (events[0], events[-1]))
            totals.append((ended - begun).total_seconds())
    return Past({title: tuple(seconds) for title, seconds in steps.items()}, tuple(totals))


def summaries(directory: Path, last: int) -> list[dict[str, str]]:
    """Return the newest ``last`` runs, newest first: run, procedure, outcome, detail."""
    found = []
    for path in sorted(directory.glob("*.jsonl"), reverse=True)[:last]:
        events = read(path)
        if not events:
            continue
        end = events[-1] if events[-1]["event"] == "end" else {"outcome": "not ended"}
        steps = [event for event in events if event["event"] == "step"]
        changed = sum(event["outcome"] == "changed" for event in steps)
        detail = end.get("error", "").splitlines()[:1] or [f"{len(steps)} of {len(events[0]['steps'])} steps, {changed} changed"]
        found.append({"run": path.stem, "procedure": events[0]["procedure"], "outcome": end["outcome"], "detail": detail[0]})
    return found
