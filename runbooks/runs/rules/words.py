"""A run in words, for a terminal."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Final

from runbooks.engine.history import HERE, SKIPPED, Line, RunRecord, StepRecord
from runbooks.text import age_text

LIST_HEADER: Final = ("run", "began (UTC)", "took", "who", "command", "outcome", "")
MARKS: Final = {"changed": "*", "failed": "!", "at work": ">"}
INDENT: Final = "      | "


def row(run: RunRecord) -> list[str]:
    """Return a run's line of the list."""
    return [run.run, at(run.begun), age_text(run.seconds), who(run) or "?", run.command, run.outcome, run.detail]


def at(moment: datetime) -> str:
    """Return a moment in UTC, without the zone.

    >>> at(datetime.fromisoformat("2026-01-07T11:11:12.345+01:00"))
    '2026-01-07 10:11:12'
    """
    return moment.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S")


def who(run: RunRecord) -> str:
    """Return user and machine of a run, and from where that user was logged in; "" for reports of older versions."""
    name = "@".join(filter(None, (run.user, run.machine)))
    return f"{name} (from {run.client})" if name and run.client else name


def step_line(run: RunRecord, step: StepRecord) -> str:
    """Return the line of a step, as it was shown while it ran, and when it began."""
    number, width = run.number.get(step.title, 0), len(str(len(run.planned)))
    mark = MARKS.get(step.outcome, " ")
    when = f"  at {after(run, step.begun)}" if step.begun and step.outcome != SKIPPED else ""
    return f"{mark} {number:>{width}}/{len(run.planned)} {step.title}  [{step.outcome}, {step.seconds:.1f} s]{when}"


def after(run: RunRecord, moment: datetime) -> str:
    """Return how long after the begin of ``run`` something happened: "+1:05", with hours "+1:00:05"."""
    seconds = max(int((moment - run.begun).total_seconds()), 0)
    minutes, hours = seconds // 60, seconds // 3600
    return f"+{hours}:{minutes % 60:02}:{seconds % 60:02}" if hours else f"+{minutes}:{seconds % 60:02}"


def told(line: Line) -> str:
    """Return what was changed or found, with the host in front of a command or a note."""
    if line.kind == "diff":
        return line.text
    if line.kind == "note":
        return line.text if line.host == HERE else f"{line.host}: {line.text}"
    return f"ran {'here' if line.host == HERE else f'on {line.host}'}: {line.text}"


def shown(run: RunRecord) -> Iterator[str]:
    """Yield everything that is known of a run, line by line."""
    yield f"{run.run}  {run.command}" + (f": {run.title}" if run.title else "")
    pid = f", pid {run.pid}" if run.pid else ""
    by = f" by {who(run)}{pid}" if who(run) else ""
    yield f"{run.outcome}: began {at(run.begun)} UTC{by}, took {age_text(run.seconds)}, {run.changed} of {len(run.planned)} steps changed something"
    if run.error:
        first, *others = run.error.splitlines()
        yield f"error: {first}"
        yield from others
    for step in run.steps:
        yield step_line(run, step)
        yield from _lines(step.lines)
    if run.loose:
        yield "what the report assigns to no step:"
        yield from _lines(run.loose)


def _lines(lines: tuple[Line, ...]) -> Iterator[str]:
    for each in lines:
        yield from (INDENT + text for text in told(each).splitlines())
