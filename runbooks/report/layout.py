"""Where everything of a timeline is drawn. Pure: from times to coordinates. The unit is that of the picture's viewBox, 1000 wide."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from runbooks.report.model import Picture, Point, Span, Tone, Track

WIDTH: Final = 1000.0
LEFT, RIGHT = 150.0, 990.0  # of the plot; the names of the tracks stand left of it
LANE, GAP, POINTS, PADDING = 18.0, 3.0, 12.0, 6.0  # heights: of a span, between two, of a row of points, around a track
LINE, AXIS = 15.0, 24.0  # heights of a row of labels above the plot, and of the axis below it
LETTER: Final = 6.1  # the width of a letter at the picture's font size, on the large side
NAME_LETTERS: Final = int((LEFT - 10) / LETTER)
THINNEST: Final = 1.5  # so wide is the shortest span
SLACK: Final = 1.0  # spans that overlap by no more follow each other: their times are rounded
TICKS: Final = 9
SCALE: Final = (0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 21600, 43200, 86400)


@dataclass(frozen=True, slots=True)
class Box:
    """A span: a rectangle. ``label`` is "" where there is no room for it."""

    x: float
    y: float
    width: float
    label: str
    tone: Tone
    hint: str


@dataclass(frozen=True, slots=True)
class Dot:
    """One or more points at the same place. ``y`` is its middle."""

    x: float
    y: float
    tone: Tone
    hint: str


@dataclass(frozen=True, slots=True)
class Row:
    """A track from ``y`` on, ``height`` high."""

    name: str
    hint: str
    y: float
    height: float
    boxes: tuple[Box, ...]
    dots: tuple[Dot, ...]


@dataclass(frozen=True, slots=True)
class Mark:
    """A vertical line through all tracks; its label begins (or, with ``left``, ends) at ``x``, on the base line ``y``."""

    x: float
    y: float
    label: str
    tone: Tone
    left: bool


@dataclass(frozen=True, slots=True)
class Tick:
    """A place on the axis. Its label stands around ``x``, or (with ``left``) ends at the picture's edge, which it would run out of."""

    x: float
    label: str
    left: bool


@dataclass(frozen=True, slots=True)
class Drawing:
    """The whole picture. The plot is between ``top`` and ``bottom``."""

    height: float
    top: float
    bottom: float
    rows: tuple[Row, ...]
    marks: tuple[Mark, ...]
    ticks: tuple[Tick, ...]


def draw(picture: Picture) -> Drawing:
    """Return where everything of ``picture`` is drawn. What lies outside its time is cut off at the edge."""
    axis = _Axis(picture.begin_s, max(picture.end_s, picture.begin_s + 0.001))
    marks, lines = _marks(axis, picture.marks)
    top = y = PADDING + lines * LINE
    rows = []
    for track in picture.tracks:
        row = _row(axis, track, y)
        rows.append(row)
        y += row.height
    return Drawing(y + AXIS, top, y, tuple(rows), marks, axis.ticks())


@dataclass(frozen=True, slots=True)
class _Axis:
    begin_s: float
    end_s: float

    def x(self, at_s: float) -> float:
        """Where a moment is."""
        part = (at_s - self.begin_s) / (self.end_s - self.begin_s)
        return round(LEFT + min(max(part, 0), 1) * (RIGHT - LEFT), 2)

    def ticks(self) -> tuple[Tick, ...]:
        """At most ``TICKS`` and one, at round distances from the begin."""
        whole = self.end_s - self.begin_s
        step = next((each for each in SCALE if whole / each <= TICKS), None) or _days(whole)
        return tuple(self._tick(number * step) for number in range(int(whole / step) + 1))

    def _tick(self, after_s: float) -> Tick:
        x, label = self.x(self.begin_s + after_s), tick_label(after_s)
        return Tick(x, label, left=x + len(label) * LETTER / 2 > WIDTH)


def _days(whole: float) -> float:
    day = SCALE[-1]
    return day * (int(whole / day / TICKS) + 1)


