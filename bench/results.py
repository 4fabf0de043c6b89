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
from bench.twin import LBS

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
        "packages": twin.on(LBS[0], "dpkg-query", "-W", "-f", "${Package} ${Version}; ", "haproxy", "keepalived").stdout,
        "advert_ms": twin.site.load_balancer.vrrp.advert_ms,
        "load": [round(each, 1) for each in os.getloadavg()],
    }


def save(name: str, content: Mapping[str, Any]) -> Path:
    """Write ``content`` to bench/results/ and return where."""
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{name}.json"
    path.write_text(json.dumps(content, indent=1) + "\n")
    return path


def markdown(rows: Sequence[Sequence[str]]) -> str:
    """Return ``rows``, the first of which is the heading, as a markdown table."""
    lines = [rows[0], ["---"] * len(rows[0]), *rows[1:]]
    return "\n".join("| " + " | ".join(row) + " |" for row in lines)


def outage(runs: Sequence[Mapping[str, Any]]) -> str:
    """Return "median (worst)" of the longest outages; what never came back is marked."""
    values = [run["outage_ms"] for run in runs]
    if any(run["endless"] for run in runs):
        return f"does not end ({min(values) / 1000:.0f} s watched)"
    return f"{median(values):.0f} ({max(values):.0f})"


def cells(runs: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return what one configuration did in one event: outage, failed probes, slow ones, very slow ones."""
    if not runs:
        return ["-"] * 4
    return [outage(runs), *(f"{median(run[key] for run in runs):.0f}" for key in ("failed", "slow", "over_1s"))]


def table(events: Sequence[Event], found: Mapping[str, Mapping[str, list[dict[str, Any]]]]) -> str:
    """Return the markdown table of all events: medians over the runs, in parentheses the worst."""
    names = sorted(found, reverse=True)
    titles = [f"{name}: {word}" for name in names for word in ("outage ms", "failed", "> 200 ms", "> 1 s")]
    rows = [["event", "target", *titles, "both held the VIP, ms"]]
    for event in events:
        for half in filter(None, (event.breaks, event.mends)):
            each = [found[name].get(half.name, []) for name in names]
            together = max((run["together_ms"] for run in each[0]), default=0)
            measured = [cell for runs in each for cell in cells(runs)]
            rows.append([half.title.replace("  ", "... "), TARGETS.get(half.name, ""), *measured, f"{together:.0f}"])
    return markdown(rows)
