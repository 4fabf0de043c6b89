"""`inv backup.schedule` and `inv backup.unschedule` on the operator's own machine, and what is scheduled there."""

from __future__ import annotations

import getpass
import json
import sys
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from runbooks.backup.rules import schedules, times
from runbooks.backup.rules.schedules import Entry
from runbooks.backup.schedule import cron, ready, systemd
from runbooks.backup.sets.store import Unlocked
from runbooks.engine.by_hand import by_hand
from runbooks.engine.session import ROOT
from runbooks.engine.steps import Procedure, Run, Step
from runbooks.errors import PrecheckError
from runbooks.inventory.model import Site

if TYPE_CHECKING:
    from runbooks.engine.session import Session


@dataclass(frozen=True, slots=True)
class Installed:
    """A schedule that is installed: ``where`` in words, and why it would not run (""), as far as one can tell."""

    where: str
    entry: Entry
    problem: str


def new_entry(session: Session, at: str, timeout: str) -> Entry:
    """Build the entry of this checkout and site. Raises InventoryError when cron's words or the duration make no sense."""
    times.parse(at)
    times.duration_s(timeout)
    since = datetime.now(UTC).isoformat(timespec="seconds")
    return Entry(session.site.name, site_file(session), " ".join(at.split()), timeout, since, str(ROOT))


def site_file(session: Session) -> str:
    """Return the absolute path of the site file: with the site's name, it tells our schedule from others."""
    return str(session.site_file.absolute())


def install(session: Session, entry: Entry, *, timer: bool) -> None:
    """Let this machine make backups at the entry's times, through cron or as a timer; the other form goes."""
    session.carry_out(scheduled(session.site, entry, timer=timer), lease=Unlocked())
    for each in ready.warnings(session.site):
        print(f"warning: {each}", file=sys.stderr)
    if not timer and (why := cron.problem()):
        print(f"warning: {why}, so this does nothing yet: start it", file=sys.stderr)
    tell_next(session, entry, datetime.now().astimezone())


def scheduled(site: Site, entry: Entry, *, timer: bool) -> Procedure:
    """Return the procedure that installs ``entry`` on this machine in one form, and removes the other."""
    precheck = Step(
        "see whether a run that nobody watches would work",
        check=lambda _: ready.require(site),
        by_hand=by_hand("backup", "schedule_ready", host=None, entry=entry),
    )
    if timer:
        steps = [precheck, systemd.installed(entry), cron.left_out(entry.site, entry.file)]
    else:
        steps = [precheck, cron.entered(entry), systemd.left_out(entry.site, entry.file)]
    return Procedure("backup.schedule", f'back up {entry.site} from this machine at "{entry.at}"', steps)


def tell_next(session: Session, entry: Entry, now: datetime, where: str = "") -> None:
    """Say when the next run is due; ``now`` is the time of the machine that runs it, in its own zone."""
    due = times.next_after(times.parse(entry.at), now.replace(tzinfo=None))
    if session.options.json:
        print(json.dumps({"event": "schedule", "at": entry.at, "next": f"{due:%Y-%m-%dT%H:%M}"}))
    else:
        print(f"next run{f' on {where}' if where else ''}: {due:%Y-%m-%d %H:%M} ({now:%Z}), {due:%A}")


def remove(session: Session) -> None:
    """Take every form of the schedule off this machine; the sets stay."""
    session.carry_out(unscheduled(session.site.name, site_file(session)), lease=Unlocked())


def unscheduled(site: str, file: str) -> Procedure:
    """Return the procedure that removes every form of the schedule of the site file ``file`` from this machine."""
    steps = [cron.left_out(site, file), systemd.left_out(site, file), _unplaced(site, file)]
    return Procedure("backup.unschedule", f"this machine makes no more backups of {site} by itself", steps)


def _unplaced(site: str, file: str) -> Step:
    """What `--host` has put here, when this machine is that host."""
    path = Path(schedules.CRON_D, f"ha-runbooks-{site}")

    def done(_: Run) -> bool:
        there = systemd.entry_in(path)
        return not there or there.file != file

    def take_out() -> None:
        try:
            path.unlink()
        except OSError as error:
            raise PrecheckError(f"{path}: cannot be taken away: {error.strerror}", hint="run it as root") from None

    text = by_hand("backup", "unscheduled", host=None, unit="", paths=[path], file=file)
    return Step(f"no {path}", done=done, do=lambda run: run.here(f"rm {path}", take_out), settled=True, by_hand=text)


def found(session: Session) -> list[Installed]:
    """Return the schedules of this site on this machine: in the user's crontab, of systemd's, in /etc/cron.d."""
    site, file = session.site.name, site_file(session)
    installed: list[Installed] = []
    if entry := schedules.in_crontab(cron.read(), site, file):
        off = "its line is a comment now, or gone" if entry.off else cron.problem()
        installed.append(Installed(f"the crontab of {getpass.getuser()}", entry, off))
    for path in {systemd.directory() / schedules.unit(site), Path(schedules.SYSTEMD, schedules.unit(site))}:
        if (entry := systemd.entry_in(path)) and entry.file == file:
            installed.append(Installed(str(path), entry, systemd.problem(entry)))
    placed = Path(schedules.CRON_D, f"ha-runbooks-{site}")
    if (entry := systemd.entry_in(placed)) and entry.file == file:
        installed.append(Installed(str(placed), entry, cron.problem()))
    return installed
