"""What a client of the VIP saw: the probes of one event, and the figures that are made of them."""

from __future__ import annotations

import subprocess
import sys
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from threading import Thread
from typing import IO, TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from types import TracebackType

    from bench.twin import Twin

EVERY_MS = 20
NOTICED_S = 0.5  # an answer within this time is service; a SYN that was lost comes back after a second
SLOW_S = 0.2
LONGEST_S = 150


class Sample(NamedTuple):
    """One probe: when it started, how long it took, and the server's name or "-REASON"."""

    start: float
    seconds: float
    result: str

    @property
    def answered(self) -> bool:
        """Whether bytes of a server came back at all."""
        return not self.result.startswith("-")

    @property
    def good(self) -> bool:
        """Whether they came soon enough to be called service."""
        return self.answered and self.seconds <= NOTICED_S


@dataclass(frozen=True, slots=True)
class Seen:
    """The figures of one event. ``outage_ms`` is the longest time from a bad probe's start to the next good one's."""

    tried: int
    failed: int
    slow: int
    over_1s: int
    worst_ms: float
    outage_ms: float
    endless: bool
    servers: dict[str, int]
    reasons: dict[str, int]


def outages(samples: Sequence[Sample]) -> Iterator[tuple[float, float, bool]]:
    """Yield (start, seconds, ended) of every stretch without a good answer. ``samples`` are in the order of their starts."""
    since = None
    for sample in samples:
        if not sample.good and since is None:
            since = sample.start
        elif sample.good and since is not None:
            yield since, sample.start - since, True
            since = None
    if since is not None:
        yield since, samples[-1].start - since + EVERY_MS / 1000, False


def figures(samples: Sequence[Sample]) -> Seen:
    """Return what ``samples`` say. Pure."""
    gaps = list(outages(samples))
    longest = max(gaps, key=lambda gap: gap[1], default=(0.0, 0.0, True))
    answered = [sample.seconds for sample in samples if sample.answered]
    return Seen(
        tried=len(samples),
        failed=sum(not sample.answered for sample in samples),
        slow=sum(sample.seconds > SLOW_S for sample in samples),
        over_1s=sum(sample.seconds > 1 for sample in samples),
        worst_ms=round(max(answered, default=0.0) * 1000, 1),
        outage_ms=round(longest[1] * 1000),
        endless=not longest[2] and longest[1] > SLOW_S,  # one lost probe at the very end is not an outage without an end
        servers=dict(Counter(sample.result for sample in samples if sample.answered)),
        reasons=dict(Counter(sample.result for sample in samples if not sample.answered)),
    )


class Probing:
    """A client on worker1 that probes while the block runs; ``samples`` are complete after it."""

    def __init__(self, twin: Twin, timeout_s: float = 3) -> None:
        self.samples: list[Sample] = []
        command = [sys.executable, str(Path(__file__).with_name("probe.py")), twin.vip, str(twin.port)]
        words = [*command, str(EVERY_MS), str(timeout_s), str(LONGEST_S)]
        # The client must not be what is slow: it gets its turn before the load that an event makes.
        self._argv = twin.lab.netns_of(twin.client, ["nice", "-n", "-15", *words])
        self._timeout_s = timeout_s

    def __enter__(self) -> Probing:
        self._process = subprocess.Popen(self._argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout
        self._reader = Thread(target=self._read, args=(self._process.stdout,), daemon=True)
        self._reader.start()
        while not self.samples and self._process.poll() is None:
            time.sleep(0.01)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        assert self._process.stdin
        self._process.stdin.close()
        try:
            self._process.wait(self._timeout_s + 5)
        except subprocess.TimeoutExpired:
            self._process.kill()
        self._reader.join()
        self.samples.sort()

    def good_since(self, at: float, seconds: float) -> bool:
        """Whether all probes started in the last ``seconds`` got their answers, and some of them started after ``at``."""
        now = time.monotonic()
        recent = [sample for sample in self.samples[-200:] if now - seconds < sample.start]
        return bool(recent) and recent[-1].start > at and all(sample.good for sample in recent)

    def _read(self, stream: IO[str]) -> None:
        for line in stream:
            start, seconds, result = line.split()
            self.samples.append(Sample(float(start), float(seconds), result))


class Held:
    """Silent connections through the VIP, opened before the event; ``ended`` says when which server's were ended."""

    def __init__(self, twin: Twin, count: int) -> None:
        self.ended: list[tuple[float, str]] = []
        command = [sys.executable, str(Path(__file__).with_name("held.py")), twin.vip, str(twin.port), str(count), str(LONGEST_S)]
        self._argv = twin.lab.netns_of(twin.client, command)

    def __enter__(self) -> Held:
        self._process = subprocess.Popen(self._argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout
        self._process.stdout.readline()
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.close()
        for line in self._process.stdout:
            at, server = line.split()
            self.ended.append((float(at), server))
        self._process.wait()
