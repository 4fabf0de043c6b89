"""Whether this machine makes backups when hosts.yaml says so. For `inv cluster.diff`; connects to no host."""

from __future__ import annotations

from typing import TYPE_CHECKING

from runbooks.backup.rules import times
from runbooks.backup.schedule import local
from runbooks.backup.schedule.local import KEY, Installed
from runbooks.day2.rules.difference import Difference
from runbooks.errors import InventoryError
from runbooks.text import listed

if TYPE_CHECKING:
    from runbooks.engine.session import Session

FIX = "inv backup.schedule"


def of_schedule(session: Session) -> list[Difference]:
    """Return how the schedule on this machine differs from ``backup.schedule``; nothing when hosts.yaml has none. Raises InventoryError for invalid times."""
    planned = session.site.backup and session.site.backup.schedule
    if not planned:
        return []
    wanted, there = times.parse(planned, KEY), local.found(session)
    right = [each for each in there if _times(each) == wanted]
    if not right:
        said = listed(f"{each.entry.at} ({each.where})" for each in there) or None
        return [Difference("schedules", key="backups", there=said, wanted=planned, fix=FIX)]
    found = [
        Difference("schedules", key="backups", there=f"{each.where}: {each.problem}", wanted=planned, why=_why(each), fix=FIX)
        for each in right
        if each.problem
    ]
    if len(there) > 1:
        said = listed(f"{each.entry.at} ({each.where})" for each in there)
        found.append(Difference("schedules", key="backups, more than once", there=said, wanted=planned, fix=FIX))
    return found


def _times(installed: Installed) -> times.Times | None:
    try:
        return times.parse(installed.entry.at)
    except InventoryError:
        return None  # edited by hand


def _why(installed: Installed) -> str:
    return f"no backup is made: {installed.problem}"
