"""A result in a few lines, for people."""

from __future__ import annotations

from datetime import UTC, datetime

from runbooks.measure.rules.gaps import Gap
from runbooks.text import age_text


def at(since_1970: float) -> str:
    """Return a time of day, UTC, to a tenth of a second.

    >>> at(1767780672.57)
    '10:11:12.5'
    """
    found = datetime.fromtimestamp(since_1970, UTC)
    return f"{found:%H:%M:%S}.{found.microsecond // 100_000}"


def seconds(ms: float) -> str:
    """Return a duration in ms or s, as a person would say it.

    >>> [seconds(each) for each in (0, 87.4, 999, 1000, 10_160, 400_000)]
    ['0 ms', '87 ms', '999 ms', '1.0 s', '10.2 s', '6 min']
    """
    if ms < 999.5:
        return f"{ms:.0f} ms"
    return f"{ms / 1000:.1f} s" if ms < 120_000 else age_text(ms / 1000)


def gap_text(gap: Gap) -> str:
    """Return a gap in a few words.

    >>> gap_text(Gap(begin_s=1767780672.57, ms=930, reason="refused"))
    '10:11:12.5 930 ms (refused)'
    """
    notes = [gap.reason or "answered late"]
    notes += [f"{seconds(gap.own_ms)} of it the measuring process itself"] if gap.own_ms else []
    notes += [] if gap.ended else ["until the end"]
    return f"{at(gap.begin_s)} {seconds(gap.ms)} ({', '.join(notes)})"
