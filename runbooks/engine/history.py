"""The history of runs: what the journals say of each run. A journal may have been cut off, edited, or written by an older version."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Annotated, Any, Final, Literal, TypeAlias

import msgspec

from runbooks.engine.journal import read

At: TypeAlias = Annotated[datetime, msgspec.Meta(tz=True)]
Kind: TypeAlias = Literal["change", "diff", "note"]
HERE: Final = "here"  # the host of what was changed on the operator's own machine
RUNNING, NOT_ENDED, AT_WORK = "running", "not ended", "at work"
OUTCOMES: Final = ("ok", "failed", "interrupted", NOT_ENDED, RUNNING)
SKIPPED: Final = "done before"
YEARS: Final = range(1970, 9999)  # other times, of a clock or a file gone wrong, cannot be reckoned with


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """What a step changed or found: a command (``change``), the ``diff`` of a file or a ``note``, secrets masked. ``host`` may be "here"."""

    at: datetime
    kind: Kind
    host: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class StepRecord:
    """One step of a run, as it was carried out.

    outcome  as the console shows it; "at work" for one that has no end. ``begun``: None for a step that an earlier run had finished.
    seconds  how long it took; up to the last line of the journal for one that has no end.
    """

    title: str
    outcome: str
    begun: datetime | None
    seconds: float
    lines: tuple[Line, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRecord:
    """One run.

    run        its id. ``procedure`` is the key, such as "lb.setup"; ``command`` has its flags too: "inv lb.setup".
    user, machine, pid, client   who ran it, where, as which process, and from which address that user was logged in there; "" and 0 for
               what is not known.
    begun, ended  of the journal's first and last line.
    outcome    one of ``OUTCOMES``: "running" while its process is at work, "not ended" when that was killed or lost its power.
    planned    the titles of all steps. ``steps``: those that were reached, in the order of ``planned``.
    loose      lines of which the journal does not say to which step they belong, as in those of older versions.
    """

    run: str
    procedure: str
    title: str
    command: str
    user: str = ""
    machine: str = ""
    pid: int = 0
    client: str = ""
    begun: datetime
    ended: datetime
    outcome: str
    error: str = ""
    planned: tuple[str, ...] = ()
    steps: tuple[StepRecord, ...] = ()
    loose: tuple[Line, ...] = ()

    @property
    def seconds(self) -> float:
        """How long it took; up to the journal's last line when it has no end."""
        return max((self.ended - self.begun).total_seconds(), 0)

    @property
    def changed(self) -> int:
        """How many steps changed something."""
        return sum(step.outcome == "changed" for step in self.steps)

    @property
    def detail(self) -> str:
        """The first line of its error, or how far it came."""
        far = f"{sum(step.outcome != AT_WORK for step in self.steps)} of {len(self.planned)} steps, {self.changed} changed"
        return next(iter(self.error.splitlines()), far)

    @property
    def number(self) -> dict[str, int]:
        """The numbers of the steps, by title, from 1."""
        return {title: number for number, title in enumerate(self.planned, start=1)}


# ---- the lines of a journal


class _Event(msgspec.Struct, frozen=True):
    at: At


class _Begin(_Event, tag_field="event", tag="begin", frozen=True):
    procedure: str
    title: str = ""
    command: str = ""
    user: str = ""
    machine: str = ""
    pid: int = 0
    client: str = ""
    steps: tuple[str, ...] = ()


class _Start(_Event, tag_field="event", tag="start", frozen=True):
    step: str


class _Change(_Event, tag_field="event", tag="change", frozen=True):
    host: str
    text: str
    step: str = ""


class _Diff(_Change, tag_field="event", tag="diff", frozen=True):
    pass


class _Note(_Change, tag_field="event", tag="note", frozen=True):
    pass


class _Step(_Event, tag_field="event", tag="step", frozen=True):
    step: str
    outcome: str
    seconds: Annotated[float, msgspec.Meta(ge=0, le=1e8)]


class _End(_Event, tag_field="event", tag="end", frozen=True):
    outcome: Literal["ok", "failed", "interrupted"]
    error: str = ""


_KINDS: Final[Mapping[type[_Change], Kind]] = {_Change: "change", _Diff: "diff", _Note: "note"}


