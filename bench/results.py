"""Figures of benches: where they were taken, as tables, and as files in bench/results/."""

from __future__ import annotations

import json
import os
import platform
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

from bench.targets import TARGETS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from bench.events import Event
    from bench.twin import Twin

RESULTS = Path(__file__).with_name("results")


def environment(twin: Twin) -> dict[str, Any]:
    """Return what the figures depend on."""
    return {
        "date": datetime.now(UTC).strftime("%Y-%m-%d"),
        "kernel": platform.release(),
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "load": [round(each, 1) for each in os.getloadavg()],
    }


def save(name: str, content: Mapping[str, Any]) -> Path:
    """Write ``content`` to bench/results/ and return where."""
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{name}.json"
    path.write_text(json.dumps(content, indent=1) + "\n")
    return path


def outage(runs: Sequence[Mapping[str, Any]]) -> str:
    """Return "median (max)" of the longest outages; what never came back is marked."""
    values = [run["outage_ms"] for run in runs]
    if any(run["endless"] for run in runs):
        return f"never (> {min(values) / 1000:.0f} s)"
    return f"{median(values):.0f} ({max(values):.0f})"


def cell(runs: Sequence[Mapping[str, Any]]) -> str:
    """Return what one configuration did in one event."""
    if not runs:
        return "-"
    return outage(runs)


def table(events: Sequence[Event], found: Mapping[str, Mapping[str, list[dict[str, Any]]]], facts: Mapping[str, Any]) -> str:
    """Return the markdown table of all events."""
    names = list(found)
    rows = [["event", "target", *(f"{name}: outage ms" for name in names), *(f"{name}: failed, slow" for name in names)]]
    for event in events:
        for half in filter(None, (event.breaks, event.mends)):
            each = [found[name].get(half.name, []) for name in names]
            rows.append([half.title.replace("  ", "... "), TARGETS.get(half.name, ""), *map(cell, each), *map(probes, each)])
    rows.insert(1, ["---"] * len(rows[0]))
    return "\n".join("| " + " | ".join(row) + " |" for row in rows)


def probes(runs: Sequence[Mapping[str, Any]]) -> str:
    """Return failed and slow probes of the run in the middle, and the worst time."""
    if not runs:
        return "-"
    middle = [median(run[key] for run in runs) for key in ("failed", "slow", "over_1s")]
    return "{:.0f}, {:.0f} (> 1 s: {:.0f})".format(*middle)
