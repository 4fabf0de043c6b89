"""hosts.yaml after an upgrade: its kubernetes.version is set, by the command where that is safe, else the operator is told what to write.

Only the value is changed (`inventory.edit`); comments and layout stay. Not by us: a file that is read-only, a symbolic link or one of
several hard links (somebody keeps it elsewhere), one whose other values would change with it, or that would no longer be valid.
"""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from pathlib import Path

from runbooks.engine.by_hand import by_hand
from runbooks.engine.steps import Failed, Run, Step
from runbooks.errors import DiskError
from runbooks.inventory import edit, source
from runbooks.inventory.load import loaded
from runbooks.inventory.problems import SiteError, shown
from runbooks.inventory.source import UnreadableError
from runbooks.local import files

KEYS = ("kubernetes", "version")
BOM = "\ufeff"


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """What setting the version in a site file would change.

    before, after  the text of the file; the same when the version is there already, or when it is not ours to write.
    why_not        why it is not ours to write, "" when it is.
    line           the line of kubernetes.version, 0 when it is not known.
    """

    path: Path
    version: str
    before: str = ""
    after: str = ""
    why_not: str = ""
    line: int = 0

    @property
    def there(self) -> bool:
        """Whether the file has this version already."""
        return self.before == self.after and not self.why_not

    @property
    def diff(self) -> str:
        """The unified diff, "" without a change."""
        return edit.diff(self.before, self.after, shown(self.path))

    @property
    def by_hand(self) -> str:
        """What the operator is told to write, and why this tool does not: for the end of a run. "" when there is nothing to do."""
        if not self.why_not:
            return ""
        place = f"{shown(self.path)}:{self.line}" if self.line else shown(self.path)
        return f"{place}: write version: {self.version} under kubernetes ({self.why_not})"


def change(path: Path, version: str) -> Change:
    """Return what setting kubernetes.version to ``version`` ("1.36.3") changes in the site file at ``path``. Changes nothing, raises nothing."""
    try:
        text = _text(path)
        place = source.place(text, KEYS)
        now = Change(path=path, version=version, before=text, after=text, line=place.line if place else 0)
    except (OSError, UnreadableError) as error:
        return Change(path=path, version=version, why_not=f"it cannot be read: {error}")
    try:
        after = edit.with_value(text, KEYS, version)
        if after == text:
            return now
        loaded(source.parse(after.removeprefix(BOM)), path)
    except UnreadableError as error:
        return _not_ours(now, str(error))
    except SiteError as error:
        return _not_ours(now, f"with it the file would not be valid: {error.problems[0]}")
    if why := _why_not(path):
        return _not_ours(now, why)
    return Change(path=path, version=version, before=text, after=after, line=now.line)


def _not_ours(now: Change, why: str) -> Change:
    return Change(path=now.path, version=now.version, before=now.before, after=now.before, why_not=why, line=now.line)


def _text(path: Path) -> str:
    """Return the text of a site file with its line ends. Raises OSError, UnreadableError."""
    data = path.read_bytes()
    return (BOM if data.startswith(BOM.encode()) else "") + source.decoded(data)


def _why_not(path: Path) -> str:
    """Return why the file at ``path`` is not ours to write, or ""."""
    there = path.lstat()
    if stat.S_ISLNK(there.st_mode):
        return f"it is a symbolic link to {path.readlink()}"
    if there.st_nlink > 1:
        return "it has several hard links"
    if not there.st_mode & stat.S_IWUSR or not os.access(path, os.W_OK):
        return "it is read-only"
    if not os.access(path.parent, os.W_OK):
        return f"files in {path.parent} cannot be replaced"
    return ""


def write(wanted: Change) -> None:
    """Replace the file, atomically, with its mode and owner as they are. Raises DiskError when it cannot be, or was changed meanwhile."""
    try:
        there = wanted.path.lstat()
        if _text(wanted.path) != wanted.before:
            raise DiskError(f"{wanted.path}: somebody has changed it meanwhile")
    except (OSError, UnreadableError) as error:
        raise DiskError(f"{wanted.path}: cannot be read: {error}") from None
    mode = stat.S_IMODE(there.st_mode)
    files.replace(wanted.path, wanted.after.encode(), mode=mode, owner=(there.st_uid, there.st_gid))


def set_version(path: Path, version: str) -> Step:
    """Return the step that sets kubernetes.version in the site file at ``path`` to ``version``, once every node has it.

    A file that is not ours to write stops nothing: the step is shown as failed, with a note, and `change(path, version).by_hand` says
    what to write, for the command's last lines.
    """
    told: list[str] = []

    def done(run: Run) -> bool:
        return bool(told) or change(path, version).there

    def do(run: Run) -> Failed | None:
        wanted = change(path, version)
        why = wanted.by_hand
        if not why:
            try:
                run.here(f"{shown(path)}: kubernetes.version: {version}", lambda: write(wanted), wanted.diff)
            except DiskError as error:
                why = str(error)
        if why:
            told.append(why)
            run.journal.note("note", "here", why)
            run.listener.say(f"          {why}")
        return Failed() if why else None

    text = by_hand("upgrade", "set_version", version=version)
    return Step(f"hosts.yaml: kubernetes.version {version}", done=done, do=do, within=5, by_hand=text)
