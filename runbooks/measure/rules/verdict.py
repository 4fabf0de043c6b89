"""What a measurement proves. What was not seen is never taken for good."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from runbooks.measure.rules.register import GONE
from runbooks.measure.rules.result import VIP, Result
from runbooks.measure.rules.words import at, seconds
from runbooks.rules.finding import Finding, Severity
from runbooks.text import counted, listed

Word = Literal["held", "violated", "could not tell"]
PLACES = 3  # of several places of the same trouble, so many are named


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether a promise was held, and if not, why not or why that is not known."""

    word: Word
    why: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What clients may see at most. ``cuts``: how often the reused connection may be cut, once for each master."""

    gap_ms: float
    cuts: int
    failed_after_retry: int = 0
    resume_ms: float = 1000


def data(result: Result) -> Verdict:
    """Return whether no acknowledged write was lost, no read was too old, and the watch delivered each write once and in order."""
    if wrong := (*_wrong(result), *_wrong_in_watch(result)):
        return Verdict("violated", wrong)
    if unknown := tuple(_not_told(result)):
        return Verdict("could not tell", unknown)
    return Verdict("held")


def _wrong(result: Result) -> list[str]:
    found, seen = [], result.data
    for each in seen.lost[:PLACES]:
        rest = "the object was gone" if each.found == GONE else f"only {each.found} of {each.known} was there"
        lost = f"{counted(each.writes, 'acknowledged write')} of {seconds(each.seconds * 1000)}"
        found.append(f"{lost} lost, seen at {at(each.at_s)}: {rest}")
    if seen.stale_reads:
        first = seen.stale[0]
        last = "nothing" if first.found == GONE else str(first.found)
        older = f"{counted(seen.stale_reads, 'read')} older than what was acknowledged before"
        found.append(f"{older}, the first at {at(first.at_s)} ({first.where}: {last} instead of {first.expected})")
    if seen.invented:
        found.append(f"{counted(seen.invented, 'read')} of a number that was not written yet")
    for where, number in seen.final.items():
        if number < seen.known:
            last = "nothing is" if number == GONE else f"{number} is"
            found.append(f"{where}: {last} there at the end, but {seen.known} was acknowledged")
    return found


def _wrong_in_watch(result: Result) -> list[str]:
    watch = result.watch
    return [
        *([f"the watch left {counted(watch.missing, 'write')} out"] if watch.missing and not result.data.forgotten else []),
        *([f"the watch delivered {counted(watch.duplicates, 'write')} twice"] if watch.duplicates else []),
        *([f"the watch delivered {counted(watch.reordered, 'write')} out of order"] if watch.reordered else []),
    ]


def _not_told(result: Result) -> list[str]:
    found, seen = [], result.data
    if not result.complete:
        found.append("the measurement did not run to its end")
    if not seen.acknowledged:
        found.append("no write was acknowledged")
    if VIP not in seen.final and result.complete:
        found.append(f"the last read through the {VIP} had no answer ({seen.unread.get(VIP, 'none')})")
    if not result.watch.events:
        found.append("the watch delivered nothing")
    if result.watch.undelivered:
        found.append(f"the watch had not delivered {counted(result.watch.undelivered, 'write')} when the measurement ended")
    if result.watch.relisted:
        found.append(f"the watch could not go on where it had ended, {counted(result.watch.relisted, 'time')}")
    if seen.forgotten:
        found.append("too many writes had no answer to tell what the watch left out")
    return found


def findings(result: Result, limits: Limits) -> list[Finding]:
    """Return one finding for each thing that was measured. Only what was seen and is within ``limits`` is ok."""
    return [_new(result, limits), _reused(result, limits), _watch(result, limits), _data(result), *_itself(result)]


@dataclass(slots=True)
class _Row:
    """A finding that is put together from several judgements."""

    topic: str
    seen: list[str]
    trouble: list[str] = field(default_factory=list)

    def unless(self, good: bool, trouble: str) -> None:
        if not good:
            self.trouble.append(trouble)

    def finding(self, severity: Severity = "warn", fix: str = "") -> Finding:
        if not self.trouble:
            return Finding("ok", topic=self.topic, seen="; ".join(self.seen))
        return Finding(severity, topic=self.topic, seen="; ".join(self.seen), why="; ".join(self.trouble), fix=fix)


def _new(result: Result, limits: Limits) -> Finding:
    vip, pause_ms = result.vip, result.itself.longest_pause_ms
    longest = max(vip.gaps, key=lambda each: each.ms, default=None)
    where = f" at {at(longest.begin_s)}" if longest else ""
    row = _Row(
        "new connections",
        [
            f"{vip.requests:,} requests, {vip.failed:,} failed, {vip.failed_after_retry:,} after one retry too",
            f"longest gap {seconds(vip.longest_gap_ms)}{where}",
        ],
    )
    row.unless(result.complete, "could not tell: the measurement did not run to its end")
    row.unless(vip.requests > 0, "could not tell: there was no request")
    row.unless(pause_ms <= limits.gap_ms, f"could not tell: for {seconds(pause_ms)} the measuring process itself did not run")
    row.unless(
        vip.failed_after_retry <= limits.failed_after_retry, f"at most {limits.failed_after_retry} may fail after one retry"
    )
    row.unless(vip.longest_gap_ms <= limits.gap_ms, f"the longest gap may have {seconds(limits.gap_ms)}")
    if longest and longest.own_ms:
        row.unless(vip.longest_gap_ms <= limits.gap_ms, f"{seconds(longest.own_ms)} of it are of the measuring process itself")
    return row.finding()


def _reused(result: Result, limits: Limits) -> Finding:
    reused = result.reused
    row = _Row(
        "reused connection",
        [
            f"{reused.requests:,} requests, {reused.failed:,} failed",
            f"cut {counted(reused.cut, 'time')}, hung {counted(reused.hung, 'time')}",
            f"longest silence {seconds(reused.longest_silence_ms)}",
        ],
    )
    row.unless(result.complete, "could not tell: the measurement did not run to its end")
    row.unless(reused.requests > 0, "could not tell: there was no request")
    row.unless(reused.cut <= limits.cuts, f"it may be cut {counted(limits.cuts, 'time')}")
    row.unless(not reused.hung, "a request on it had no answer until it was given up")
    return row.finding()


def _watch(result: Result, limits: Limits) -> Finding:
    watch = result.watch
    back = f" (after {seconds(watch.longest_resume_ms)} at most)" if watch.resumed else ""
    row = _Row(
        "watch",
        [
            f"{watch.events:,} events",
            f"resumed {counted(watch.resumed, 'time')}{back}",
            f"longest silence {seconds(watch.longest_silence_ms)}",
        ],
    )
    row.unless(result.complete, "could not tell: the measurement did not run to its end")
    row.unless(watch.events > 0, "could not tell: it delivered nothing")
    row.unless(watch.longest_resume_ms <= limits.resume_ms, f"it has to be back within {seconds(limits.resume_ms)}")
    row.unless(not watch.hung, "it stayed silent until it was given up, although writes were acknowledged")
    return row.finding()


def _data(result: Result) -> Finding:
    verdict, seen = data(result), result.data
    row = _Row("data", [f"{seen.acknowledged:,} writes acknowledged, {seen.refused:,} refused, {seen.unknown:,} unknown"])
    if verdict.word == "held":
        row.seen.append("none lost, no read too old, the watch complete and in order")
        return row.finding()
    row.seen.append(verdict.word)
    row.trouble += verdict.why
    return row.finding("fail" if verdict.word == "violated" else "warn", "inv etcd.status" if verdict.word == "violated" else "")


def _itself(result: Result) -> list[Finding]:
    """Return what was wrong with the measurement itself; nothing when nothing was."""
    own, found = result.itself, []
    if own.clock_jumps:
        jumps = f"this machine's clock was set, or it slept, {counted(own.clock_jumps, 'time')}"
        found.append(Finding("warn", topic="measurement", seen=jumps, why="times may be wrong, and nothing was seen meanwhile"))
    if own.troubles:
        what = listed(f"{reason} ({number})" for reason, number in own.troubles.items())
        found.append(Finding("warn", topic="measurement", seen=f"this machine could not make requests: {what}"))
    unread = {where: why for where, why in result.data.unread.items() if where != VIP}
    if unread:
        seen = f"not read at the end, directly: {listed(f'{where} ({why})' for where, why in unread.items())}"
        found.append(Finding("note", topic="measurement", seen=seen))
    if result.left:
        found.append(Finding("warn", topic="measurement", seen="an object of ours could not be deleted", fix=result.left))
    return found
