"""The connection that is used again: it writes the object and reads it back, one request after the other. Nothing is retried."""

from __future__ import annotations

import asyncio
from collections import Counter
from time import monotonic, time
from typing import Final

from runbooks.measure.connection import HANG, Answer, Connection, NotSentError, OwnError, RequestError, UnansweredError
from runbooks.measure.requests import Common
from runbooks.measure.rules import objects
from runbooks.measure.rules.gaps import Waits, with_pauses
from runbooks.measure.rules.register import GONE, Stored
from runbooks.measure.rules.result import Reused

CONFIRM_S: Final = 3.0  # an older value that is read for so long, each time by a new connection, is all there is
CERTAINLY_NOT: Final = {400, 401, 403, 404, 405, 409, 413, 415, 422, 429}  # the API server has not carried the write out


class Writer:
    """Writes increasing numbers, one every interval; ``connect`` says which of several API servers answers is up to the LB."""

    def __init__(self, common: Common, version: str) -> None:
        self._common = common
        self._version = version  # resourceVersion that the next write replaces, "" when it has to be read first
        self._connection: Connection | None = None
        self._older_since: float | None = None
        self._waits = Waits(common.pace.every_s * 1000, 10)
        self._reasons: Counter[str] = Counter()
        self._requests = self._cut = self._hung = 0
        self._stopped: float | None = None

    async def run(self) -> None:
        """Write and read until ``stop`` is set, half an interval after new connections begin: these are to read what was acknowledged."""
        await asyncio.sleep(self._common.pace.every_s / 2)
        planned = monotonic()
        while not self._common.stop.is_set():
            try:
                await self._turn()
            except OwnError as error:
                self._common.own.trouble(str(error))
            except RequestError:
                pass  # it is counted
            now = monotonic()
            planned = max(planned + self._common.pace.interval(now), now)
            await asyncio.sleep(planned - now)
        self._stopped = monotonic()
        self._drop()

    def result(self) -> Reused:
        """Return the figures until now."""
        now = self._stopped or monotonic()
        return Reused(
            requests=self._requests,
            failed=self._reasons.total(),
            reasons=dict(self._reasons),
            cut=self._cut,
            hung=self._hung,
            longest_silence_ms=self._waits.longest_until(now),
            silences=with_pauses(self._waits.gaps(now), self._common.own.pauses()),
        )

    async def _turn(self) -> None:
        if not self._version:
            await self._find_out()
        else:
            await self._write()
            await self._read()

    async def _write(self) -> None:
        await self._store("PUT", self._common.place.object)

    async def _create(self) -> None:
        """Create the object again, and its namespace, which may be gone too."""
        await self._ask(await self._connect(), "POST", self._common.place.new_namespace(), objects.NAMESPACES)
        await self._store("POST", self._common.place.collection)

    async def _store(self, method: str, path: str) -> None:
        """Write the next number, in place of the version that is known. Raises RequestError unless that was acknowledged."""
        register = self._common.register
        connection = await self._connect()
        wanted = Stored(number=register.attempt(), at_s=time(), acknowledged=register.acknowledged)
        body, self._version = self._common.place.wanted(wanted, self._version), ""
        try:
            answer = await self._ask(connection, method, body, path)
        except (UnansweredError, OwnError):
            register.was_unknown()
            raise
        if answer.good:
            register.was_acknowledged(wanted.number, wanted.at_s)
            self._version = self._version_in(answer)
            return
        if answer.status in CERTAINLY_NOT:
            register.was_refused()
        else:
            register.was_unknown()
        raise RequestError(f"HTTP {answer.status}")

    async def _read(self) -> tuple[Stored, str]:
        connection = await self._connect()
        floor = self._common.register.known
        answer = await self._ask(connection, "GET")
        return self._common.judged(answer.status, answer.body, floor, "reused connection")

    async def _find_out(self) -> None:
        """Read what is stored, and go on from there. What is older than what was acknowledged has to stay so for a while."""
        found, version = await self._read()
        if found.number >= self._common.register.known:
            self._older_since, self._version = None, version
            return
        self._older_since = self._older_since or monotonic()
        if monotonic() - self._older_since < CONFIRM_S:
            self._drop()  # by the next connection another API server may answer
            return
        self._older_since = None
        self._common.register.is_lost(found, time())
        self._version = version
        if found.number == GONE:
            await self._create()

    async def _connect(self) -> Connection:
        if self._connection and self._connection.ended:
            self._cut += 1
            self._drop()
        if not self._connection:
            at = monotonic()
            self._waits.begun(at, time() - at)
            try:
                self._connection = await self._common.client.open(self._common.address, self._common.port, self._common.until)
            except NotSentError as error:
                self._fail(at, error.reason)
                raise
            except OwnError:
                self._waits.forget(at)
                raise
        return self._connection

    async def _ask(self, connection: Connection, method: str, body: bytes = b"", path: str = "") -> Answer:
        at = monotonic()
        self._waits.begun(at, time() - at)
        self._requests += 1
        try:
            answer = await connection.ask(method, path or self._common.place.object, self._common.until, body)
        except UnansweredError as error:
            self._fail(at, error.reason)
            if error.reason == HANG:
                self._hung += 1
            else:
                self._cut += 1
            self._drop()
            raise
        except OwnError:
            self._waits.forget(at)
            self._drop()
            raise
        if answer.good or answer.status in {404, 409}:
            self._waits.answered(at, monotonic())
        else:
            self._fail(at, f"HTTP {answer.status}")
        if answer.last:
            self._cut += 1
            self._drop()
        return answer

    def _fail(self, at: float, reason: str) -> None:
        self._reasons[reason] += 1
        self._waits.failed(at, reason)
        self._common.pace.trouble(monotonic())

    def _drop(self) -> None:
        if self._connection:
            self._connection.close()
        self._connection = None

    @staticmethod
    def _version_in(answer: Answer) -> str:
        try:
            return objects.parse(answer.body)[1]
        except ValueError:
            return ""  # it is read before the next write
