"""What two clients saw of the same event, side by side: waits, and how punctual each was. Pure; the waits are reckoned anew here, not as runbooks/measure does."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from math import ceil
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

LEAST = 50  # times, for a 99th percentile
EDGE_S = 1.0  # at the begin and the end some connections are opened once
AROUND_S = 3.0  # after a gap, connections are opened more often for a second, and out of turn


@dataclass(frozen=True, slots=True)
class Ask:
    """One request of the independent client: when it began (seconds since 1970), how long it took, what came of it, from which port."""

    start: float
    seconds: float
    result: str
    port: int

    @property
    def good(self) -> bool:
        """Whether it was answered as it should be."""
        return self.result.startswith("2")

    @property
    def end(self) -> float:
        """When it was over."""
        return self.start + self.seconds


def pause_ms(asks: Sequence[Ask]) -> float:
    """Return for how long the independent client has begun no request, at most."""
    return max((1000 * (later.start - each.start) for each, later in pairwise(asks)), default=0.0)


def agreement(drill_ms: float, own_ms: float, probe_ms: float, every_ms: float, paused_ms: float) -> str:
    """Return "yes" when both are within one interval, "no" when they are not.

    "could not tell" when one of the two did not run for a time that is longer than that: ``own_ms`` is what the drill itself says of its gap,
    ``paused_ms`` the independent client's. That never becomes a "yes".
    """
    apart = abs(drill_ms - probe_ms)
    if apart <= every_ms:
        return "yes"
    return "could not tell" if apart <= every_ms + own_ms + paused_ms and max(own_ms, paused_ms) > every_ms else "no"


@dataclass(frozen=True, slots=True)
class Wait:
    """The longest time without an answer: when it began, in seconds since 1970, and how long it was."""

    begin_s: float
    ms: float


def parsed(lines: Iterable[str]) -> tuple[list[Ask], dict[int, list[float]]]:
    """Return the requests in the order of their begins, and when connections were opened, by port. Lines of other kinds are refused."""
    asks: list[Ask] = []
    opened: dict[int, list[float]] = {}
    for line in lines:
        match line.split():
            case ["ask", start, seconds, result, port]:
                asks.append(Ask(float(start), float(seconds), result, int(port)))
            case ["syn", at, port]:
                opened.setdefault(int(port), []).append(float(at))
            case _:
                raise ValueError(f"unexpected: {line!r}")
    return sorted(asks, key=lambda each: each.start), opened


def longest(asks: Sequence[Ask], begin_s: float, end_s: float) -> Wait:
    """Return for how long a client would have waited at most that begins between these times and tries again and again.

    The wait of each request ends with the first good answer to it or to a later one; the last ones, without any, wait until ``end_s``.
    """
    found, answer = Wait(begin_s, 0.0), end_s
    for each in reversed(asks):
        if each.good:
            answer = min(answer, each.end)
        if begin_s <= each.start <= end_s and (ms := (answer - each.start) * 1000) > found.ms:
            found = Wait(each.start, ms)
    return found


def other_begins(opened: Mapping[int, Sequence[float]], asks: Iterable[Ask]) -> list[float]:
    """Return when connections began that are not the independent client's: the drill's. A SYN that is sent again, or seen on two interfaces, is one."""
    ours: dict[int, list[float]] = {}
    for each in asks:
        ours.setdefault(each.port, []).append(each.start)
    found = []
    for port, times in opened.items():
        last = -1.0
        for at in sorted(times):
            if at - last > 10 and not any(-0.5 < at - start < 1 for start in ours.get(port, ())):
                found.append(at)
            last = at
    return sorted(found)


def quiet(times: Iterable[float], begin_s: float, end_s: float, gaps: Sequence[Mapping[str, Any]]) -> list[float]:
    """Return those between these times at which connections are opened at regular times only.

    Left out: the begin and the end, with connections that are opened once, and all that is beside an outage: a gap, as the drill keeps them.
    """
    around = [(each["begin_s"] - EDGE_S, each["begin_s"] + each["ms"] / 1000 + AROUND_S) for each in gaps]
    begin_s, end_s = begin_s + EDGE_S, end_s - EDGE_S
    return [at for at in times if begin_s <= at <= end_s and not any(begin <= at <= end for begin, end in around)]


def jitter_ms(times: Sequence[float], every_ms: float, percent: float = 99) -> float | None:
    """Return how far, at this percentile, ``times`` are from regular ones ``every_ms`` apart; None for too few of them."""
    if len(times) < LEAST:
        return None
    phases = [((at - times[0]) * 1000) % every_ms for at in times]
    # The middle of a circle: the phase that is nearest to all the others among some of them.
    middle = min(
        phases[:: max(len(phases) // 50, 1)],
        key=lambda one: sorted(_apart(one, each, every_ms) for each in phases)[len(phases) // 2],
    )
    apart = sorted(_apart(middle, each, every_ms) for each in phases)
    return apart[min(ceil(len(apart) * percent / 100), len(apart)) - 1]


def _apart(one: float, other: float, every_ms: float) -> float:
    apart = abs(one - other)
    return min(apart, every_ms - apart)


def percent_of_a_core(samples: Sequence[tuple[float, float]]) -> float | None:
    """Return it, from (time, CPU seconds until then) of one process; None when that was seen for less than a second."""
    if len(samples) < 2 or (wall := samples[-1][0] - samples[0][0]) < 1:
        return None
    return 100 * (samples[-1][1] - samples[0][1]) / wall


def compared(event: str, drill: Mapping[str, Any], asks: Sequence[Ask], opened: Mapping[int, Sequence[float]]) -> dict[str, Any]:
    """Return the figures of one event. ``drill`` is what the drill has kept of its clients (RUN.clients.json)."""
    begin, end, every = drill["began_s"], drill["ended_s"], drill["every_ms"]
    vip = drill["vip"]
    probe = longest(asks, begin, end)
    kept = max(vip["gaps"], key=lambda each: each["ms"], default=None)
    paused, own = pause_ms(asks), kept["own_ms"] if kept else 0.0
    differs = vip["longest_gap_ms"] - probe.ms
    return {
        "event": event,
        "every_ms": every,
        "drill_ms": vip["longest_gap_ms"],
        "probe_ms": round(probe.ms, 1),
        "differs_ms": round(differs, 1),
        "begins_differ_ms": round((kept["begin_s"] - probe.begin_s) * 1000, 1) if kept else None,
        "agrees": agreement(vip["longest_gap_ms"], own, probe.ms, every, paused),
        "own_ms": own,
        "probe_pause_ms": round(paused, 1),
        "requests": vip["requests"],
        "probe_requests": len(asks),
        "jitter_ms": jitter_ms(quiet(other_begins(opened, asks), begin, end, vip["gaps"]), drill.get("quick_ms") or every),
        "pause_ms": drill["itself"]["longest_pause_ms"],
    }
