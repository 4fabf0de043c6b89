"""What the commands of drills print, and the page of a drill."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from runbooks.commands.drill import Standing
from runbooks.drill.course import Course
from runbooks.drill.kept import PAGE, Kept, runs
from runbooks.drill.observe import standings
from runbooks.drill.rules.page import page
from runbooks.drill.rules.scenarios import named, scenarios
from runbooks.errors import InventoryError, RunbookError, reason
from runbooks.inventory.model import Site
from runbooks.local import files
from runbooks.measure.rules.result import Result
from runbooks.report.page import html
from runbooks.text import indented, table

if TYPE_CHECKING:
    from runbooks.engine.session import Session

HEADER = ("objective", "verdict", "wanted", "seen", "margin")


def objectives(session: Session, course: Course) -> None:
    """Say before anything is touched what is broken, what is expected, what is demanded, and who undoes it."""
    scenario, host = course.scenario, course.host
    if session.options.json:
        _print({"event": "objectives", "scenario": scenario.name, "host": host.name, "objectives": dict(course.objectives())})
        return
    lines = [f"{name}: {text}" for name, text in course.objectives().items()]
    say = session.run.listener.say
    say(f"{scenario.key} on {host}: {scenario.breaks}, for {course.hold_s} s")
    say(f"expected: {scenario.expected}\nobjectives:{indented(lines)}")
    say(f"{host} undoes it by itself after {course.timer_s} s, whatever becomes of this command; Ctrl-C undoes it at once")


def result(session: Session, kept: Kept) -> None:
    """Print what a drill has shown."""
    if session.options.json:
        _print({"event": "drill", "verdict": kept.word, "result": msgspec.to_builtins(kept)})
        return
    rows = [(each.objective, each.word, each.wanted, each.seen, each.margin) for each in kept.judgements]
    fixes = [f"-> {each.objective}: {each.fix}" for each in kept.judgements if each.fix and each.word != "held"]
    say = session.run.listener.say
    say("\n".join([table(HEADER, rows), *fixes, f"not tested: {named(kept.facts.scenario, lab=kept.facts.lab).not_tested}"]))
    say(f"{kept.facts.scenario} on {kept.facts.host}: {kept.word}; page: {session.state / 'runs' / (kept.run + PAGE)}")


def overview(session: Session, done: Sequence[Kept], untold: Mapping[str, str]) -> None:
    """Print one line for each drill of the whole set; ``untold`` were left out, and why."""
    if session.options.json:
        for name, why in untold.items():
            _print({"event": "left out", "drill": name, "verdict": "could not tell", "why": why})
    else:
        rows: list[tuple[str, str, str]] = [(each.facts.scenario, each.facts.host, each.word) for each in done]
        rows += [(name, "-", "could not tell: left out") for name in untold]
        session.run.listener.say("\n" + table(("drill", "host", "verdict"), rows))


def write_page(directory: Path, kept: Kept, measured: Result | None) -> None:
    """Write the page of a drill beside its report, mode 0600. Raises DiskError."""
    foot = f"Written by `inv {named(kept.facts.scenario, lab=kept.facts.lab).key}` at {datetime.now(UTC):%Y-%m-%d %H:%M:%S} UTC; run {kept.run}."
    text = html(page(kept.judgements, kept.facts, measured, foot))
    files.replace(directory / f"{kept.run}{PAGE}", text.encode())


def listing(session: Session) -> None:
    """Print every drill, the objectives, and when each was done last; ask no host."""
    last: dict[str, Kept] = {}
    for _, kept in runs(session.state / "runs"):
        if kept:
            last.setdefault(kept.facts.scenario, kept)
    if session.options.json:
        for each in scenarios(session.site):
            found = last.get(each.name)
            _print({"drill": each.name, "breaks": each.breaks, "expected": each.expected, "last": found.word if found else None})
        return
    rows = [
        (f"inv {each.key}", each.breaks, f"{kept.word}, {kept.run[:8]}" if (kept := last.get(each.name)) else "never")
        for each in scenarios(session.site)
    ]
    print(table(("drill", "what is broken", "last"), rows))
    print(f"\nobjectives (hosts.yaml, drills):{indented(_objectives(session.site))}")


def _objectives(site: Site) -> list[str]:
    limits = site.drills
    alert = f"{limits.alert_s} s" if limits.alert_s is not None else "not judged"
    return [
        f"outage: {limits.outage_ms} ms for new connections, {limits.reused_ms} ms for a reused one",
        f"recovery: {limits.recovery_s} s after the heal; alert: {alert}; the fault lasts {limits.hold_s} s",
    ]


def at_work(session: Session) -> None:
    """Print which drills are at work on the hosts now. Raises nothing for a host that does not answer: it is a line."""
    rows = []
    for host, said in standings(session.run).items():
        if isinstance(said, RunbookError):
            rows.append((host.name, f"not known: {reason(host, said)}"))
        elif said.armed:
            rows.append((host.name, _standing(said)))
    if session.options.json:
        _print({"at_work": [{"host": host, "drill": text} for host, text in rows]})
    else:
        print(table(("host", "drill at work"), rows) if rows else "no drill is at work on any host")


def _standing(said: Standing) -> str:
    there = {True: "its fault is there", False: "its fault is not there (any more)", None: "its fault could not be looked for"}
    return f"{said.scenario}: {there[said.there]}; inv drill.heal ends it"


def history(session: Session, last: int) -> None:
    """Print the newest ``last`` drills with the figures that show a trend. Raises InventoryError for a negative number."""
    if last < 0:
        raise InventoryError("--last: the number of drills cannot be negative", hint="inv drill.history --last 20")
    found = list(runs(session.state / "runs"))[: last or None]
    if session.options.json:
        for run, kept in found:
            _print({"run": run.run, "drill": run.procedure, "outcome": run.outcome, "result": msgspec.to_builtins(kept)})
        return
    rows = [
        (
            run.run,
            run.procedure,
            kept.facts.host if kept else "",
            kept.word if kept else f"no verdict: {run.outcome}",
            *(_figure(kept, name) for name in ("outage, new connections", "outage, reused connection", "recovery", "alert")),
        )
        for run, kept in found
    ]
    print(table(("run", "drill", "host", "verdict", "new", "reused", "recovery", "alert"), rows) if rows else "no drills yet")


def _figure(kept: Kept | None, objective: str) -> str:
    """Return what was seen, in short, with a mark where it was violated or not known."""
    found = next((each for each in kept.judgements if each.objective == objective), None) if kept else None
    if not found:
        return "-"
    if found.word == "could not tell":
        return "?"
    seen = found.seen.removeprefix("longest gap ").removeprefix("after ").rpartition(" after ")[2]
    return f"{seen} !" if found.word == "violated" else seen


def _print(said: dict[str, Any]) -> None:
    print(json.dumps(said), flush=True)
