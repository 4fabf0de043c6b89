"""`inv backup.schedule` and `inv backup.unschedule` on this machine, and which schedules are installed on it."""

from __future__ import annotations

import getpass
import json
import sys
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final

from runbooks.backup.rules import schedules, times
from runbooks.backup.rules.schedules import Entry
from runbooks.backup.schedule import cron, ready, systemd
from runbooks.backup.sets.store import Unlocked
from runbooks.engine.by_hand import by_hand
from runbooks.engine.session import ROOT
from runbooks.engine.steps import Procedure, Run, Step
from runbooks.errors import InventoryError, PrecheckError
from runbooks.inventory.model import Site

if TYPE_CHECKING:
    from runbooks.engine.session import Session

KEY: Final = "backup.schedule"  # of hosts.yaml


@dataclass(frozen=True, slots=True)
class Installed:
    """A schedule that is installed: where, its entry, and why it would not run ("" when no reason is known)."""

    where: str
    entry: Entry
    problem: str


def new_entry(session: Session, at: str, timeout: str) -> Entry:
    """Return the entry of this checkout and site; without ``at`` the times of hosts.yaml. Raises InventoryError for invalid times or ``timeout``."""
    planned = session.site.backup and session.site.backup.schedule
    if not at and not planned:
        raise InventoryError(
            "backup.schedule: no time is given", hint=f'{KEY}: "17 2 * * *" in {session.site_file}; or --at "17 2 * * *"'
        )
    times.parse(at or planned or "", "--at" if at else KEY)
    at = at or planned or ""
    times.duration_s(timeout)
    since = datetime.now(UTC).isoformat(timespec="seconds")
    return Entry(session.site.name, site_file(session), " ".join(at.split()), timeout, since, str(ROOT))


def site_file(session: Session) -> str:
    """Return the absolute path of the site file. Together with the site's name it identifies the schedule."""
    return str(session.site_file.absolute())


def install(session: Session, entry: Entry, *, timer: bool) -> None:
    """Install the entry on this machine, as a crontab entry or as a systemd timer. The other form is removed."""
    session.carry_out(scheduled(session.site, entry, timer=timer), lease=Unlocked())
    for each in ready.warnings(session.site):
        print(f"warning: {each}", file=sys.stderr)
    if not timer and (why := cron.problem()):
        print(f"warning: {why}, so no backup is made until you start it", file=sys.stderr)
    tell_next(session, entry, datetime.now().astimezone())


def scheduled(site: Site, entry: Entry, *, timer: bool) -> Procedure:
    """Return the procedure that installs ``entry`` on this machine in one form, and removes the others, also that of `--host`."""
    precheck = Step(
        "check that an unattended run would work",
        check=lambda _: ready.require(site),
        by_hand=by_hand("backup", "schedule_ready", host=None, entry=entry),
    )
    placed = _cron_file_removed(entry.site, entry.file)
    if timer:
        steps = [precheck, systemd.installed(entry), cron.removed(entry.site, entry.file), placed]
    else:
        steps = [precheck, cron.installed(entry), systemd.removed(entry.site, entry.file), placed]
    return Procedure("backup.schedule", f'back up {entry.site} from this machine at "{entry.at}"', steps)


def tell_next(session: Session, entry: Entry, now: datetime, where: str = "") -> None:
    """Print when the next run is due. ``now`` is the local time of the machine that runs it, with its zone."""
    due = times.next_after(times.parse(entry.at), now.replace(tzinfo=None))
    if session.options.json:
        print(json.dumps({"event": "schedule", "at": entry.at, "next": f"{due:%Y-%m-%dT%H:%M}"}))
    else:
        print(f"next run{f' on {where}' if where else ''}: {due:%Y-%m-%d %H:%M} ({now:%Z}), {due:%A}")


def remove(session: Session) -> None:
    """Remove every form of the schedule from this machine. The sets stay."""
    session.carry_out(unscheduled(session.site.name, site_file(session)), lease=Unlocked())


def unscheduled(site: str, file: str) -> Procedure:
    """Return the procedure that removes every form of the schedule of the site file ``file`` from this machine."""
    steps = [cron.removed(site, file), systemd.removed(site, file), _cron_file_removed(site, file)]
    return Procedure("backup.unschedule", f"this machine no longer makes backups of {site} on a schedule", steps)


def _cron_file_removed(site: str, file: str) -> Step:
    """Return the step that removes what `backup.schedule --host` wrote, when this machine is that host."""
    path = Path(schedules.CRON_D, f"ha-runbooks-{site}")

    def done(_: Run) -> bool:
        there = systemd.entry_in(path)
        return not there or there.file != file

    def delete() -> None:
        try:
            path.unlink()
        except OSError as error:
            raise PrecheckError(f"{path}: cannot be deleted: {error.strerror}", hint="run the same command as root") from None

    text = by_hand("backup", "unscheduled", host=None, unit="", paths=[path], file=file)
    return Step(f"remove {path}", done=done, do=lambda run: run.here(f"rm {path}", delete), settled=True, by_hand=text)


def found(session: Session) -> list[Installed]:
    """Return the schedules of this site file on this machine: in the user's crontab, systemd timers, /etc/cron.d."""
    site, file = session.site.name, site_file(session)
    installed: list[Installed] = []
    if entry := schedules.in_crontab(cron.read(), site, file):
        off = "its line was commented out or deleted" if entry.off else cron.problem()
        installed.append(Installed(f"the crontab of {getpass.getuser()}", entry, off))
    for path in {systemd.directory() / schedules.unit(site), Path(schedules.SYSTEMD, schedules.unit(site))}:
        if (entry := systemd.entry_in(path)) and entry.file == file:
            installed.append(Installed(str(path), entry, systemd.problem(entry)))
    placed = Path(schedules.CRON_D, f"ha-runbooks-{site}")
    if (entry := systemd.entry_in(placed)) and entry.file == file:
        installed.append(Installed(str(placed), entry, cron.problem()))
    return installed
