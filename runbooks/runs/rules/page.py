"""A run as a report with its timeline."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from runbooks.engine.history import AT_WORK, HERE, NOT_ENDED, RUNNING, SKIPPED, Line, RunRecord, StepRecord
from runbooks.measure.rules import steps as measured
from runbooks.measure.rules.gaps import Gap
from runbooks.measure.rules.result import Result
from runbooks.measure.rules.words import gap_text
from runbooks.report.model import Cell, Page, Picture, Point, Section, Span, Table, Text, Tone, Track
from runbooks.runs.rules.words import after, at, told, who
from runbooks.text import age_text, first_few

EVERYWHERE: Final = "all hosts"  # the track of steps that belong to no single host
VERDICTS: Final[dict[str, Tone]] = {"ok": "ok", "failed": "bad", "interrupted": "warn", NOT_ENDED: "warn", RUNNING: "one"}
TONES: Final[dict[str, Tone]] = {"changed": "changed", "failed": "bad", AT_WORK: "warn"}  # every other outcome is "ok"
LEGEND: Final[dict[Tone, str]] = {
    "changed": "changed something (a triangle: a single command)",
    "ok": "nothing to do, or a check that held",
    "bad": "failed, or clients not served",
    "warn": "has no end",
}
HINT_LETTERS: Final = 200


def page(run: RunRecord, hosts: Sequence[str], clients: Result | None = None, foot: str = "") -> Page:
    """Return the report of ``run``. ``hosts``: the site's, in their order. ``clients``: what was measured in the run."""
    return Page(
        title=run.command,
        verdict=run.outcome,
        tone=VERDICTS[run.outcome],
        summary=run.title,
        facts=tuple(_facts(run)),
        picture=picture(run, hosts, clients),
        sections=(_steps(run, hosts), *_changes(run, hosts), *(_clients(run, clients) if clients else ())),
        foot=foot,
    )


def _facts(run: RunRecord) -> Iterator[tuple[str, str]]:
    yield "run", run.run
    yield "began", f"{at(run.begun)} UTC"
    yield "took", age_text(run.seconds) + (", up to the last line of its report" if run.outcome in {NOT_ENDED, RUNNING} else "")
    if by := who(run):
        yield "who", by + (f", pid {run.pid}" if run.pid else "")
    yield "steps", f"{sum(each.outcome != AT_WORK for each in run.steps)} of {len(run.planned)}, {run.changed} changed something"
    if run.error:
        yield "error", run.error


# ---- the picture


def picture(run: RunRecord, hosts: Sequence[str], clients: Result | None = None) -> Picture:
    """Return the timeline of ``run``: its steps on the tracks of their hosts, single changes as points, and when clients were not served."""
    begin_s = run.begun.timestamp()
    names = _names(run, hosts)
    spans: dict[str, list[Span]] = {name: [] for name in names}
    points: dict[str, list[Point]] = {name: [] for name in names}
    for step in run.steps:
        if step.begun:
            spans[_host(step, names) or EVERYWHERE].append(_span(run, step, names))
        for line in step.lines:
            if line.kind == "change":
                label = f"{after(run, line.at)} {line.text}"[:HINT_LETTERS]
                points[line.host].append(Point(at_s=line.at.timestamp(), label=label, tone="changed"))
    tracks = [Track(name=name, spans=tuple(spans[name]), points=tuple(points[name])) for name in names]
    tracks = [each for each in tracks if each.spans or each.points] + list(_client_tracks(clients))
    used = {span.tone for each in tracks for span in each.spans} | {point.tone for each in tracks for point in each.points}
    legend = tuple((tone, words) for tone, words in LEGEND.items() if tone in used)
    return Picture(begin_s=begin_s, end_s=run.ended.timestamp(), tracks=tuple(tracks), legend=legend)


def _names(run: RunRecord, hosts: Sequence[str]) -> list[str]:
    """Return the names of the tracks. Also hosts that are no longer in hosts.yaml have one, when something was changed there."""
    seen = [line.host for step in run.steps for line in step.lines if line.host != HERE]
    return list(dict.fromkeys((EVERYWHERE, *hosts, *seen, HERE)))


def _host(step: StepRecord, names: Iterable[str]) -> str:
    """Return the host whose step it is: its title begins with the name; "" when it is nobody's."""
    host, colon, _ = step.title.partition(": ")
    return host if colon and host in set(names) else ""


def _span(run: RunRecord, step: StepRecord, names: Iterable[str]) -> Span:
    assert step.begun  # noqa: S101 - for the type checker
    begin_s, host = step.begun.timestamp(), _host(step, names)
    hint = f"{run.number.get(step.title, 0)}/{len(run.planned)} {step.title}: {step.outcome}, {step.seconds:.1f} s, at {after(run, step.begun)}"
    return Span(
        begin_s=begin_s,
        end_s=begin_s + step.seconds,
        label=step.title.removeprefix(f"{host}: "),
        tone=TONES.get(step.outcome, "ok"),
        hint=hint,
    )


