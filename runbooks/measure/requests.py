"""New connections: one request each, none waits for another."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from time import monotonic, time
from typing import Final

from runbooks.measure.connection import Client, OwnError, RequestError
from runbooks.measure.rules import objects
from runbooks.measure.rules.gaps import Durations, Own, Waits, with_pauses
from runbooks.measure.rules.pace import Pace
from runbooks.measure.rules.register import GONE, Register, Stored
from runbooks.measure.rules.result import NewConnections

LATE: Final = 0.9  # of an interval: what began at the last one and has no answer yet


@dataclass(frozen=True, slots=True, kw_only=True)
class Common:
    """What all parts of the measuring process share."""

    client: Client
    place: objects.Place
    register: Register
    address: str
    port: int
    pace: Pace
    timeout_s: float
    own: Own = field(default_factory=Own)
    stop: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def until(self) -> float:
        """When a request that begins now has to be over, on the monotonic clock."""
        return monotonic() + self.timeout_s

    async def read(self, address: str, port: int, where: str) -> tuple[Stored, str]:
        """Read the object once by a new connection, judge what was read, and return it with its resourceVersion.

        Raises RequestError, OwnError.
        """
        until = self.until
        connection = await self.client.open(address, port, until)
        floor = self.register.known
        try:
            answer = await connection.ask("GET", self.place.object, until, last=True)
        finally:
            connection.close()
        return self.judged(answer.status, answer.body, floor, where)

    def judged(self, status: int, body: bytes, floor: int, where: str) -> tuple[Stored, str]:
        """Judge an answer to a read that began when ``floor`` was known. Raises RequestError when it is not an answer to a read."""
        if status == 404:
            found, version = Stored(number=GONE), ""
        elif status == 200:
            try:
                found, version = objects.parse(body)
            except ValueError:
                raise RequestError("not our object") from None
        else:
            raise RequestError(f"HTTP {status}")
        self.register.read(floor, found.number, where, time())
        return found, version


class Requests:
    """New connections to one address, at regular times."""

    def __init__(self, common: Common, where: str, address: str, port: int, pace: Pace) -> None:
        self._common, self._where, self._address, self._port, self._pace = common, where, address, port, pace
        in_flight = int(2 * common.timeout_s / pace.quick_s) + 10
        self._waits = Waits(pace.every_s * 1000, in_flight)
        self._durations = Durations()
        self._reasons: Counter[str] = Counter()
        self._requests = self._failed = self._failed_after_retry = 0
        self._running: set[asyncio.Task[None]] = set()
        self._stopped: float | None = None
        self._bug: BaseException | None = None

    async def run(self, own: Own | None = None) -> None:
        """Begin requests until ``stop`` is set, and wait for those that have begun. ``own`` is told how punctual that is.

        Raises PrecheckError when the guard of `engine.namespace` refuses a connection; then everything stops.
        """
        try:
            await regularly(self._interval, self._begin, self._common.stop, own)
            self._stopped = monotonic()
            if self._running:
                await asyncio.wait(self._running)
        finally:
            for each in self._running:  # it is abandoned: what is deleted now is not to be read
                each.cancel()
        if self._bug:
            raise self._bug

    def result(self) -> NewConnections:
        """Return the figures until now."""
        now = self._stopped or monotonic()
        return NewConnections(
            requests=self._requests,
            failed=self._failed,
            failed_after_retry=self._failed_after_retry,
            reasons=dict(self._reasons),
            median_ms=self._durations.percentile(50),
            p99_ms=self._durations.percentile(99),
            slowest_ms=round(self._durations.longest_ms, 1),
            longest_gap_ms=self._waits.longest_until(now),
            gaps=with_pauses(self._waits.gaps(now), self._common.own.pauses()),
            gaps_in_all=self._waits.longest.count,
        )

    def _interval(self, now: float) -> float:
        if self._waits.waiting_s(now) > self._pace.every_s * LATE:
            self._pace.trouble(now)
        return self._pace.interval(now)

    def _begin(self) -> None:
        at = monotonic()
        self._waits.begun(at, time() - at)
        task = asyncio.create_task(self._request(at))
        self._running.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._running.discard(task)
        if not task.cancelled() and task.exception():
            self._bug = self._bug or task.exception()
            self._common.stop.set()

    async def _request(self, at: float) -> None:
        try:
            await self._attempt()
        except OwnError as error:
            self._waits.forget(at)
            self._common.own.trouble(str(error))
            return
        except RequestError as error:
            self._requests += 1
            self._failed += 1
            self._reasons[error.reason] += 1
            self._waits.failed(at, error.reason)
            self._pace.trouble(monotonic())
            await self._again()
            return
        now = monotonic()
        self._requests += 1
        self._waits.answered(at, now)
        self._durations.add((now - at) * 1000)

    async def _attempt(self) -> None:
        await self._common.read(self._address, self._port, self._where)

    async def _again(self) -> None:
        await asyncio.sleep(self._pace.every_s)
        try:
            await self._attempt()
        except OwnError as error:
            self._common.own.trouble(str(error))
            self._failed_after_retry += 1  # nothing is known of it: never to be taken for an answer
        except RequestError:
            self._failed_after_retry += 1


async def regularly(
    interval: Callable[[float], float], act: Callable[[], None], stop: asyncio.Event, own: Own | None = None
) -> None:
    """Call ``act`` every ``interval(now)`` seconds until ``stop`` is set; times that have passed are left out, and counted."""
    planned = monotonic()
    while not stop.is_set():
        now = monotonic()
        if own:
            own.tick(planned, now, time())
        act()
        every_s = interval(now)
        planned += every_s
        if (behind := now - planned) > 0:
            skipped = int(behind / every_s) + 1
            planned += skipped * every_s
            if own:
                own.missed += skipped
        await asyncio.sleep(max(planned - monotonic(), 0))
