"""cron on this machine: this user's crontab, and whether a cron daemon runs. Source: crontab(1), crontab(5)."""

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

CRON_PID = Path("/run/crond.pid")  # written by Debian's cron and by cronie
ENVIRONMENT = {"LC_ALL": "C"}  # `read` recognizes the English message "no crontab for root"


def problem() -> str:
    """Return why crontabs have no effect on this machine, or ""."""
    try:
        number = int(CRON_PID.read_text())
        name = Path(f"/proc/{number}/comm").read_text().strip()
    except (OSError, ValueError):
        name = ""
    return "" if name in {"cron", "crond"} else f"no cron daemon runs on this machine ({CRON_PID} names none)"


def read() -> str:
    """Return this user's crontab, or "" when there is none or cron is not installed. Bytes are decoded as latin-1, so none is lost.

    Raises CommandError when `crontab -l` fails for another reason.
    """
    try:
        crontab = _program()
    except PrecheckError:
        return ""
    with tempfile.TemporaryFile() as file:
        said = programs.run([crontab, "-l"], stdout=file, environ=ENVIRONMENT, good=(0, 1))
        if said.exited and "no crontab for" not in said.stderr:
            raise CommandError(f"`crontab -l` exited {said.exited}{programs.tail(said.stderr)}", exited=said.exited)
        file.seek(0)
        return file.read().decode("latin-1")


def _write(text: str) -> None:
    if not text:
        programs.run([_program(), "-r"], environ=ENVIRONMENT)
        return
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "crontab"
        path.write_bytes(text.encode("latin-1"))
        programs.run([_program(), path], environ=ENVIRONMENT)


def _program() -> str:
    return programs.find("crontab", why="use --timer if systemd runs, or install cron", package="cron")


def installed(entry: Entry) -> Step:
    """Return the step after which the entry is in the crontab exactly once."""

    def texts() -> tuple[str, str]:
        """Return the crontab as it is, and as it should be."""
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
    return Step(f"add the entry to the crontab of {getpass.getuser()}", check=check, done=done, do=do, settled=True, by_hand=text)


def removed(site: str, file: str) -> Step:
    """Return the step after which the entry is not in the crontab."""

    def wanted() -> str:
        return schedules.without(read(), site, file)

    def do(run: Run) -> None:
        run.here("crontab: remove the entry", lambda: _write(wanted()))

    text = by_hand("backup", "no_crontab_entry", file=file)
    return Step(
        f"remove the entry from the crontab of {getpass.getuser()}",
        done=lambda _: read() == wanted(),
        do=do,
        settled=True,
        by_hand=text,
    )
