"""What a preflight check may find."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, NamedTuple

from runbooks.inventory.model import Host

Level = Literal["pass", "warn", "fail"]
GRAVITY: dict[Level, int] = {"pass": 0, "warn": 1, "fail": 2}


@dataclass(frozen=True, slots=True)
class Finding:
    """One topic on one host: how grave, what was seen, and what mends it ("" when nothing has to be)."""

    host: Host
    topic: str
    level: Level
    seen: str
    cure: str = ""


class Verdict(NamedTuple):
    """A finding before it is known whose it is."""

    level: Level
    seen: str
    cure: str = ""


def good(seen: str) -> Verdict:
    """Nothing to mend."""
    return Verdict("pass", seen)


def warn(seen: str, cure: str) -> Verdict:
    """Unwise, or not to be told; it stops nothing."""
    return Verdict("warn", seen, cure)


def fail(seen: str, cure: str) -> Verdict:
    """Kubernetes would not come up, or not stay up, here."""
    return Verdict("fail", seen, cure)


def worst(verdicts: Iterable[Verdict], *, otherwise: str = "") -> Verdict:
    """Sum up one topic: its gravest level, and what was seen on that level or, when all is well, at all.

    >>> worst([good("a"), warn("b", "mend b"), warn("c", "mend c")])
    Verdict(level='warn', seen='b; c', cure='mend b; mend c')
    """
    those = list(verdicts)
    if not those:
        return good(otherwise)
    level = max((each.level for each in those), key=lambda each: GRAVITY[each])
    grave = [each for each in those if each.level == level]
    return Verdict(
        level,
        "; ".join(dict.fromkeys(each.seen for each in grave if each.seen)) or otherwise,
        "; ".join(dict.fromkeys(each.cure for each in grave if each.cure)),
    )
