"""cron on this machine: this user's crontab, /etc/cron.d, and whether anybody reads them."""

from __future__ import annotations

import getpass
import tempfile
from pathlib import Path

from runbooks.backup.rules import schedules
from runbooks.backup.rules.schedules import Entry
from runbooks.engine.by_hand import by_hand
from runbooks.engine.steps import Run, Step
from runbooks.errors import CommandError, PrecheckError
from runbooks.local import programs

CRON_PID = Path("/run/crond.pid")  # of Debian's cron, and of cronie
OURS = {"LC_ALL": "C"}  # or "no crontab for root" would be said in another language


def problem() -> str:
    """Say why nobody reads crontabs on this machine, or ""."""
    try:
        number = int(CRON_PID.read_text())
        name = Path(f"/proc/{number}/comm").read_text().strip()
    except (OSError, ValueError):
        name = ""
    return "" if name in {"cron", "crond"} else f"no cron daemon runs on this machine ({CRON_PID} names none)"


def read() -> str:
    """Return this user's crontab as latin-1, so that every byte keeps its value; "" when there is none, or no cron."""
    try:
        crontab = _program()
    except PrecheckError:
        return ""
    with tempfile.TemporaryFile() as file:
        said = programs.run([crontab, "-l"], stdout=file, environ=OURS, good=(0, 1))
        if said.exited and "no crontab for" not in said.stderr:
            raise CommandError(f"`crontab -l` exited {said.exited}{programs.tail(said.stderr)}", exited=said.exited)
        file.seek(0)
        return file.read().decode("latin-1")


def _write(text: str) -> None:
    if not text:
        programs.run([_program(), "-r"], environ=OURS)
        return
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "crontab"
        path.write_bytes(text.encode("latin-1"))
        programs.run([_program(), path], environ=OURS)


def _program() -> str:
    return programs.find("crontab", why="give --timer where systemd runs, or install cron", package="cron")


def entered(entry: Entry) -> Step:
    """The entry is in the crontab, once."""

    def texts() -> tuple[str, str]:
        """The crontab as it is, and as it shall be."""
        there = read()
        kept = entry.as_before(schedules.in_crontab(there, entry.site, entry.file))
        return there, schedules.with_entry(there, kept)

    def done(_: Run) -> bool:
        there, wanted = texts()
        return there == wanted

    def do(run: Run) -> None:
        run.here(f"crontab: {schedules.line(entry)}", lambda: _write(texts()[1]))

    def check(_: Run) -> None:
        _program()

    text = by_hand("backup", "crontab_entry", entry=entry)
    return Step(f"an entry in the crontab of {getpass.getuser()}", check=check, done=done, do=do, settled=True, by_hand=text)


def left_out(site: str, file: str) -> Step:
    """The entry is not in the crontab."""

    def wanted() -> str:
        return schedules.without(read(), site, file)

    def do(run: Run) -> None:
        run.here("crontab: without the entry", lambda: _write(wanted()))

    text = by_hand("backup", "no_crontab_entry", file=file)
    return Step(
        f"no entry in the crontab of {getpass.getuser()}", done=lambda _: read() == wanted(), do=do, settled=True, by_hand=text
    )
