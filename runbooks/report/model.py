"""What a report consists of. The caller decides what is said; `report.page` decides how it looks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal, TypeAlias

# What a colour means. "one" to "three" tell things apart that are neither good nor bad, such as who holds the VIP. In print and for those
# who cannot tell colours apart, "bad" is hatched, "warn" is dotted, and every tone has its words in the legend.
Tone: TypeAlias = Literal["ok", "changed", "warn", "bad", "idle", "one", "two", "three"]
TONES: tuple[Tone, ...] = ("ok", "changed", "warn", "bad", "idle", "one", "two", "three")


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """Something that lasted. Times are in seconds since 1970.

    label  stands in the picture where there is room. ``hint``: what a mouse pointer on it shows; by default the label.
    """

    begin_s: float
    end_s: float
    label: str
    tone: Tone = "idle"
    hint: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """Something that happened at one moment, in seconds since 1970."""

    at_s: float
    label: str
    tone: Tone = "idle"


@dataclass(frozen=True, slots=True, kw_only=True)
class Track:
    """One line of the picture, such as a host. Spans that overlap are drawn below each other; points are below the spans."""

    name: str
    spans: tuple[Span, ...] = ()
    points: tuple[Point, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """A timeline.

    tracks  from top to bottom.
    marks   moments that concern all tracks, as where something was injected: vertical lines with their labels.
    legend  the tones that are used, with what they mean here.
    """

    begin_s: float
    end_s: float
    tracks: tuple[Track, ...]
    marks: tuple[Point, ...] = ()
    legend: tuple[tuple[Tone, str], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """A cell of a table. ``tone`` colours it; ``to`` is the ``anchor`` of a `Text` or `Section` that it links to."""

    text: str
    tone: Tone | Literal[""] = ""
    to: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """A table."""

    header: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    kind: ClassVar[str] = "table"


@dataclass(frozen=True, slots=True, kw_only=True)
class Text:
    """A text below a heading.

    kind  "words" for sentences, "code" for what a terminal would show, "diff" for a unified diff.
    """

    text: str
    kind: Literal["words", "code", "diff"] = "words"
    title: str = ""
    anchor: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """A part of a report, with its heading."""

    title: str
    blocks: tuple[Table | Text, ...]
    anchor: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """A report.

    title    the heading. ``verdict``: the result in a word or two, in the colour of ``tone``.
    summary  a sentence below the heading, may be "". ``facts``: names and values.
    picture  the timeline, or None.
    foot     the last line: which command wrote the page, and when.
    """

    title: str
    verdict: str
    tone: Tone
    facts: tuple[tuple[str, str], ...]
    sections: tuple[Section, ...]
    picture: Picture | None = None
    summary: str = ""
    foot: str = ""
