"""Times in which nothing was answered, and how long answers took. Memory is bounded, however long it runs.

Times are seconds of the monotonic clock, except where a name says otherwise.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, replace

KEEP = 50  # of gaps only the longest are kept
STEP = 1.2  # each class of durations is so much longer than the one before
CLASSES = 60  # 1 ms to 47 s
ENDS = [STEP**number for number in range(CLASSES)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Gap:
    """A time in which nothing was answered.

    begin_s  when the first request began that had to wait, in seconds since 1970.
    ms       how long it took until that request, or a later one, was answered.
    reason   why the first one failed, "" when it was only answered late.
    own_ms   for how much of it the measuring process itself did not run.
    ended    False when nothing was answered until the measurement ended.
    """

    begin_s: float
    ms: float
    reason: str = ""
    own_ms: float = 0
    ended: bool = True

    @property
    def end_s(self) -> float:
        """When it ended, in seconds since 1970."""
        return self.begin_s + self.ms / 1000


class Longest:
    """The longest gaps, and how many there were."""

    def __init__(self) -> None:
        self.count = 0
        self._kept: list[Gap] = []

    def add(self, gap: Gap) -> None:
        """Count ``gap``, and keep it if it is one of the longest."""
        self.count += 1
        self._kept.append(gap)
        if len(self._kept) > KEEP:
            self._kept.remove(min(self._kept, key=lambda each: each.ms))

    def kept(self, *more: Gap) -> tuple[Gap, ...]:
        """Return the longest gaps and ``more``, in the order of their begins."""
        return tuple(sorted((*self._kept, *more), key=lambda each: each.begin_s))


class Waits:
    """For how long a client that begins at any moment, and tries again and again, would have waited for its first answer.

    Of each request that begins, it is the time until that request, or one that began later, was answered: a single request that
    hangs while others are served makes no gap. The result is exact to the interval between two requests.
    """

    def __init__(self, noticed_ms: float, in_flight: int) -> None:
        self.longest = Longest()
        self.longest_ms = 0.0
        self._noticed_ms = noticed_ms
        self._oldest: tuple[float, float] | None = None  # when it began; what to add for seconds since 1970
        self._reason = ""
        # Begins after the oldest one. A request that is answered is among the newest ``in_flight``, so older ones are not needed.
        self._later: deque[tuple[float, float]] = deque(maxlen=in_flight)

    def begun(self, at: float, shift: float) -> None:
        """Record that a request begins. ``shift`` is what to add to ``at`` for seconds since 1970."""
        if self._oldest is None:
            self._oldest, self._reason = (at, shift), ""
        else:
            self._later.append((at, shift))

    def failed(self, at: float, reason: str) -> None:
        """Record that the request that began at ``at`` has failed."""
        if self._oldest and at >= self._oldest[0]:
            self._reason = self._reason or reason

    def answered(self, at: float, now: float) -> None:
        """Record that the request that began at ``at`` is answered ``now``."""
        if self._oldest is None or at < self._oldest[0]:
            return  # one that began later was answered before
        gap = self._gap(now)
        self.longest_ms = max(self.longest_ms, gap.ms)
        if gap.ms > self._noticed_ms:
            self.longest.add(gap)
        while self._later and self._later[0][0] <= at:
            self._later.popleft()
        self._oldest, self._reason = (self._later.popleft() if self._later else None), ""

    def waiting_s(self, now: float) -> float:
        """Return for how long nothing has been answered ``now``, in seconds."""
        return now - self._oldest[0] if self._oldest else 0.0

    def forget(self, at: float) -> None:
        """Take back a request that never really began, because the measuring process itself could not make it."""
        self._later = deque((each for each in self._later if each[0] != at), self._later.maxlen)
        if self._oldest and self._oldest[0] == at:
            self._oldest = self._later.popleft() if self._later else None

    def gaps(self, now: float) -> tuple[Gap, ...]:
        """Return the longest gaps, also the one that has not ended ``now``."""
        open_one = replace(self._gap(now), ended=False) if self._oldest else None
        return self.longest.kept(*([open_one] if open_one and open_one.ms > self._noticed_ms else []))

    def longest_until(self, now: float) -> float:
        """Return the longest gap in ms, also of one that has not ended ``now`` and is long enough to be one."""
        waiting = self._gap(now).ms if self._oldest else 0.0
        return max(self.longest_ms, waiting if waiting > self._noticed_ms else 0.0)

    def _gap(self, now: float) -> Gap:
        assert self._oldest  # noqa: S101 - for the type checker
        begin, shift = self._oldest
        return Gap(begin_s=begin + shift, ms=round((now - begin) * 1000, 1), reason=self._reason)


class Durations:
    """How long answers took, in classes of 20 %."""

    def __init__(self) -> None:
        self._counts = [0] * CLASSES
        self.longest_ms = 0.0

    def add(self, ms: float) -> None:
        """Count one."""
        self.longest_ms = max(self.longest_ms, ms)
        self._counts[min(bisect_left(ENDS, ms), CLASSES - 1)] += 1

    def percentile(self, percent: float) -> float:
        """Return in ms the upper end of the class in which this percentile is; 0 when nothing was counted."""
        wanted, seen = sum(self._counts) * percent / 100, 0
        for number, count in enumerate(self._counts):
            seen += count
            if count and seen >= wanted:
                return round(min(ENDS[number], self.longest_ms), 1)
        return 0.0


@dataclass(frozen=True, slots=True)
class Pause:
    """A time in which the measuring process itself did not run, in seconds since 1970."""

    begin_s: float
    end_s: float


class Own:
    """What the measuring process knows of itself: when it was too late, and whether the machine's clock was set.

    shift   what to add to the monotonic clock for seconds since 1970.
    missed  requests that should have begun, and did not, because the process was not run in time.
    jumps   how often the clock was set, or the machine slept.
    """

    LATE_S = 0.02
    JUMP_S = 0.5

    def __init__(self) -> None:
        self.shift = 0.0
        self.missed = 0
        self.jumps = 0
        self.longest_ms = 0.0
        self.troubles: dict[str, int] = {}
        self._longest = Longest()
        self._ticked = False

    def tick(self, planned: float, now: float, wall: float) -> None:
        """Record that something that was ``planned`` happens ``now``, at ``wall`` in seconds since 1970."""
        shift = wall - now
        if self._ticked and abs(shift - self.shift) > self.JUMP_S:
            self.jumps += 1
        self._ticked, self.shift = True, shift
        if now - planned > self.LATE_S:
            late = (now - planned) * 1000
            self.longest_ms = max(self.longest_ms, late)
            self._longest.add(Gap(begin_s=planned + shift, ms=late))

    def trouble(self, reason: str) -> None:
        """Count something that this machine could not do, such as to open one more socket."""
        self.troubles[reason] = self.troubles.get(reason, 0) + 1

    def pauses(self) -> tuple[Pause, ...]:
        """Return the longest pauses."""
        return tuple(Pause(each.begin_s, each.end_s) for each in self._longest.kept())


def with_pauses(gaps: Iterable[Gap], pauses: Iterable[Pause]) -> tuple[Gap, ...]:
    """Return ``gaps``, each with the time that ``pauses`` take of it."""
    ordered = sorted(pauses, key=lambda each: each.begin_s)
    found = []
    for gap in gaps:
        own, until = 0.0, gap.begin_s
        for each in ordered:
            begin, end = max(each.begin_s, until), min(each.end_s, gap.end_s)
            if end > begin:
                own, until = own + end - begin, end
        found.append(replace(gap, own_ms=round(min(own * 1000, gap.ms), 1)))
    return tuple(found)
