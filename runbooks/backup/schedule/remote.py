"""A schedule on a host of the site that has a checkout of this tool: install, remove, ask for its status."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from runbooks.backup.rules import schedules
from runbooks.backup.rules.schedules import Entry
from runbooks.backup.schedule.local import tell_next
from runbooks.commands import files, schedule
from runbooks.commands.base import Probe
from runbooks.commands.files import File
from runbooks.commands.schedule import HostSchedule
from runbooks.engine.by_hand import by_hand
from runbooks.engine.steps import Procedure, Run, Step
from runbooks.errors import InventoryError, OutcomeError, PrecheckError, RunbookError
from runbooks.inventory.model import Host

if TYPE_CHECKING:
    from runbooks.engine.session import Session


@dataclass(frozen=True, slots=True)
class Placing:
    """An entry that should be on ``host``, as a file in /etc/cron.d or as a systemd timer."""

    host: Host
    entry: Entry
    timer: bool

    def look(self) -> Probe[HostSchedule]:
        """Return the probe that reads the schedule on the host, and whether a run would work there."""
        return schedule.look(self.entry.unit, _paths(self.entry.site), self.entry.checkout, self.entry.file)

    def files(self, found: HostSchedule) -> tuple[File, ...]:
        """Return the files that should be on the host. Their date stays when nothing else changes."""
        first = _paths(self.entry.site)[1 if self.timer else 0]
        there = schedules.in_file(found.files[first].content) if first in found.files else None
        entry = self.entry.as_before(there)
        return schedules.units(entry) if self.timer else (schedules.cron_file(entry),)


def placing(session: Session, entry: Entry, where: tuple[str, str, str], *, timer: bool) -> Placing:
    """Read the flags --host, --checkout and --site. Raises InventoryError when they do not fit together."""
    host, checkout, file = where
    if not (host and checkout):
        raise InventoryError("--host and --checkout go together", hint="--host NAME --checkout DIR, and --site FILE if needed")
    checkout = checkout.rstrip("/")
    file = file or f"{checkout}/hosts.yaml"
    for flag, path in (("--checkout", checkout), ("--site", file)):
        if not path.startswith("/"):
            raise InventoryError(f"{flag} {path}: not an absolute path", hint="give the full path on that host, from /")
    return Placing(session.site.host(host), replace(entry, checkout=checkout, file=file), timer)


def install(session: Session, placing: Placing) -> None:
    """Install the entry on the host. The other form is removed."""
    session.carry_out(scheduled(placing))
    daemons = session.run.read(placing.host, placing.look()).daemons
    if not placing.timer and not daemons.cron:
        session.run.note(placing.host, f"no cron daemon runs on {placing.host}, so no backup is made until you start it")
    tell_next(session, placing.entry, daemons.now, str(placing.host))


def scheduled(placing: Placing) -> Procedure:
    """Return the procedure that installs the entry on the host in one form, and removes the other."""
    steps = [_works(placing), _placed(placing), *([_runs(placing)] if placing.timer else []), _other_gone(placing)]
    return Procedure("backup.schedule", f'back up {placing.entry.site} from {placing.host} at "{placing.entry.at}"', steps)


def _works(placing: Placing) -> Step:
    """Return the step that runs `scripts/ha-backup --check` on the host, in an environment like cron's."""
    host, checkout = placing.host, placing.entry.checkout

    def check(run: Run) -> None:
        daemons = run.read(host, placing.look()).daemons
        if daemons.checked == schedule.NO_CHECKOUT:
            raise PrecheckError(
                f"{host}: there is no checkout in {checkout} (no scripts/ha-backup)",
                hint=f"on {host}, as root: git clone, then scripts/setup --no-lab; copy the site file and its keys there",
            )
        if daemons.checked:
            lines = "".join(f"\n  {line}" for line in daemons.said.splitlines())
            raise PrecheckError(f"{host}: a run of {checkout} would fail; `scripts/ha-backup --check` reports:{lines}")
        if placing.timer and daemons.timer is None:
            raise PrecheckError(f"{host}: systemd does not run it, so it has no timers", hint="use cron: leave out --timer")

    text = by_hand("backup", "schedule_ready", host=host, entry=placing.entry)
    return Step("check that an unattended run would work there", host, check=check, by_hand=text)


