"""The measuring process: `python -m runbooks.measure.process`, with a `Plan` on its standard input. Started by `measure.start` only.

It ends in good order when it reads "stop", and by itself when its parent is gone. What it has created in the cluster it deletes.
"""

from __future__ import annotations

import asyncio
import os
import platform
import signal
import ssl
import sys
from contextlib import suppress
from itertools import count
from pathlib import Path
from time import monotonic, time
from typing import Final

import msgspec

from runbooks.engine.namespace import enter
from runbooks.errors import DiskError, RunbookError
from runbooks.measure import record
from runbooks.measure.cluster import Cluster
from runbooks.measure.connection import Client, OwnError, RequestError
from runbooks.measure.credentials import tls
from runbooks.measure.plan import STOP, Plan
from runbooks.measure.requests import Common, Requests
from runbooks.measure.rules.objects import Place
from runbooks.measure.rules.pace import Pace
from runbooks.measure.rules.register import Register
from runbooks.measure.rules.result import VIP, Data, Itself, Result
from runbooks.measure.watcher import Watcher
from runbooks.measure.writer import Writer

RECORD_S = 2
LAST_S: Final = 10.0  # for the watch's last event, then for the last reads
MOST_INPUT = 4 * 1024**2
ORPHANED_S = 20  # after the parent is gone: time to delete what was created


