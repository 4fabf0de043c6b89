"""What an examination may find, and in which order it is told. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from runbooks.inventory.model import Host

Severity = Literal["critical", "warning", "note"]
ORDER: dict[Severity, int] = {"critical": 0, "warning": 1, "note": 2}


@dataclass(frozen=True, slots=True)
class Finding:
    """One cause: where, what is seen, why it matters (where that is not plain), and the command that mends it.

    ``explains`` are the hosts of which everything else that looks wrong is held to follow from this.
    """

    severity: Severity
    where: str
    seen: str
    why: str = ""
    fix: str = ""
    explains: frozenset[Host] = frozenset()


def ordered(found: Iterable[Finding]) -> list[Finding]:
    """Return the gravest first, and those of one gravity as they were found, each only once."""
    return sorted(dict.fromkeys(found), key=lambda each: ORDER[each.severity])


def explained(found: Iterable[Finding]) -> frozenset[Host]:
    """Return the hosts whose other troubles have a cause already."""
    return frozenset(host for each in found for host in each.explains)


def trouble(found: Iterable[Finding]) -> list[Finding]:
    """Return what somebody has to do something about."""
    return [each for each in found if each.severity != "note"]
