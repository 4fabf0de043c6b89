"""A schedule on a host: could a run work there, what runs it, and how to make it so."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime

from runbooks.commands import files
from runbooks.commands.base import Answer, Command, Probe, batch, script
from runbooks.commands.files import Found

NO_CHECKOUT = 66  # schedule-look.sh, schedule-status.sh
ANY_EXIT = range(125)


@dataclass(frozen=True, slots=True, kw_only=True)
class Daemons:
    """What runs schedules on a host. ``timer``: whether systemd runs it and will after a reboot; None where there is no systemd."""

    now: datetime
    cron: bool
    timer: bool | None
    checked: int | None = None
    said: str = ""


@dataclass(frozen=True, slots=True)
class HostSchedule:
    """Which of our files are on a host, and what runs them."""

    files: dict[str, Found]
    daemons: Daemons


def look(unit: str, paths: Iterable[str], checkout: str = "", site_file: str = "") -> Probe[HostSchedule]:
    """See everything about a schedule; with ``checkout``, also whether a run would find there what it needs."""
    variables = {"UNIT": unit, "CHECKOUT": checkout, "SITE_FILE": site_file}
    here = Probe(script("schedule-look", variables), parse_daemons)
    both = batch(files.found(paths), here)
    return Probe(both.command, lambda answer: HostSchedule(*both.parse(answer)))


def parse_daemons(answer: Answer) -> Daemons:
    """Read lines "name value", and after "checked" whatever the check said. Raises ValueError when they make no sense."""
    text, checked, said = answer.stdout.partition("\nchecked ")
    facts = {name: value for name, _, value in (line.partition(" ") for line in text.splitlines())}
    if missing := {"now", "cron"} - facts.keys():
        raise ValueError(f"schedule-look did not say {' and '.join(sorted(missing))}")
    timer = (facts["enabled"], facts["active"], facts["stale"]) == ("enabled", "active", "no") if "active" in facts else None
    code, _, words = said.partition("\n")
    return Daemons(
        now=datetime.fromisoformat(facts["now"]),
        cron=facts["cron"] == "alive",
        timer=timer,
        checked=int(code) if checked else None,
        said=words.strip(),
    )


def run_timer(unit: str) -> Command:
    """Let systemd run the timer as it lies there, from now on and after every boot."""
    return script("schedule-timer", {"UNIT": unit})


def remove(unit: str, paths: Iterable[str]) -> Command:
    """Take files away; the timer, if there is a name, ends first."""
    return script("schedule-remove", {"UNIT": unit, "PATHS": paths})


def status(checkout: str, site_file: str, *, as_json: bool) -> Probe[Answer]:
    """`inv backup.status` of the checkout on the host, whatever it says."""
    variables = {"CHECKOUT": checkout, "SITE_FILE": site_file, "WORDS": ["--json"] if as_json else []}
    command = replace(script("schedule-status", variables), shown=f"inv backup.status in {checkout}")
    return Probe(command.expecting(*ANY_EXIT), lambda answer: answer)