class Measurement:
    """One measurement, from the creation of its object to its last record."""

    def __init__(self, plan: Plan) -> None:
        context, headers = tls(plan.kubeconfig)
        self._plan = plan
        self._began_s = time()
        self._common = Common(
            client=Client(plan, context, headers, {plan.address: plan.name_of_vip}),
            place=Place(plan.object),
            register=Register(self._began_s),
            address=plan.address,
            port=plan.port,
            pace=Pace(plan.every_ms / 1000, plan.every_ms / 1000 / plan.quick),
            timeout_s=plan.timeout_s,
        )
        self._cluster = Cluster(self._common)
        self._versions = {**plan.versions, "python": platform.python_version(), "openssl": ssl.OPENSSL_VERSION}
        self._vip = Requests(self._common, VIP, plan.address, plan.port, self._common.pace)
        self._servers = {
            name: Requests(
                self._common, name, address, port, Pace(plan.servers_every_ms / 1000, plan.servers_every_ms / 1000 / plan.quick)
            )
            for name, (address, port) in plan.servers.items()
        }
        self._final: dict[str, int] = {}
        self._unread: dict[str, str] = {}
        self._left = ""
        self._complete = False

    async def run(self, told: asyncio.Task[bytes]) -> None:
        """Measure until ``told`` is done: the command that says "stop", or anything else when the parent is gone.

        Raises RunbookError when it cannot begin.
        """
        try:
            version = await self._cluster.create()
            await self._measure(version, told)
        finally:
            self._left = await self._cluster.delete()
        record.write(Path(self._plan.result), self._result())

    async def _measure(self, version: str, told: asyncio.Task[bytes]) -> None:
        common = self._common
        self._versions["kubernetes at the begin"] = await self._cluster.version()
        self._began_s = time()
        self._writer, self._watcher = Writer(common, version), Watcher(common, version)
        besides = [asyncio.create_task(self._watcher.run()), asyncio.create_task(self._housekeeping())]
        tasks = [asyncio.create_task(self._vip.run(common.own)), asyncio.create_task(self._writer.run())]
        tasks += [asyncio.create_task(each.run()) for each in self._servers.values()]
        try:
            await asyncio.wait([told, *besides, *tasks], return_when=asyncio.FIRST_COMPLETED)
            stopped = monotonic()
            common.stop.set()
            if told.done() and told.result() == STOP:
                await asyncio.gather(*tasks)
                await self._finish()
            self._watcher.end(stopped)
            for task in (*besides, *tasks):
                if task.done():
                    task.result()  # an error is a bug, and is shown as one
        finally:
            for task in (*besides, *tasks):
                task.cancel()

    async def _finish(self) -> None:
        """Let the watch deliver the last write, and read what is stored in the end, everywhere."""
        common, deadline = self._common, monotonic() + LAST_S
        while not self._watcher.up_to_date and monotonic() < deadline:
            await asyncio.sleep(0.05)
        servers = {VIP: (common.address, common.port), **self._plan.servers}
        await asyncio.gather(*(self._last_read(where, *server) for where, server in servers.items()))
        self._versions["kubernetes at the end"] = await self._cluster.version()
        self._complete = True

    async def _last_read(self, where: str, address: str, port: int) -> None:
        """Read once more; an answer that is too old, or none, is asked for again for a while: at least once, also when the first one hangs."""
        begun = monotonic()
        for again in count():
            try:
                found, _ = await self._common.read(address, port, where)
            except (RequestError, OwnError) as error:
                self._unread[where] = str(error)
            else:
                self._unread.pop(where, None)
                self._final[where] = found.number
                if found.number >= self._common.register.known:
                    return
            if again and monotonic() > begun + LAST_S:
                return
            await asyncio.sleep(self._common.pace.every_s)

    async def _housekeeping(self) -> None:
        """Look after the watch, and record what was seen so far. The disk may be slow: writing waits in a thread of its own."""
        while True:
            record_now = asyncio.to_thread(record.write, Path(self._plan.result), self._result())
            with suppress(DiskError):  # the last record says so
                await record_now
            for _ in range(RECORD_S):
                await asyncio.sleep(1)
                self._watcher.look_after()

    def _result(self) -> Result:
        register, own = self._common.register, self._common.own
        return Result(
            began_s=self._began_s,
            ended_s=time(),
            every_ms=self._plan.every_ms,
            quick_ms=self._plan.every_ms / self._plan.quick,
            servers_every_ms=self._plan.servers_every_ms,
            timeout_s=self._plan.timeout_s,
            complete=self._complete,
            versions=dict(self._versions),
            vip=self._vip.result(),
            servers={name: each.result() for name, each in self._servers.items()},
            reused=self._writer.result(),
            watch=self._watcher.result(),
            data=Data(
                acknowledged=register.acknowledged,
                refused=register.refused,
                unknown=register.unknown,
                known=register.known,
                attempted=register.attempted,
                reads=register.reads,
                lost=tuple(register.lost),
                stale=tuple(register.stale),
                stale_reads=register.stale_reads,
                invented=register.invented,
                final=dict(self._final),
                unread=dict(self._unread),
                forgotten=register.forgotten,
            ),
            itself=Itself(
                missed=own.missed,
                longest_pause_ms=round(own.longest_ms, 1),
                pauses=own.pauses(),
                clock_jumps=own.jumps,
                troubles=dict(own.troubles),
            ),
            left=self._left,
        )


async def _main() -> None:
    loop, given = asyncio.get_running_loop(), asyncio.StreamReader(limit=MOST_INPUT)
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(given), sys.stdin)
    plan = msgspec.json.decode(await given.readline(), type=Plan)
    with suppress(PermissionError):
        os.setpriority(os.PRIO_PROCESS, 0, plan.niceness)
    enter(plan)
    told = asyncio.create_task(_told(given))
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        loop.add_signal_handler(number, told.cancel)
    await Measurement(plan).run(told)


async def _told(given: asyncio.StreamReader) -> bytes:
    """Return the command of the parent, b"" when it is gone or when this process was signalled to end: then it has to be over soon."""
    with suppress(asyncio.CancelledError):
        command = await given.readline()
        if command == STOP:
            return command
    signal.alarm(ORPHANED_S)
    return b""


def main() -> int:
    """Measure; return the exit status. An error for the operator is printed as JSON."""
    try:
        asyncio.run(_main())
    except RunbookError as error:
        said = {"error": str(error), "hint": error.hint, "exit": error.exit_code}
        sys.stderr.write(msgspec.json.encode(said).decode() + "\n")
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
