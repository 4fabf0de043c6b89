"""A drill as a report with its timeline."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from typing import Final

from runbooks.drill.rules.facts import Facts, Sample
from runbooks.drill.rules.scenarios import named
from runbooks.drill.rules.verdict import Judgement, overall
from runbooks.measure.rules.gaps import Gap
from runbooks.measure.rules.result import Result
from runbooks.measure.rules.words import at, gap_text
from runbooks.report.model import Cell, Page, Picture, Point, Section, Span, Table, Text, Tone, Track
from runbooks.text import listed

TONES: Final[dict[str, Tone]] = {"held": "ok", "violated": "bad", "could not tell": "warn"}
KINDS: Final[tuple[Tone, ...]] = ("one", "two", "three")
LEGEND: Final = (
    ("changed", "the fault"),
    ("bad", "not served"),
    ("warn", "not Ready, not used, or an alert that fires"),
    ("one", "who holds the VIP or leads etcd; another colour: another one"),
)
NOT_MEASURED: Final = "Clients inside the cluster, and HTTP/2. Clients are measured from this machine; a cut between it and the VIP looks like an outage."


def page(found: Sequence[Judgement], facts: Facts, result: Result | None, foot: str) -> Page:
    """Return the report of a drill."""
    scenario, word = named(facts.scenario, lab=facts.lab), overall(found)
    sections = [objectives(found), _course(facts)]
    if result:
        sections.append(_method(result))
    sections.append(Section(title="Not tested", blocks=(Text(text=f"{scenario.not_tested}.\n{NOT_MEASURED}"),)))
    return Page(
        title=f"inv {scenario.key}: {facts.host}",
        verdict=word,
        tone=TONES[word],
        summary=f"{scenario.breaks[0].upper()}{scenario.breaks[1:]}. Expected: {scenario.expected}.",
        facts=tuple(_facts(facts, result)),
        picture=picture(facts, result),
        sections=tuple(sections),
        foot=foot,
    )


def objectives(found: Sequence[Judgement]) -> Section:
    """Return the table of the objectives."""
    rows = tuple(
        (
            Cell(text=each.objective),
            Cell(text=each.word, tone=TONES[each.word]),
            Cell(text=each.wanted),
            Cell(text=each.seen),
            Cell(text=each.margin),
            Cell(text=each.fix),
        )
        for each in found
    )
    return Section(
        title="Objectives", blocks=(Table(header=("objective", "verdict", "wanted", "seen", "margin", "next"), rows=rows),)
    )


def _facts(facts: Facts, result: Result | None) -> Iterator[tuple[str, str]]:
    yield "host", facts.host
    for name, moment in (("injected", facts.injected_s), ("healed", facts.healed_s), ("recovered", facts.recovered_s)):
        yield name, f"{at(moment)} UTC" if moment else "not seen"
    if result and (said := [f"{name} {version}" for name, version in result.versions.items() if version]):
        yield "versions", listed(said)


def _course(facts: Facts) -> Section:
    lines = [f"{at(each.at_s)}  {_told(each)}" for each in _turns(facts.samples)]
    return Section(title="What the hosts said", blocks=(Text(text="\n".join(lines) or "nothing was read", kind="code"),))


def _turns(samples: Sequence[Sample]) -> Iterator[Sample]:
    """Yield the samples that say something else than the one before."""
    last = ""
    for each in samples:
        if (said := _told(each)) != last:
            yield each
        last = said


def _told(one: Sample) -> str:
    there = {True: "fault there", False: "no fault", None: "fault: not known"}[one.there]
    holders = "?" if one.holders is None else listed(one.holders) or "nobody"
    not_ready = "?" if one.not_ready is None else listed(one.not_ready) or "none"
    down = "; ".join(f"{host} does not use {listed(names)}" for host, names in one.down.items() if names)
    words = [there, f"VIP on {holders}", f"etcd's leader {one.leader or '?'} (term {one.term})", f"not Ready: {not_ready}"]
    return "; ".join([*words, *([down] if down else []), *([f"alerts: {listed(one.alerts)}"] if one.alerts else [])])


def _method(result: Result) -> Section:
    data = result.data
    writes = f"{data.acknowledged:,} writes acknowledged, {data.refused:,} refused, {data.unknown:,} without an answer; {data.reads:,} reads."
    own = f"The measuring process itself did not run for at most {result.itself.longest_pause_ms:.0f} ms."
    return Section(title="How it was measured", blocks=(Text(text=f"{result.method}\n{writes} {own}"),))


# ---- the picture


def picture(facts: Facts, result: Result | None) -> Picture:
    """Return the timeline: the fault, who held the VIP and led etcd, what was not Ready or not used, and when clients were not served."""
    times = [each.at_s for each in facts.samples]
    moments = (facts.injecting_s, facts.injected_s, facts.healing_s, facts.healed_s, facts.unwell_s, facts.recovered_s)
    times += [each for each in moments if each]
    times += [result.began_s, result.ended_s] if result else []
    begin, end = (min(times), max(times)) if times else (0.0, 1.0)
    marks = [
        Point(at_s=moment, label=label, tone=tone)
        for moment, label, tone in _marks(facts)
        if moment  # what did not happen has no mark
    ]
    tracks = [each for each in _tracks(facts, result, end) if each.spans or each.points]
    used = {span.tone for each in tracks for span in each.spans}
    legend = tuple((tone, words) for tone, words in LEGEND if tone in used)
    return Picture(begin_s=begin, end_s=max(end, begin + 1), tracks=tuple(tracks), marks=tuple(marks), legend=legend)


def _marks(facts: Facts) -> tuple[tuple[float | None, str, Tone], ...]:
    return (
        (facts.injected_s, "injected", "changed"),
        (facts.healing_s, "healing", "changed"),
        (facts.recovered_s, "recovered", "ok"),
    )


def _tracks(facts: Facts, result: Result | None, end_s: float) -> Iterator[Track]:
    if facts.injecting_s:
        until = facts.healed_s or end_s
        yield Track(name=facts.host, spans=(Span(begin_s=facts.injecting_s, end_s=until, label="fault", tone="changed"),))
    said = [(each.at_s, listed(each.holders) or "nobody" if each.holders is not None else "") for each in facts.samples]
    yield Track(name="VIP", spans=tuple(_who(said, end_s)))
    yield Track(name="etcd's leader", spans=tuple(_who([(each.at_s, each.leader) for each in facts.samples], end_s)))
    for name, of in (("not Ready", "not_ready"), ("alerts", "alerts")):
        lists = [(each.at_s, listed(getattr(each, of) or ())) for each in facts.samples]
        yield Track(name=name, spans=tuple(_during(lists, end_s)))
    for balancer in dict.fromkeys(host for each in facts.samples for host in each.down):
        lists = [(each.at_s, listed(each.down.get(balancer, ()))) for each in facts.samples]
        yield Track(name=f"{balancer} does not use", spans=tuple(_during(lists, end_s)))
    if result:
        for name, gaps in (
            ("new connections", result.vip.gaps),
            ("reused connection", result.reused.silences),
            ("watch", result.watch.silences),
            *((f"API of {host}", each.gaps) for host, each in result.servers.items()),
        ):
            yield Track(name=name, spans=tuple(map(_gap, gaps)))


def _stretches(said: Sequence[tuple[float, str]], end_s: float) -> Iterator[tuple[float, float, str]]:
    """Yield from when to when something was said: from one sample until one says something else."""
    begin: float | None = None
    for (at_s, text), (next_s, following) in pairwise([*said, (end_s, "")]):
        begin = at_s if begin is None else begin
        if following != text or next_s == end_s:
            yield begin, next_s, text
            begin = None


def _who(said: Sequence[tuple[float, str]], end_s: float) -> Iterator[Span]:
    """Yield who it was when, each in a colour of its own; "" is nobody known."""
    names = list(dict.fromkeys(text for _, text in said if text))
    for begin, end, text in _stretches(said, end_s):
        if text:
            yield Span(begin_s=begin, end_s=end, label=text, tone=KINDS[names.index(text) % len(KINDS)])


def _during(said: Iterable[tuple[float, str]], end_s: float) -> Iterator[Span]:
    for begin, end, text in _stretches(list(said), end_s):
        if text:
            yield Span(begin_s=begin, end_s=end, label=text, tone="warn")


def _gap(gap: Gap) -> Span:
    return Span(begin_s=gap.begin_s, end_s=gap.end_s, label=f"{gap.ms:.0f} ms", tone="bad", hint=f"not served: {gap_text(gap)}")
