"""The result of a measurement, as it is kept in JSON. All times are in seconds since 1970, durations in ms unless they say otherwise."""

from __future__ import annotations

from dataclasses import dataclass, field

from runbooks.measure.rules.gaps import Gap, Pause
from runbooks.measure.rules.register import Lost, Stale

VIP = "VIP"
METHOD = (
    "HTTP/1.1 over TLS. A new connection reads one object of ours, consistently (GET without resourceVersion), every {every_ms:g} ms, "
    "and every {quick_ms:g} ms while something fails or is waited for; one that has no answer after {timeout_s:g} s has failed; a failed one is tried once more after {every_ms:g} ms. One connection "
    "that is used again writes and reads that object at the same interval; one more watches it. Nothing else is retried."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class NewConnections:
    """Requests that each had a connection of their own.

    failed              of the first attempts; ``failed_after_retry``: of these, those whose one retry failed too.
    reasons             how many of the first attempts failed why: "hang", "refused", "reset", "closed", "HTTP 503", ...
    median_ms, p99_ms   of the answers to first attempts, rounded up by at most 20 %.
    longest_gap_ms      the longest time for which nobody was served, see `gaps.Waits`.
    gaps                the longest gaps that are longer than one interval; ``gaps_in_all``: how many there were.
    """

    requests: int = 0
    failed: int = 0
    failed_after_retry: int = 0
    reasons: dict[str, int] = field(default_factory=dict)
    median_ms: float = 0
    p99_ms: float = 0
    slowest_ms: float = 0
    longest_gap_ms: float = 0
    gaps: tuple[Gap, ...] = ()
    gaps_in_all: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Reused:
    """The connection that is used again.

    cut     how often the other side ended it, also in good order; ``hung``: how often it was given up after a request without an answer.
    failed  requests and attempts to connect again that failed.
    """

    requests: int = 0
    failed: int = 0
    reasons: dict[str, int] = field(default_factory=dict)
    cut: int = 0
    hung: int = 0
    longest_silence_ms: float = 0
    silences: tuple[Gap, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Watch:
    """The watch.

    resumed     how often it had to be opened again; ``longest_resume_ms`` is the longest time that took, from its end.
    hung        how often it was given up because it stayed silent although a write was acknowledged.
    relisted    how often it could not go on where it had ended (410 Gone), so that nothing can be said of what lies between.
    missing     stored writes that it left out; ``duplicates`` and ``reordered``: events that it delivered twice or too late.
    undelivered stored writes that it had not delivered when the measurement ended.
    deleted     events that said that the object was deleted.
    """

    events: int = 0
    resumed: int = 0
    longest_resume_ms: float = 0
    hung: int = 0
    relisted: int = 0
    missing: int = 0
    undelivered: int = 0
    duplicates: int = 0
    reordered: int = 0
    deleted: int = 0
    reasons: dict[str, int] = field(default_factory=dict)
    longest_silence_ms: float = 0
    silences: tuple[Gap, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Data:
    """What became of the writes, and what was read.

    acknowledged, refused (certainly not carried out) and unknown (it may have been) are all the writes.
    lost        acknowledged writes that were gone; the first 20.
    stale       reads that were older than what was known when they began; the first 20 of ``stale_reads``.
    invented    reads of a number that nobody had written.
    final       what the last read returned, by where it was read; ``unread``: why nothing was read there.
    forgotten   more writes without an answer than are remembered: what a watch missed cannot be told.
    """

    acknowledged: int = 0
    refused: int = 0
    unknown: int = 0
    known: int = 0
    attempted: int = 0
    reads: int = 0
    lost: tuple[Lost, ...] = ()
    stale: tuple[Stale, ...] = ()
    stale_reads: int = 0
    invented: int = 0
    final: dict[str, int] = field(default_factory=dict)
    unread: dict[str, str] = field(default_factory=dict)
    forgotten: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Itself:
    """The measuring process: when it did not run, requests that it could not begin, and how often the machine's clock was set."""

    missed: int = 0
    longest_pause_ms: float = 0
    pauses: tuple[Pause, ...] = ()
    clock_jumps: int = 0
    troubles: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What clients saw.

    every_ms    the interval of new connections through the VIP, and of writes, while all is well; ``quick_ms``: otherwise.
    complete    whether it was ended by the command that began it, and the last reads were made.
    versions    of Kubernetes at the begin and at the end, of Python and OpenSSL, and what the caller has added.
    vip         new connections through the VIP; ``servers``: to the API server of each host directly, every ``servers_every_ms``.
    left        what could not be deleted at the end, as a command that deletes it.
    """

    began_s: float
    ended_s: float
    every_ms: float
    quick_ms: float = 0
    servers_every_ms: float = 0
    timeout_s: float
    complete: bool = False
    versions: dict[str, str] = field(default_factory=dict)
    vip: NewConnections = field(default_factory=NewConnections)
    servers: dict[str, NewConnections] = field(default_factory=dict)
    reused: Reused = field(default_factory=Reused)
    watch: Watch = field(default_factory=Watch)
    data: Data = field(default_factory=Data)
    itself: Itself = field(default_factory=Itself)
    left: str = ""
    format: int = 1

    @property
    def method(self) -> str:
        """How it was measured, in a few sentences."""
        return METHOD.format(every_ms=self.every_ms, quick_ms=self.quick_ms or self.every_ms, timeout_s=self.timeout_s)
