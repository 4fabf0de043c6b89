"""Which backup sets stay and which are deleted. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby
from typing import Final

from runbooks.inventory.settings import Keep

NEWEST_GOOD: Final = "newest good"
UNREADABLE: Final = "cannot be read"


@dataclass(frozen=True, slots=True)
class Dated:
    """What retention needs to know of a set. ``made`` is UTC, and None when the manifest cannot be read."""

    id: str
    made: datetime | None
    good: bool = False


@dataclass(frozen=True, slots=True)
class Decision:
    """``reasons`` say why the set ``id`` stays. Without a reason it is deleted."""

    id: str
    reasons: tuple[str, ...]

    @property
    def kept(self) -> bool:
        """Whether the set stays."""
        return bool(self.reasons)


def decide(sets: Iterable[Dated], keep: Keep) -> tuple[Decision, ...]:
    """Decide which sets stay. Returns them newest first, then those that cannot be read.

    Never deletes the newest good set, nor a set that cannot be read: only the operator does that, by name. Also kept are the newest
    ``last`` sets, and one set of each of the newest ``daily`` days that have any, likewise of ISO weeks and of months (all UTC). Of
    a day, week or month the newest good set is kept, else the newest degraded one.
    """
    sets = list(sets)
    known = newest_first(sets)
    reasons: dict[str, list[str]] = {each.id: [] for each in known}
    for each in known[: keep.last]:
        reasons[each.id].append(f"last {keep.last}")
    for number, word, name in ((keep.daily, "daily", _day), (keep.weekly, "weekly", _week), (keep.monthly, "monthly", _month)):
        for bucket, chosen in _chosen(known, name)[:number]:
            reasons[chosen.id].append(f"{word} {bucket}")
    if newest := next((each for each in known if each.good), None):
        reasons[newest.id].append(NEWEST_GOOD)
    unreadable = sorted((each.id for each in sets if not each.made), reverse=True)
    return tuple(
        [Decision(each, tuple(why)) for each, why in reasons.items()] + [Decision(each, (UNREADABLE,)) for each in unreadable]
    )


def irreplaceable(sets: Iterable[Dated]) -> str:
    """Return the ID of the set that must never be deleted, not even by name, or "" when there is none.

    It is the newest good set, or the newest one when none is good.
    """
    known = newest_first(sets)
    return next((each.id for each in [*(one for one in known if one.good), *known]), "")


def newest_first(sets: Iterable[Dated]) -> list[Dated]:
    """Return the sets that can be read, newest first."""
    return sorted((each for each in sets if each.made), key=lambda each: (each.made or datetime.min, each.id), reverse=True)


def _chosen(known: Sequence[Dated], name: Callable[[datetime], str]) -> list[tuple[str, Dated]]:
    """Return the name of each day, week or month (by ``name``) and the set that is kept for it, newest first."""
    found = []
    for bucket, members in groupby(known, key=lambda each: name(each.made or datetime.min)):
        newest, *older = members
        found.append((bucket, next((each for each in (newest, *older) if each.good), newest)))
    return found


def _day(made: datetime) -> str:
    return f"{made:%Y-%m-%d}"


def _week(made: datetime) -> str:
    return f"{made:%G-W%V}"


def _month(made: datetime) -> str:
    return f"{made:%Y-%m}"
