"""How far a host's clock is ahead of this machine's, read in the round trip of something else."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TypeVar

from runbooks.commands.base import Answer, Probe, between, script

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Clock:
    """How far a host's clock is ahead of this machine's, in seconds: at least ``low``, at most ``high``.

    The bounds are certain: the host read its clock after the request was sent and before the answer arrived.
    """

    low: float
    high: float

    def apart(self, other: Clock) -> float:
        """Return the seconds by which the two clocks differ at least."""
        return max(self.low - other.high, other.low - self.high, 0.0)


OPERATOR = Clock(0.0, 0.0)


def timed(probe: Probe[T]) -> Probe[tuple[T, Clock]]:
    """Return ``probe`` with the host's clock, read before and after it: however long it takes, the bounds are no wider than the way there and back."""

    def parse(answer: Answer) -> tuple[T, Clock]:
        begun, _, rest = answer.stdout.partition("\n")
        said, _, ended = rest.rstrip("\n").rpartition("\n")
        return probe.parse(replace(answer, stdout=said)), Clock(float(ended) - answer.received, float(begun) - answer.sent)

    return Probe(between(probe.command, script("clock")), parse)
