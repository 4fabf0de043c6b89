"""systemd's timer on this machine: its units, and whether it runs. Root's is the system's, everybody else's his own."""

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
    """Return where this user's units lie."""
    if os.geteuid() == 0:
        return Path(schedules.SYSTEMD)
    return Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config") / "systemd" / "user"


def entry_in(path: Path) -> Entry | None:
    """Return the entry that a file of ours on this machine begins with, or None."""
    return schedules.in_file(_content(path))


def problem(entry: Entry) -> str:
    """Say why the timer would not run, or ""."""
    if not _systemd():
        return "systemd does not run this machine"
    states = [_systemctl(word, entry.unit, good=range(256)) for word in ("is-enabled", "is-active")]
    states.append(_systemctl("show", "-P", "NeedDaemonReload", entry.unit))
    return "" if states == ["enabled", "active", "no"] else f"systemd does not run it: {' '.join(states[:2])}"


def installed(entry: Entry) -> Step:
    """The timer is there, and systemd runs it."""
    path = directory() / entry.unit

    def check(_: Run) -> None:
        if not _systemd():
            raise PrecheckError("systemd does not run this machine, so it has no timers", hint="leave --timer away: cron")
        there = entry_in(path)
        if there and there.file != entry.file:
            raise PrecheckError(
                f"{path} is there for another site file, whose site has the same name: {there.file}",
                hint=f"RUNBOOKS_SITE={there.file} inv backup.unschedule, or give one of the sites another name",
            )

    def wanted() -> tuple[File, ...]:
        return schedules.units(entry.as_before(entry_in(path)), str(directory()))

    def done(_: Run) -> bool:
        return all(_content(Path(file.path)) == file.content for file in wanted()) and not problem(entry)

    def do(run: Run) -> None:
        names = " ".join(file.path for file in wanted())
        run.here(f"write {names}; systemctl enable --now {entry.unit}", lambda: _install(entry, wanted()))

    text = by_hand("backup", "timer_units", host=None, directory=directory(), entry=entry)
    return Step("a timer of systemd's", check=check, done=done, do=do, settled=True, by_hand=text)


def _install(entry: Entry, units: tuple[File, ...]) -> None:
    directory().mkdir(parents=True, exist_ok=True)
    for file in units:
        files.replace(Path(file.path), file.content.encode(), mode=0o644)
    _systemctl("daemon-reload")
    _systemctl("enable", "--quiet", entry.unit)
    _systemctl("restart", entry.unit)
    if os.geteuid():
        who = getpass.getuser()
        print(f"note: it runs only while {who} is logged in, unless: loginctl enable-linger {who}", file=sys.stderr)


def left_out(site: str, file: str) -> Step:
    """Neither the timer nor its service is there."""
    unit = schedules.unit(site)
    paths = [directory() / unit, directory() / unit.replace(".timer", ".service")]

    def ours() -> list[Path]:
        return [path for path in paths if (there := entry_in(path)) and there.file == file]

    def take_out() -> None:
        if _systemd():
            _systemctl("disable", "--quiet", "--now", unit, good=range(256))
        for path in ours():
            path.unlink(missing_ok=True)
        if _systemd():
            _systemctl("daemon-reload")

    def do(run: Run) -> None:
        run.here(f"systemctl disable --now {unit}; rm {' '.join(map(str, ours()))}", take_out)

    text = by_hand("backup", "unscheduled", host=None, unit=unit, paths=paths, file=file)
    return Step("no timer of systemd's", done=lambda _: not ours(), do=do, settled=True, by_hand=text)


def _systemd() -> bool:
    return Path("/run/systemd/system").is_dir()


def _systemctl(*words: str, good: range = range(1)) -> str:
    systemctl = programs.find("systemctl", why="timers are systemd's; without it, leave --timer away", package="systemd")
    return programs.run([systemctl, *([] if os.geteuid() == 0 else ["--user"]), *words], good=good, timeout_s=60).stdout.strip()


def _content(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return ""
