"""Which step of a procedure a gap belongs to: the journal of the run and the gaps have the clock of the same machine."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from runbooks.measure.rules.gaps import Gap
from runbooks.measure.rules.result import Result
from runbooks.measure.rules.words import gap_text

FOREVER = float("inf")


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """When a step ran, in seconds since 1970. ``end_s`` is infinite for a step that the journal has no end of."""

    title: str
    begin_s: float
    end_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Joined:
    """A gap and the steps that ran during it, in the order of their begins. When none did, ``after`` is the one that ended last before."""

    what: str
    gap: Gap
    during: tuple[str, ...] = ()
    after: str = ""

    def __str__(self) -> str:
        where = (
            f"during {', then '.join(self.during)}"
            if self.during
            else f"after {self.after}"
            if self.after
            else "before the first step"
        )
        return f"{self.what}: {gap_text(self.gap)}: {where}"


def spans(events: Iterable[Mapping[str, Any]]) -> tuple[Span, ...]:
    """Return when each step ran, from the lines of a run's journal (`engine.journal.read`). Steps that an earlier run had finished are left out.

    A step that has begun and not ended lasts until the end of the run.
    """
    found, begun, end_s = [], dict[str, float](), FOREVER
    for event in events:
        at_s, title = datetime.fromisoformat(event["at"]).timestamp(), event.get("step", "")
        if event["event"] == "start":
            begun[title] = at_s
        elif event["event"] == "step":
            begun.pop(title, None)
            if event["outcome"] != "done before":
                found.append(Span(title=title, begin_s=at_s - event["seconds"], end_s=at_s))
        elif event["event"] == "end":
            end_s = at_s
    found += [Span(title=title, begin_s=at_s, end_s=end_s) for title, at_s in begun.items()]
    return tuple(sorted(found, key=lambda each: each.begin_s))


def joined(what: str, gap: Gap, steps: Sequence[Span]) -> Joined:
    """Return ``gap`` with the steps that ran during it; ``what`` says what was silent."""
    during = tuple(each.title for each in steps if each.begin_s < gap.end_s and each.end_s > gap.begin_s)
    before = max((each for each in steps if each.end_s <= gap.begin_s), key=lambda each: each.end_s, default=None)
    return Joined(what=what, gap=gap, during=during, after=before.title if before and not during else "")


def longest(result: Result, steps: Sequence[Span], most: int = 5, least_ms: float = 300) -> list[Joined]:
    """Return the ``most`` longest gaps of new connections, of the reused connection and of the watch, each with its steps, by time.

    Gaps below ``least_ms`` are left out.
    """
    kinds = (
        ("new connections", result.vip.gaps),
        ("reused connection", result.reused.silences),
        ("watch", result.watch.silences),
    )
    found = [(what, gap) for what, gaps in kinds for gap in gaps if gap.ms >= least_ms]
    kept = sorted(found, key=lambda each: -each[1].ms)[:most]
    return [joined(what, gap, steps) for what, gap in sorted(kept, key=lambda each: each[1].begin_s)]
