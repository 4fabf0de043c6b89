"""A private place to restore a snapshot in, and an etcd that runs there. Both are gone afterwards, however it ends."""

from __future__ import annotations

import fcntl
import math
import os
import shutil
import signal
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event, Thread
from types import FrameType, TracebackType

from runbooks.backup.run.keep_tools import API, NAME, PEER, Tools, clean
from runbooks.backup.sets.store import SCRATCH, Store
from runbooks.commands.backup import ROOM
from runbooks.errors import CommandError, OutcomeError
from runbooks.local import programs
from runbooks.local.disk import require_room

# Sockets in etcd's own working directory: a path of theirs may not be longer than some 100 characters, that of the sets may.
# The number is no port; before 3.5 etcd insists on one.
CLIENT, PEERS = "unix://client:1", "unix://peer:1"
BOOT_S = 120


@contextmanager
def interruptible() -> Iterator[None]:
    """Let the signals that end us raise KeyboardInterrupt, once: what follows it is tidying up, which nothing interrupts."""

    def handle(number: int, frame: FrameType | None) -> None:
        for each in before:
            signal.signal(each, signal.SIG_IGN)
        raise KeyboardInterrupt

    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    for number in before:
        signal.signal(number, handle)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def scratch(store: Store, size: int) -> Iterator[Path]:
    """A hidden directory (0700) on the disk of the sets, for ``size`` bytes and a write-ahead log.

    Raises PrecheckError when the disk has less. What proofs that were killed have left goes first.
    """
    store.prepare()
    for path in store.abandoned():
        shutil.rmtree(path, ignore_errors=True)
    require_room(store.directory, size + ROOM, "restoring a snapshot there takes")
    path = Path(tempfile.mkdtemp(prefix=".born-", dir=store.directory))
    try:
        handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
            path = path.rename(path.with_name(SCRATCH + path.name.removeprefix(".born-")))  # so called only while it is held
            yield path
        finally:
            os.close(handle)
    finally:
        shutil.rmtree(path, ignore_errors=True)


class Member:
    """An etcd on the data directory ``data`` below ``directory``. It listens on nothing but sockets in ``directory``."""

    def __init__(self, tools: Tools, directory: Path, data: str) -> None:
        self._tools, self._directory = tools, directory
        self._words = [
            *(str(tools.etcd), f"--data-dir={data}", f"--name={NAME}", f"--initial-cluster={NAME}={PEER}"),
            *(f"--listen-client-urls={CLIENT}", "--advertise-client-urls=http://127.0.0.1:2379"),
            *(f"--listen-peer-urls={PEERS}", f"--initial-advertise-peer-urls={PEER}"),
        ]
        self._stop = Event()
        self._failed: list[str] = []
        self._thread = Thread(target=self._run, daemon=True)

    def __enter__(self) -> Member:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._stop.set()
        self._thread.join()

    def ask(self, *words: str, stdin: str | None = None, timeout_s: float = 120) -> str:
        """Return what etcdctl prints. Raises CommandError."""
        line = [str(self._tools.etcdctl), f"--endpoints={CLIENT}", f"--command-timeout={timeout_s:g}s", *words]
        return programs.run(clean(line), stdin=stdin, cwd=self._directory, environ=API, timeout_s=timeout_s + 10).stdout

    def ready(self) -> str:
        """Wait until it answers, and return its status as JSON. Raises OutcomeError when it ends, or never answers."""
        deadline = time.monotonic() + BOOT_S
        while True:
            if self._failed:
                raise OutcomeError(f"etcd does not start from this snapshot: {self._failed[0]}")
            try:
                return self.ask("endpoint", "status", "-w", "json", timeout_s=2)
            except CommandError as error:
                if time.monotonic() > deadline:
                    raise OutcomeError(f"etcd was started, but it does not answer within {BOOT_S} s: {error}") from None
                time.sleep(0.05)

    def _run(self) -> None:
        try:
            programs.run(programs.bound(clean(self._words)), cwd=self._directory, stop=self._stop.is_set, timeout_s=math.inf)
            self._failed.append("it ended by itself")
        except KeyboardInterrupt:
            pass  # that was us
        except (CommandError, OSError) as error:
            first, *rest = str(error).splitlines() or [""]
            self._failed.append("\n".join(rest) or first)