def _placed(placing: Placing) -> Step:
    host = placing.host

    def differing(run: Run) -> list[File]:
        found = run.read(host, placing.look())
        return files.differing(placing.files(found), found.files)

    def do(run: Run) -> None:
        wanted = differing(run)
        run.place(host, wanted, run.read(host, placing.look()).files, files.place(wanted))

    entry = placing.entry
    if placing.timer:
        name = "write the systemd units"
        text = by_hand("backup", "timer_units", host=host, directory=schedules.SYSTEMD, entry=entry)
    else:
        path = _paths(entry.site)[0]
        name = f"write {path}"
        text = by_hand("backup", "cron_file", host=host, path=path, entry=entry)
    return Step(name, host, done=lambda run: not differing(run), do=do, settled=True, by_hand=text)


def _runs(placing: Placing) -> Step:
    host, unit = placing.host, placing.entry.unit
    return Step(
        "start and enable the systemd timer",
        host,
        done=lambda run: bool(run.read(host, placing.look()).daemons.timer),
        do=lambda run: run.change(host, schedule.run_timer(unit)),
        by_hand=by_hand("backup", "run_timer", host=host, unit=unit),
    )


def _other_gone(placing: Placing) -> Step:
    cron, *units = _paths(placing.entry.site)
    if placing.timer:
        return _gone(placing.host, "remove the cron file", placing.look(), "", [cron])
    return _gone(placing.host, "remove the systemd timer", placing.look(), placing.entry.unit, units)


def _gone(host: Host, name: str, look: Probe[HostSchedule], unit: str, paths: Sequence[str]) -> Step:
    return Step(
        name,
        host,
        done=lambda run: run.read(host, look).files.keys().isdisjoint(paths),
        do=lambda run: run.change(host, schedule.remove(unit, paths)),
        settled=True,
        by_hand=by_hand("backup", "unscheduled", host=host, unit=unit, paths=paths, file=""),
    )


def remove(session: Session, host: Host) -> None:
    """Remove every form of the schedule from ``host``."""
    session.carry_out(unscheduled(session.site.name, host))


def unscheduled(site: str, host: Host) -> Procedure:
    """Return the procedure that removes every form of the schedule of ``site`` from ``host``."""
    unit, paths = schedules.unit(site), _paths(site)
    gone = _gone(host, "remove the schedule", schedule.look(unit, paths), unit, paths)
    return Procedure("backup.unschedule", f"{host} no longer makes backups of {site} on a schedule", [gone])


def show_status(session: Session, host: Host) -> None:
    """Print `inv backup.status` of the checkout that is scheduled on ``host``. Raises RunbookError with its exit status unless 0."""
    site = session.site.name
    there = session.run.read(host, schedule.look(schedules.unit(site), _paths(site))).files
    entry = next(
        (entry for path in _paths(site)[:2] if path in there and (entry := schedules.in_file(there[path].content))),
        None,
    )
    if not entry:
        raise OutcomeError(
            f"{host}: no backups of {site} are scheduled there", hint="inv backup.schedule --host ... --checkout ..."
        )
    answer = session.run.read(host, schedule.status(entry.checkout, entry.file, as_json=session.options.json))
    print(answer.stdout.rstrip())
    if answer.exited:
        said = answer.stderr.strip().removeprefix("error: ") or f"exit status {answer.exited}"
        error = RunbookError(f"{host}: {said}")
        error.exit_code = answer.exited
        raise error


def _paths(site: str) -> tuple[str, str, str]:
    """Return the paths of our files on a host: for cron, the timer, its service."""
    timer = f"{schedules.SYSTEMD}/{schedules.unit(site)}"
    return f"{schedules.CRON_D}/ha-runbooks-{site}", timer, timer.replace(".timer", ".service")
