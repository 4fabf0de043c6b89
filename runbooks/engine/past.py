"""How long a procedure took in earlier runs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

from runbooks.engine.history import SKIPPED, newest


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
    totals = []
    for run in islice((each for each in newest(directory) if each.procedure == key), runs):
        for step in run.steps:
            if step.outcome in {"changed", "ok"}:
                steps.setdefault(step.title, []).append(step.seconds)
        if run.outcome == "ok" and run.changed and not any(step.outcome == SKIPPED for step in run.steps):
            totals.append(run.seconds)
    return Past({title: tuple(seconds) for title, seconds in steps.items()}, tuple(totals))
