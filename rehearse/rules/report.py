"""A rehearsal as text, and as a page. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from rehearse.rules.outcome import Outcome
from runbooks.measure.rules.result import Result
from runbooks.report.model import Cell, Page, Section, Table, Text, Tone
from runbooks.rules.finding import Finding, shown
from runbooks.runs.rules.page import picture
from runbooks.text import age_text, counted, table

FIVE: Final = 5
STEPS: Final = ("step", "outcome", "twin", "forecast", "from")
SILENT: Final = "not known: no API server of the twin answered before it, or none after it"
WITHOUT_PODS: Final = "the drains of the real workloads, computed from the set"

SETTINGS: Final = "settings of the real hosts, from the set, that the target no longer takes"


def lines(found: Outcome) -> Iterator[str]:
    """Yield the report, line by line."""
    yield f"rehearsal of {found.command} on {found.site}: {found.verdict}"
    yield table(("", ""), facts(found)).lstrip("\n")
    if found.error:
        yield f"\nit said: {found.error}"
    if found.steps:
        rows = [(each.title, each.outcome, seconds(each.twin_s), seconds(each.real_s), each.basis) for each in found.steps]
        yield f"\n{table(STEPS, rows)}"
    for title, texts in sections(found):
        yield f"\n{title}:"
        yield from (f"  {text}" for text in texts)


def facts(found: Outcome) -> list[tuple[str, str]]:
    """Return what stands at the head of the report, names and values."""
    rows = [("verdict", found.verdict + (f"; exit status {found.exit_status}" if found.exit_status else ""))]
    if found.stopped:
        rows.append(("stops", found.stopped))
    rows += [("set", f"{found.origin}, {found.made} old"), ("versions", found.versions)]
    rows += [("broken before", each) for each in found.fault]
    if found.steps:
        rows += [
            ("took here", age_text(found.took_s)),
            ("forecast", f"{age_text(found.real_s)} on the real site ({found.basis}){_without(found)}"),
        ]
    if found.kept:
        rows.append(("kept", found.kept))
    return rows


def _without(found: Outcome) -> str:
    """Return what the forecast does not have."""
    rows = [f"its backup, {age_text(found.beside_s)} here"] if found.beside_s else []
    rows += [f"the steps of {counted(found.untimed, 'node')} that have no twin"] if found.untimed else []
    return "; without " + ", and without ".join(rows) if rows else ""


def sections(found: Outcome) -> Iterator[tuple[str, Sequence[str]]]:
    """Yield the titles and lines of all sections that have any."""
    yield "what clients of the VIP saw", clients(found.clients) if found.clients else [f"not measured: {found.unmeasured}"]
    if found.drains:
        yield WITHOUT_PODS, shown(found.drains).splitlines()
    if found.settings:
        yield SETTINGS, shown(found.settings).splitlines()
    yield "the API after it", found.broken or [SILENT if found.silent else "all that the set's objects use is still served"]
    if found.hooks:
        yield "webhooks that refuse writes, as nobody answered for them when the set was made", found.hooks
    if found.warnings:
        yield "components warn of their flags", found.warnings
    if found.changed:
        yield "not as on the real site", found.changed
    yield "what this cannot show", found.limits


def clients(seen: Result) -> list[str]:
    """Return what clients saw, in figures."""
    vip, reused, data = seen.vip, seen.reused, seen.data
    return [
        f"new connections: {vip.failed} of {vip.requests} failed, {vip.failed_after_retry} also after one retry, longest gap {vip.longest_gap_ms / 1000:.1f} s",
        f"one connection used again: {reused.failed} of {reused.requests} failed, cut {reused.cut} times, longest silence {reused.longest_silence_ms / 1000:.1f} s",
        f"{data.acknowledged} writes acknowledged, {len(data.lost)} of them lost; {data.stale_reads} reads were old",
    ]


def seconds(value: float) -> str:
    """Return seconds for a table.

    >>> seconds(3.14159), seconds(75)
    ('3.1 s', '75.0 s')
    """
    return f"{value:.1f} s"


# ---- the page


def page(found: Outcome, hosts: Sequence[str], foot: str) -> Page:
    """Return the report as a page with the timeline of the longest run. ``hosts``: the site's, in their order."""
    longest = max(found.runs, key=lambda run: run.seconds, default=None)
    return Page(
        title=f"Rehearsal: {found.command}",
        verdict=found.verdict,
        tone=tone(found),
        summary="Carried out on a twin of the site in the lab, which was made from a backup set.",
        facts=tuple(facts(found)),
        picture=picture(longest, hosts, found.clients) if longest else None,
        sections=(*_steps(found), *_rest(found)),
        foot=foot,
    )


def tone(found: Outcome) -> Tone:
    """Return the colour of the verdict."""
    return "warn" if found.exited == FIVE else "bad" if found.exit_status else "ok"


def _steps(found: Outcome) -> Iterator[Section]:
    if found.error:
        yield Section(title="What it said", blocks=(Text(text=found.error, kind="code"),))
    if found.steps:
        rows = tuple(
            tuple(Cell(text=text) for text in (each.title, each.outcome, seconds(each.twin_s), seconds(each.real_s), each.basis))
            for each in found.steps
        )
        yield Section(title="Steps", blocks=(Table(header=STEPS, rows=rows),))


def _rest(found: Outcome) -> Iterator[Section]:
    tables = {WITHOUT_PODS: found.drains, SETTINGS: found.settings}
    for title, texts in sections(found):
        block = _table(tables[title]) if title in tables else Text(text="\n".join(texts))
        yield Section(title=title[0].upper() + title[1:], blocks=(block,))


def _table(found: Sequence[Finding]) -> Table:
    rows = tuple(tuple(Cell(text=text) for text in (each.severity, each.host, each.seen, each.why, each.fix)) for each in found)
    return Table(header=("", "node", "seen", "why", "fix"), rows=rows)
