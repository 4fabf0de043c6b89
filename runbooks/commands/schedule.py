"""The commands for a schedule on a host: read it, check that a run would work, enable the timer, remove files, ask for the status."""

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
    """What runs schedules on a host.

    ``now`` is the host's local time with its zone. ``cron``: whether a cron daemon runs. ``timer``: whether the timer is active and
    enabled, None where systemd does not run. ``checked`` and ``said``: exit status and output of `scripts/ha-backup --check`, None
    and "" when it was not run.
    """

    now: datetime
    cron: bool
    timer: bool | None
    checked: int | None = None
    said: str = ""


@dataclass(frozen=True, slots=True)
class HostSchedule:
    """Our files on a host, by path, and what runs them."""

    files: dict[str, Found]
    daemons: Daemons


def look(unit: str, paths: Iterable[str], checkout: str = "", site_file: str = "") -> Probe[HostSchedule]:
    """Read the schedule on a host. With ``checkout`` also check that an unattended run would work there."""
    variables = {"UNIT": unit, "CHECKOUT": checkout, "SITE_FILE": site_file}
    here = Probe(script("schedule-look", variables), parse_daemons)
    both = batch(files.found(paths), here)
    return Probe(both.command, lambda answer: HostSchedule(*both.parse(answer)))


def parse_daemons(answer: Answer) -> Daemons:
    """Parse the output of schedule-look.sh: lines "name value", and after "checked" the output of the check.

    Raises ValueError when it is something else.
    """
    text, checked, said = answer.stdout.partition("\nchecked ")
    facts = {name: value for name, _, value in (line.partition(" ") for line in text.splitlines())}
    if missing := {"now", "cron"} - facts.keys():
        raise ValueError(f"schedule-look did not print {' and '.join(sorted(missing))}")
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
    """Start the timer as its unit file says now, and enable it for every boot."""
    return script("schedule-timer", {"UNIT": unit})


def remove(unit: str, paths: Iterable[str]) -> Command:
    """Delete files. The timer ``unit``, unless "", is disabled and stopped first."""
    return script("schedule-remove", {"UNIT": unit, "PATHS": paths})


def status(checkout: str, site_file: str, *, as_json: bool) -> Probe[Answer]:
    """Run `inv backup.status` of the checkout on the host. Any exit status is an answer."""
    variables = {"CHECKOUT": checkout, "SITE_FILE": site_file, "WORDS": ["--json"] if as_json else []}
    command = replace(script("schedule-status", variables), shown=f"inv backup.status in {checkout}")
    return Probe(command.expecting(*ANY_EXIT), lambda answer: answer)
