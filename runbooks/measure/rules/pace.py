"""How often to ask: seldom while all is well, often while something is wrong, so that the end of an outage is seen exactly. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from math import inf
from typing import Final

CALM_S: Final = 1.0  # after the last trouble it stays quick for so long


@dataclass(slots=True)
class Pace:
    """The time between two requests, in seconds: ``every_s``, or ``quick_s`` while there is trouble. Times are of the monotonic clock."""

    every_s: float
    quick_s: float
    _quick_until: float = field(default=-inf, init=False)

    def trouble(self, now: float) -> None:
        """Record that something failed, or is waited for, ``now``."""
        self._quick_until = now + CALM_S

    def interval(self, now: float) -> float:
        """Return the time from a request that begins ``now`` to the next one."""
        return self.quick_s if now < self._quick_until else self.every_s
