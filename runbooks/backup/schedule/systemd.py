"""A systemd timer on this machine: its units, and whether it is active. Root uses system units, other users their own user units.

Source: systemd.timer(5).
"""

from __future__ import annotations

import getpass
import os
import sys
from pathlib import Path

from runbooks.backup.rules import schedules
from runbooks.backup.rules.schedules import Entry
from runbooks.commands.files import File
from runbooks.engine.by_hand import by_hand
from runbooks.engine.steps import Run, Step
from runbooks.errors import PrecheckError
from runbooks.local import files, programs


def directory() -> Path:
    """Return the directory of this user's units."""
    if os.geteuid() == 0:
        return Path(schedules.SYSTEMD)
    return Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config") / "systemd" / "user"


def entry_in(path: Path) -> Entry | None:
    """Return the entry in the first line of a file on this machine, or None when the file is not ours or cannot be read."""
    return schedules.in_file(_content(path))


def problem(entry: Entry) -> str:
    """Return why the timer would not run, or ""."""
    if not _systemd():
        return "systemd does not run this machine"
    states = [_systemctl(word, entry.unit, good=range(256)) for word in ("is-enabled", "is-active")]
    states.append(_systemctl("show", "-P", "NeedDaemonReload", entry.unit))
    return "" if states == ["enabled", "active", "no"] else f"systemd does not run the timer: {' '.join(states[:2])}"


def installed(entry: Entry) -> Step:
    """Return the step after which the timer is installed, enabled and active."""
    path = directory() / entry.unit

    def check(_: Run) -> None:
        if not _systemd():
            raise PrecheckError("systemd does not run this machine, so it has no timers", hint="use cron: leave out --timer")
        there = entry_in(path)
        if there and there.file != entry.file:
            raise PrecheckError(
                f"{path} exists already for another site file whose site has the same name: {there.file}",
                hint=f"RUNBOOKS_SITE={there.file} inv backup.unschedule, or rename one of the sites",
            )

    def wanted() -> tuple[File, ...]:
        return schedules.units(entry.as_before(entry_in(path)), str(directory()))

    def done(_: Run) -> bool:
        return all(_content(Path(file.path)) == file.content for file in wanted()) and not problem(entry)

    def do(run: Run) -> None:
        names = " ".join(file.path for file in wanted())
        run.here(f"write {names}; systemctl enable --now {entry.unit}", lambda: _install(entry, wanted()))

    text = by_hand("backup", "timer_units", host=None, directory=directory(), entry=entry)
    return Step("install the systemd timer", check=check, done=done, do=do, settled=True, by_hand=text)


def _install(entry: Entry, units: tuple[File, ...]) -> None:
    directory().mkdir(parents=True, exist_ok=True)
    for file in units:
        files.replace(Path(file.path), file.content.encode(), mode=0o644)
    _systemctl("daemon-reload")
    _systemctl("enable", "--quiet", entry.unit)
    _systemctl("restart", entry.unit)
    if os.geteuid():
        who = getpass.getuser()
        print(f"note: the timer runs only while {who} is logged in, unless: loginctl enable-linger {who}", file=sys.stderr)


def removed(site: str, file: str) -> Step:
    """Return the step after which neither the timer nor its service is installed."""
    unit = schedules.unit(site)
    paths = [directory() / unit, directory() / unit.replace(".timer", ".service")]

    def ours() -> list[Path]:
        return [path for path in paths if (there := entry_in(path)) and there.file == file]

    def delete() -> None:
        if _systemd():
            _systemctl("disable", "--quiet", "--now", unit, good=range(256))
        for path in ours():
            path.unlink(missing_ok=True)
        if _systemd():
            _systemctl("daemon-reload")

    def do(run: Run) -> None:
        run.here(f"systemctl disable --now {unit}; rm {' '.join(map(str, ours()))}", delete)

    text = by_hand("backup", "unscheduled", host=None, unit=unit, paths=paths, file=file)
    return Step("remove the systemd timer", done=lambda _: not ours(), do=do, settled=True, by_hand=text)


def _systemd() -> bool:
    return Path("/run/systemd/system").is_dir()


def _systemctl(*words: str, good: range = range(1)) -> str:
    systemctl = programs.find("systemctl", why="a timer needs it; without systemd leave out --timer", package="systemd")
    return programs.run([systemctl, *([] if os.geteuid() == 0 else ["--user"]), *words], good=good, timeout_s=60).stdout.strip()


def _content(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return ""
