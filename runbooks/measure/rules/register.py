"""One object with one writer: no acknowledged write may be lost, and no read may be older than what was known when it began.

The writer puts increasing numbers, 0 at first. Each write names the resourceVersion that it replaces, so of the writes whose answers
were lost at most one can still be made, and none after the next one was acknowledged. With one writer these rules are enough for
linearizability (Jepsen and etcd's robustness tests use the same three outcomes: acknowledged, refused, unknown).

A GET without resourceVersion is a consistent read: https://kubernetes.io/docs/reference/using-api/api-concepts/#resource-versions
Times are in seconds since 1970.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

KEEP = 20  # of the evidence only the first are kept; all are counted
ABSENT = 1000  # ranges of numbers that were never stored
GONE = -1  # what a read returns when the object is not there


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """What a read returned: the number, when its write began, and how many writes had been acknowledged before it.

    The last two are from the object itself, so that the loss is known after a restore too; both are 0 when the object is gone.
    """

    number: int
    at_s: float = 0
    acknowledged: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Stale:
    """A read that returned less than what was known when it began. ``found`` is -1 when the object was not there."""

    at_s: float
    where: str
    expected: int
    found: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Lost:
    """Acknowledged writes that are gone.

    writes   how many.
    seconds  from the newest write that is still there to the last one that was acknowledged: what a restore calls RPO.
    """

    at_s: float
    known: int
    found: int
    writes: int
    seconds: float


class Register:
    """What was written, and what every read has to return at least (``known``)."""

    def __init__(self, at_s: float) -> None:
        self.known = 0
        self.attempted = 0
        self.acknowledged = self.refused = self.unknown = 0
        self.stale_reads = self.reads = 0
        self.stale: list[Stale] = []
        self.lost: list[Lost] = []
        self.invented = 0
        self.forgotten = False
        self._absent: deque[tuple[int, int]] = deque()
        self._began_s = self._last_s = at_s  # of the object's first write; of the last acknowledged one

    # ---- writes

    def attempt(self) -> int:
        """Return the number for the next write."""
        self.attempted += 1
        return self.attempted

    def was_acknowledged(self, number: int, at_s: float) -> None:
        """Record that the write of ``number``, begun at ``at_s``, was acknowledged."""
        self.acknowledged += 1
        self._last_s = at_s
        self._settle(number)

    def was_refused(self) -> None:
        """Record that the last attempt was certainly not carried out. Its number is used again."""
        self.refused += 1
        self.attempted -= 1

    def was_unknown(self) -> None:
        """Record that the last attempt has no answer: it may have been carried out, or may still be."""
        self.unknown += 1

    def is_lost(self, found: Stored, at_s: float) -> None:
        """Record that ``found`` is all that is left, although more was acknowledged. The writer goes on from there."""
        kept = found.acknowledged + 1 if found.number > 0 else 0
        since = found.at_s or self._began_s
        if len(self.lost) < KEEP:
            self.lost.append(
                Lost(
                    at_s=at_s,
                    known=self.known,
                    found=found.number,
                    writes=max(self.acknowledged - kept, 0) or 1,
                    seconds=round(max(self._last_s - since, 0.0), 3),
                )
            )
        self.known = max(found.number, 0)

    # ---- reads

    def read(self, floor: int, found: int, where: str, at_s: float) -> bool:
        """Record a read that began when ``floor`` was known; return False when it is older than that, or was never written."""
        self.reads += 1
        if found > self.attempted:
            self.invented += 1
            return False
        if found < floor:
            self.stale_reads += 1
            if len(self.stale) < KEEP:
                self.stale.append(Stale(at_s=at_s, where=where, expected=floor, found=found))
            return False
        if found > self.known:  # a write without an answer was carried out
            self._settle(found)
        return True

    def stored(self, after: int, before: int) -> int:
        """Return how many numbers between the two were stored, as far as that is known."""
        last = min(before - 1, self.known)
        whole = max(last - after, 0)
        return whole - sum(max(min(b, last) - max(a, after + 1) + 1, 0) for a, b in self._absent)

    def delivered(self, number: int) -> None:
        """Forget what was never stored before ``number``: a watch has come so far."""
        while self._absent and self._absent[0][1] < number:
            self._absent.popleft()

    def _settle(self, number: int) -> None:
        """``number`` is stored: of the numbers after the last known one, the others never will be."""
        if number > self.known + 1:
            self._absent.append((self.known + 1, number - 1))
            if len(self._absent) > ABSENT:
                self._absent.popleft()
                self.forgotten = True
        self.known = max(self.known, number)


class Delivery:
    """What one watch delivered, compared with what was stored."""

    def __init__(self, register: Register, last: int = 0) -> None:
        self.last = last
        self.events = self.missing = self.duplicates = self.reordered = self.deleted = self.relisted = 0
        self._register = register

    def event(self, number: int) -> None:
        """Record that the watch delivered ``number``."""
        self.events += 1
        if number == self.last:
            self.duplicates += 1
        elif number < self.last:
            self.reordered += 1
        else:
            self.missing += self._register.stored(self.last, number)
            self.last = number
            self._register.delivered(number)

    def starts_from(self, number: int) -> None:
        """Record that the watch starts again from what a read returned: what happened since the last event cannot be compared."""
        self.relisted += 1
        self.last = max(number, 0)
        self._register.delivered(self.last)

    @property
    def undelivered(self) -> int:
        """How many stored writes it has not delivered yet. Only a later event proves that it has left them out."""
        return self._register.stored(self.last, self._register.known + 1)