@dataclass(slots=True)
class _Steps:
    """Puts what is in the journal together, step by step."""

    begun: dict[str, datetime] = field(default_factory=dict)
    ended: dict[str, _Step] = field(default_factory=dict)
    lines: dict[str, list[Line]] = field(default_factory=dict)
    loose: list[Line] = field(default_factory=list)

    def add(self, event: _Event) -> None:
        if isinstance(event, _Start):
            self.begun[event.step] = event.at
        elif isinstance(event, _Change):
            line = Line(at=event.at, kind=_KINDS[type(event)], host=event.host, text=event.text)
            (self.lines.setdefault(event.step, []) if event.step else self.loose).append(line)
        elif isinstance(event, _Step):
            self.ended[event.step] = event

    def records(self, planned: Sequence[str], last: datetime) -> Iterator[StepRecord]:
        """Yield the steps in their order; ``last`` is when the journal ends."""
        for title in dict.fromkeys((*planned, *self.begun, *self.ended)):
            lines, end = tuple(self.lines.get(title, ())), self.ended.get(title)
            if end and end.outcome == SKIPPED:
                yield StepRecord(title=title, outcome=SKIPPED, begun=None, seconds=0)
            elif end:
                since = self._begun(title, end)
                yield StepRecord(title=title, outcome=end.outcome, begun=since, seconds=end.seconds, lines=lines)
            elif begun := self.begun.get(title):
                seconds = max((last - begun).total_seconds(), 0)
                yield StepRecord(title=title, outcome=AT_WORK, begun=begun, seconds=seconds, lines=lines)

    def _begun(self, title: str, end: _Step) -> datetime:
        """When a step began: by its own line, or (older versions) its seconds before its end."""
        return self.begun.get(title) or end.at - timedelta(seconds=end.seconds)


def record(run: str, events: Iterable[Mapping[str, Any]], *, running: bool = False) -> RunRecord | None:
    """Return what a journal (`engine.journal.read`) says of the run ``run``, or None when it has no first line that can be understood.

    ``running``: its process is at work. Lines that cannot be understood are left out.
    """
    found = [event for each in events if (event := _understood(each))]
    if not found or not isinstance(begin := found[0], _Begin):
        return None
    steps = _Steps()
    for each in found:
        steps.add(each)
    end = next((each for each in reversed(found) if isinstance(each, _End)), None)
    ended = max(each.at for each in found)
    return RunRecord(
        run=run,
        procedure=begin.procedure,
        title=begin.title,
        command=begin.command or f"inv {begin.procedure}",
        user=begin.user,
        machine=begin.machine,
        pid=begin.pid,
        client=begin.client,
        begun=begin.at,
        ended=ended,
        outcome=end.outcome if end else RUNNING if running else NOT_ENDED,
        error=end.error if end else "",
        planned=begin.steps,
        steps=tuple(steps.records(begin.steps, ended)),
        loose=tuple(steps.loose),
    )


def _understood(event: Mapping[str, Any]) -> _Event | None:
    with suppress(msgspec.ValidationError):
        found: _Event = msgspec.convert(event, _Begin | _Start | _Change | _Diff | _Note | _Step | _End)
        return found if found.at.year in YEARS else None
    return None


# ---- the journals of a site


def newest(directory: Path, last: int = 0) -> Iterator[RunRecord]:
    """Yield the runs whose journals are in ``directory``, the newest first; with ``last`` no more than so many."""
    found = 0
    for path in sorted(directory.glob("*.jsonl"), reverse=True):
        if one := of(path):
            yield one
            found += 1
            if found == last:
                return


def of(path: Path) -> RunRecord | None:
    """Return the run of the journal ``path``, or None when it is no journal."""
    running = _at_work(path)  # before it is read: a run that ends meanwhile has its end in it
    return record(path.stem, read(path), running=running)


def _at_work(path: Path) -> bool:
    """Whether the process that writes the journal ``path`` is at work: it holds the file's lock until it ends, however it does."""
    try:
        handle = os.open(path, os.O_RDONLY)
    except OSError:
        return False
    try:
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:  # a file system without locks
        return False
    finally:
        os.close(handle)
    return False