def tick_label(seconds: float) -> str:
    """Return a time since the begin in its largest unit.

    >>> [tick_label(each) for each in (0, 0.2, 45, 60, 75, 300, 3600, 5400, 129_600)]
    ['0', '0.2 s', '45 s', '1 min', '1:15 min', '5 min', '1 h', '1:30 h', '1.5 d']
    """
    if seconds >= 86_400:
        return f"{seconds / 86_400:.3g} d"
    for unit, length, part in (("h", 3600, 60), ("min", 60, 1)):
        if seconds >= length:
            whole, rest = divmod(round(seconds), length)
            return f"{whole}:{rest // part:02} {unit}" if rest else f"{whole} {unit}"
    return f"{seconds:.3g} s" if seconds else "0"


def _row(axis: _Axis, track: Track, y: float) -> Row:
    name = track.name if len(track.name) <= NAME_LETTERS else track.name[: NAME_LETTERS - 1] + "…"
    lanes = _lanes(axis, track.spans)
    at = y + PADDING
    boxes = []
    for number, lane in enumerate(lanes):
        boxes += [_box(axis, span, at + number * (LANE + GAP)) for span in lane]
    at += len(lanes) * (LANE + GAP)
    dots = _dots(axis, track.points, at + POINTS / 2)
    height = max(at + (POINTS if dots else 0) - y, LANE) + PADDING
    return Row(name, track.name if name != track.name else "", y, height, tuple(boxes), dots)


def _lanes(axis: _Axis, spans: Iterable[Span]) -> list[list[Span]]:
    """Put spans that overlap below each other, in as few lanes as possible.

    Those that follow each other stay in one lane, although the shortest are drawn wider than they are.
    """
    lanes: list[list[Span]] = []
    ends: list[float] = []
    for span in sorted(spans, key=lambda each: (each.begin_s, each.end_s)):
        x, end = axis.x(span.begin_s), axis.x(max(span.end_s, span.begin_s))
        free = next((number for number, taken in enumerate(ends) if taken <= x + SLACK), None)
        if free is None:
            lanes.append([span])
            ends.append(end)
        else:
            lanes[free].append(span)
            ends[free] = end
    return lanes


def _box(axis: _Axis, span: Span, y: float) -> Box:
    begin, end = axis.x(span.begin_s), axis.x(max(span.end_s, span.begin_s))
    width = round(max(end - begin, THINNEST), 2)
    fits = len(span.label) * LETTER + 6 <= width
    return Box(min(begin, RIGHT - width), y, width, span.label if fits else "", span.tone, span.hint or span.label)


def _dots(axis: _Axis, points: Iterable[Point], y: float) -> tuple[Dot, ...]:
    """Return the points; those of the same tone that would cover each other are one, and its hint has the labels of the first five."""
    found: dict[tuple[int, Tone], list[Point]] = {}
    for each in sorted(points, key=lambda each: each.at_s):
        found.setdefault((int(axis.x(each.at_s) // 4), each.tone), []).append(each)
    return tuple(Dot(axis.x(those[0].at_s), y, tone, _together(those)) for (_, tone), those in found.items())


def _together(points: Sequence[Point], most: int = 5) -> str:
    left = len(points) - most
    return "\n".join([*(each.label for each in points[:most]), *([f"and {left} more"] if left > 0 else [])])


def _marks(axis: _Axis, points: Iterable[Point]) -> tuple[tuple[Mark, ...], int]:
    """Return the marks, and how many lines their labels take: those that would run into each other stand below each other."""
    marks: list[Mark] = []
    ends: list[float] = []
    for each in sorted(points, key=lambda each: each.at_s):
        x, width = axis.x(each.at_s), len(each.label) * LETTER + 8
        left = x + width > WIDTH
        begin = x - width if left else x
        line = next((number for number, taken in enumerate(ends) if taken <= begin), len(ends))
        ends[line : line + 1] = [max(x, begin + width)]
        marks.append(Mark(x, PADDING + line * LINE + LINE - 4, each.label, each.tone, left))
    return tuple(marks), len(ends)
