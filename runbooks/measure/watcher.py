"""The watch of the object: what it delivers, and for how long it is silent or gone."""

from __future__ import annotations

import asyncio
from collections import Counter
from time import monotonic, time

from runbooks.measure.connection import Connection, OwnError, RequestError
from runbooks.measure.requests import Common
from runbooks.measure.rules import objects
from runbooks.measure.rules.gaps import Gap, Longest, with_pauses
from runbooks.measure.rules.register import Delivery
from runbooks.measure.rules.result import Watch


class Watcher:
    """One watch, which goes on where it ended."""

    def __init__(self, common: Common, version: str) -> None:
        self._common = common
        self._version = version  # resourceVersion of the last event; "" when the object has to be read first
        self._delivery = Delivery(common.register)
        self._connection: Connection | None = None
        self._reasons: Counter[str] = Counter()
        self._last_reason = ""
        self._silences = Longest()
        self._resumed = self._hung = 0
        self._longest_silence_ms = self._longest_resume_ms = 0.0
        self._heard = monotonic()
        self._ended_at: float | None = None  # since when there is no watch
        self._behind_since: float | None = None
        self._stopped: float | None = None
        self._hung_at: int | None = None  # how many events there were when it was given up last

    async def run(self) -> None:
        """Watch until cancelled."""
        self._heard = monotonic()
        while True:
            try:
                await self._session()
            except OwnError as error:
                self._common.own.trouble(str(error))
            except RequestError as error:
                self._reasons[error.reason] += 1
                self._last_reason = error.reason
            self._drop()
            self._ended_at = self._ended_at or monotonic()
            await asyncio.sleep(self._common.pace.every_s)

    def look_after(self) -> None:
        """Give the watch up when it stays silent although writes are acknowledged. To be called about once a second."""
        now = monotonic()
        if self.up_to_date or not self._connection:
            self._behind_since = None
        elif self._behind_since is None:
            self._behind_since = now
        elif now - max(self._behind_since, self._heard) > self._common.timeout_s:
            self._hung += 1
            if self._hung_at == self._delivery.events:
                # Again without an event: the server may know no such version yet, as after etcd was restored from a snapshot.
                self._version = ""
            self._hung_at = self._delivery.events
            self._behind_since = None
            self._connection.close()

    @property
    def up_to_date(self) -> bool:
        """Whether everything that is known to be stored was delivered."""
        return not self._delivery.undelivered

    def end(self, stopped: float) -> None:
        """End it. Nothing was written after ``stopped``, so the silence since then does not count."""
        self._stopped = stopped
        if stopped > self._heard:
            self._silence(stopped)
        self._drop()

    def result(self) -> Watch:
        """Return the figures until now."""
        now, delivery = self._stopped or monotonic(), self._delivery
        silent = (now - self._heard) * 1000
        out = (now - self._ended_at) * 1000 if self._ended_at else 0.0
        return Watch(
            events=delivery.events,
            resumed=self._resumed,
            longest_resume_ms=round(max(self._longest_resume_ms, out), 1),
            hung=self._hung,
            relisted=delivery.relisted,
            missing=delivery.missing,
            undelivered=delivery.undelivered,
            duplicates=delivery.duplicates,
            reordered=delivery.reordered,
            deleted=delivery.deleted,
            reasons=dict(self._reasons),
            longest_silence_ms=round(max(self._longest_silence_ms, silent), 1),
            silences=with_pauses(self._silences.kept(), self._common.own.pauses()),
        )

    async def _session(self) -> None:
        common = self._common
        if not self._version:
            await self._start_anew()
        self._connection = await common.client.open(common.address, common.port, common.until)
        status = await self._connection.stream(common.place.watch(self._version), common.until)
        if status == 410:
            self._version = ""
        if status != 200:
            raise RequestError(f"HTTP {status}")
        if self._ended_at:
            self._resumed += 1
            self._longest_resume_ms = max(self._longest_resume_ms, (monotonic() - self._ended_at) * 1000)
            self._ended_at = None
        while line := await self._connection.line():
            self._event(line)
        raise RequestError("closed")

    async def _start_anew(self) -> None:
        """Read the object: the API server no longer has the events since the last one."""
        found, version = await self._common.read(self._common.address, self._common.port, "watch")
        if not version:
            raise RequestError("no object")
        self._delivery.starts_from(found.number)
        self._version = version

    def _event(self, line: bytes) -> None:
        try:
            kind, stored, version = objects.parse_event(line)
        except ValueError:
            raise RequestError("not our object") from None
        if not version:
            self._version = "" if kind == "ERROR 410" else self._version
            raise RequestError(kind)
        self._silence(monotonic())
        self._version, self._last_reason = version, ""
        if kind == "DELETED":
            self._delivery.deleted += 1
        else:
            self._delivery.event(stored.number)

    def _silence(self, now: float) -> None:
        ms = (now - self._heard) * 1000
        self._longest_silence_ms = max(self._longest_silence_ms, ms)
        if ms > self._common.pace.every_s * 2000:
            self._silences.add(Gap(begin_s=self._heard + time() - monotonic(), ms=round(ms, 1), reason=self._last_reason))
        self._heard = now

    def _drop(self) -> None:
        if self._connection:
            self._connection.close()
        self._connection = None
