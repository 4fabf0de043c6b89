"""The schedule of a site's backups as a crontab entry or as systemd units: write, find, remove. Pure.

Sources: crontab(5), systemd.timer(5), systemd.service(5).
"""

from __future__ import annotations

import json
import re
import shlex
from dataclasses import asdict, dataclass, replace
from typing import Final

from runbooks.backup.rules import times
from runbooks.commands.files import File
from runbooks.errors import InventoryError

MARKER: Final = re.compile(r"# ha-runbooks: backups of (?P<site>[a-z0-9-]+), by `inv backup\.schedule`: (?P<facts>\{.*\})")
MINE: Final = re.compile(
    r"[ \t]*(?P<off>#[# \t]*)?(?P<at>@\w+|\S+(?:[ \t]+\S+){4})[ \t]+(?:root[ \t]+)?env HA_BACKUP_BY=cron .*ha-backup"
)
LONGEST_LINE: Final = 998  # bytes: cron's limit for a command
CRON_D, SYSTEMD = "/etc/cron.d", "/etc/systemd/system"


@dataclass(frozen=True, slots=True)
class Entry:
    """A schedule: the checkout ``checkout`` backs up the site of ``file`` (both absolute paths) at the cron expression ``at``.

    ``since`` is when it was installed (UTC, ISO 8601). ``off``: the line after the marker was commented out or deleted.
    """

    site: str
    file: str
    at: str
    timeout: str
    since: str
    checkout: str = ""
    off: bool = False

    @property
    def marker(self) -> str:
        """The comment in the first line of everything that this tool installs."""
        facts = {key: value for key, value in asdict(self).items() if key not in {"site", "off"}}
        return f"# ha-runbooks: backups of {self.site}, by `inv backup.schedule`: {json.dumps(facts)}"

    def as_before(self, there: Entry | None) -> Entry:
        """Return this entry, with the date of ``there``, the installed one, when nothing else differs."""
        return replace(self, since=there.since) if there and replace(there, since=self.since) == self else self

    @property
    def program(self) -> str:
        """The path of the program that is run."""
        return f"{self.checkout}/scripts/ha-backup"

    @property
    def due(self) -> tuple[str, ...]:
        """Its times as values of systemd's OnCalendar. Raises InventoryError when ``at`` is invalid."""
        return times.calendar(times.parse(self.at))

    @property
    def unit(self) -> str:
        """The name of the timer."""
        return unit(self.site)


def unit(site: str) -> str:
    """Return the name of a site's timer."""
    return f"ha-runbooks-backup-{site}.timer"


def read_marker(line: str) -> Entry | None:
    """Return the entry in a marker, or None when ``line`` is not one."""
    shape = MARKER.fullmatch(line)
    try:
        return Entry(site=shape["site"], **json.loads(shape["facts"])) if shape else None
    except (ValueError, TypeError):
        return None


def in_file(text: str) -> Entry | None:
    """Return the entry in the first line of a file, or None when the file is not ours."""
    return read_marker(text.partition("\n")[0])


# ---- a crontab: other entries may be in any encoding, so its bytes are decoded as latin-1, which loses none


def line(entry: Entry, user: str = "") -> str:
    """Return the line of a crontab, with ``user`` for /etc/cron.d. Raises InventoryError when a crontab cannot hold it."""
    words = ["env", "HA_BACKUP_BY=cron", f"HA_BACKUP_TIMEOUT={entry.timeout}", entry.program, entry.file]
    for word in words:
        if "\\" in word or not word.isprintable():
            raise InventoryError(f"{word!r}: a path with a backslash or a control character cannot stand in a crontab")
    command = shlex.join(words).replace("%", "\\%")
    if len(command.encode()) > LONGEST_LINE:
        raise InventoryError(f"{entry.program} {entry.file}: these paths are too long for a crontab")
    return " ".join([entry.at, *([user] if user else []), command])


def block(entry: Entry) -> str:
    """Return the marker and the line of an entry, as UTF-8 decoded as latin-1."""
    return f"{entry.marker}\n{line(entry)}\n".encode().decode("latin-1")


def in_crontab(text: str, site: str, file: str) -> Entry | None:
    """Return the entry of ``site`` that a crontab holds, or None."""
    _, entry, _ = _split(text, site, file)
    return entry


def without(text: str, site: str, file: str) -> str:
    """Return the crontab without the entries of ``site`` and ``file``. Never changes any other byte."""
    before, entry, after = _split(text, site, file)
    return without(before + after, site, file) if entry else text


def with_entry(text: str, entry: Entry) -> str:
    """Return the crontab with ``entry``, at the place of the earlier one. Never changes any other byte."""
    before, there, after = _split(text, entry.site, entry.file)
    if not there:
        gap = "" if not text or text.endswith("\n") else "\n"
        return text + gap + block(entry)
    return before + block(entry) + without(after, entry.site, entry.file)


def _split(text: str, site: str, file: str) -> tuple[str, Entry | None, str]:
    lines = re.findall(r"[^\n]*\n|[^\n]+", text)  # splitlines would also split at \x0b, \x85 and others
    for number, each in enumerate(lines):
        entry = read_marker(each.rstrip("\n"))
        if entry and (entry.site, entry.file) == (site, file):
            following = MINE.match(lines[number + 1]) if number + 1 < len(lines) else None
            entry = replace(entry, off=not following or bool(following["off"]))
            if following:  # the line may have been edited by hand, and cron follows the line
                entry = replace(entry, at=" ".join(following["at"].split()))
            return "".join(lines[:number]), entry, "".join(lines[number + (2 if following else 1) :])
    return text, None, ""


# ---- files


def cron_file(entry: Entry) -> File:
    """Return the file for /etc/cron.d."""
    path = f"{CRON_D}/ha-runbooks-{entry.site}"
    return File(path, f"{entry.marker}\nSHELL=/bin/sh\n{line(entry, 'root')}\n")


def units(entry: Entry, directory: str = SYSTEMD) -> tuple[File, ...]:
    """Return systemd's service and timer for ``directory``."""
    title = f"[Unit]\nDescription=Backup of {entry.site} (ha-runbooks)\n"
    network = "Wants=network-online.target\nAfter=network-online.target\n" if directory == SYSTEMD else ""
    service = (
        f"{entry.marker}\n{title}{network}\n[Service]\nType=oneshot\n"
        f"Environment=HA_BACKUP_BY=timer HA_BACKUP_TIMEOUT={entry.timeout}\n"
        f"ExecStart=/bin/bash {_quoted(entry.program)} {_quoted(entry.file)}\n"
        "Nice=10\nIOSchedulingClass=idle\nKillMode=mixed\n"
    )
    due = "".join(f"OnCalendar={each}\n" for each in entry.due)
    timer = f"{entry.marker}\n{title}\n[Timer]\n{due}AccuracySec=1s\nPersistent=true\n\n[Install]\nWantedBy=timers.target\n"
    base = f"{directory}/{entry.unit.removesuffix('.timer')}"
    return File(f"{base}.service", service), File(f"{base}.timer", timer)


def _quoted(word: str) -> str:
    if not word.isprintable():
        raise InventoryError(f"{word!r}: a path with a control character cannot stand in a unit")
    for one, other in (("\\", "\\\\"), ('"', '\\"'), ("%", "%%"), ("$", "$$")):
        word = word.replace(one, other)
    return f'"{word}"'