def _client_tracks(clients: Result | None) -> Iterator[Track]:
    if clients:
        kinds = (
            ("new connections", clients.vip.gaps),
            ("reused connection", clients.reused.silences),
            ("watch", clients.watch.silences),
        )
        for what, gaps in kinds:
            if gaps:
                yield Track(name=what, spans=tuple(map(_gap, gaps)))


def _gap(gap: Gap) -> Span:
    return Span(begin_s=gap.begin_s, end_s=gap.end_s, label=f"{gap.ms:.0f} ms", tone="bad", hint=f"not served: {gap_text(gap)}")


# ---- tables and texts


def _steps(run: RunRecord, hosts: Sequence[str]) -> Section:
    rows = []
    for step in run.steps:
        number = run.number.get(step.title, 0)
        lasted = step.begun and step.outcome != SKIPPED
        rows.append(
            (
                Cell(text=str(number)),
                Cell(text=step.title, to=_anchor(number) if step.lines else ""),
                Cell(text=step.outcome, tone=TONES.get(step.outcome, "ok")),
                Cell(text=after(run, step.begun) if step.begun else ""),
                Cell(text=f"{step.seconds:.1f} s" if lasted else ""),
            )
        )
    blocks: list[Table | Text] = [Table(header=("", "step", "outcome", "began", "took"), rows=tuple(rows))]
    there = {each.title for each in run.steps}
    if left := [title for title in run.planned if title not in there]:
        blocks.append(Text(title="Not reached", text="\n".join(first_few(left, 50))))
    return Section(title="Steps", blocks=tuple(blocks))


def _anchor(number: int) -> str:
    return f"step-{number}"


def _changes(run: RunRecord, hosts: Sequence[str]) -> Iterator[Section]:
    """Yield what was changed and found, host by host. The first text of a step is what the table of the steps links to."""
    linked: set[str] = set()
    for host in _names(run, hosts)[1:]:
        blocks: list[Text] = []
        for step in run.steps:
            if own := [line for line in step.lines if line.host == host]:
                anchor = "" if step.title in linked else _anchor(run.number.get(step.title, 0))
                linked.add(step.title)
                blocks += _texts(own, f"{step.title}  [{step.outcome}]", anchor)
        if blocks:
            title = (
                "What was changed and found on the operator's machine"
                if host == HERE
                else f"What was changed and found on {host}"
            )
            yield Section(title=title, blocks=tuple(blocks))
    if run.loose:
        blocks = [Text(text=told(line), kind="diff" if line.kind == "diff" else "code") for line in run.loose]
        yield Section(title="What the report assigns to no step", blocks=tuple(blocks))


def _texts(lines: Sequence[Line], title: str, anchor: str) -> Iterator[Text]:
    for number, line in enumerate(lines):
        kind: dict[str, str] = {"change": "code", "diff": "diff", "note": "words"}
        heading = {"title": title, "anchor": anchor} if number == 0 else {}
        yield Text(text=line.text, kind=kind[line.kind], **heading)  # type: ignore[arg-type]


def _clients(run: RunRecord, clients: Result) -> Iterator[Section]:
    rows = [
        ("new connections", f"{clients.vip.requests}", f"{clients.vip.failed}", f"{clients.vip.longest_gap_ms:.0f} ms"),
        (
            "reused connection",
            f"{clients.reused.requests}",
            f"{clients.reused.failed}",
            f"{clients.reused.longest_silence_ms:.0f} ms",
        ),
        ("watch", f"{clients.watch.events} events", "", f"{clients.watch.longest_silence_ms:.0f} ms"),
    ]
    table = Table(
        header=("through the VIP", "requests", "failed", "longest gap"),
        rows=tuple(tuple(Cell(text=text) for text in row) for row in rows),
    )
    spans = [
        measured.Span(title=step.title, begin_s=step.begun.timestamp(), end_s=step.begun.timestamp() + step.seconds)
        for step in run.steps
        if step.begun
    ]
    gaps = [str(each) for each in measured.longest(clients, sorted(spans, key=lambda each: each.begin_s))]
    blocks: list[Table | Text] = [table]
    if gaps:
        blocks.append(Text(title="The longest gaps", text="\n".join(gaps), kind="code"))
    data = clients.data
    writes = f"{data.acknowledged} writes acknowledged, {len(data.lost)} of them lost, {data.unknown} without an answer"
    blocks.append(Text(text=f"{writes}; {data.stale_reads} reads were old.\n{clients.method}"))
    yield Section(title="What clients of the VIP saw", blocks=tuple(blocks))
