"""Sessions of one SSH connection: opened one after the other where sshd allows only a few at a time (MaxSessions)."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Condition, Lock, get_ident
from typing import Any

import paramiko

PATIENCE_S = 30  # sshd frees a session that we have left only when its program has ended: session.sh takes up to 10 s for that
SETTLE_S = 0.3  # ... and usually a moment after the program's answer: a refusal that lasts longer is sshd's limit
FIRST_PAUSE_S, POLL_S = 0.02, 0.5


class NoSession(paramiko.SSHException):
    """The login has worked, but sshd opens no session. The text says why."""


class Slots:
    """Counts the open sessions of a connection, and learns from the first refusal how many sshd allows.

    Thread-safe. A session that cannot be opened now waits until another one has ended; never in vain: when nobody else has one, or
    only the waiting thread itself, it is an error.
    """

    def __init__(self, go_on: Callable[[], None] = lambda: None) -> None:
        self._go_on = go_on  # called while waiting; raises to end the wait
        self._opening = Lock()  # one at a time, so that a refusal says how many fit
        self._changed = Condition()
        self._holders: list[int] = []
        self._any = False  # before the first session, none can be left over on the host
        self._limit: int | None = None

    @contextmanager
    def session(self, open_channel: Callable[[], Any]) -> Iterator[Any]:
        """Open a session with ``open_channel`` as soon as there is room for it; it counts as open until the block ends.

        Raises NoSession, or what ``open_channel`` raises.
        """
        with self._opening:
            channel = self._opened(open_channel)
            with self._changed:
                self._any = True
                self._holders.append(get_ident())
        try:
            yield channel
        finally:
            with self._changed:
                self._holders.remove(get_ident())
                self._changed.notify_all()

    def _opened(self, open_channel: Callable[[], Any]) -> Any:
        refused_since, pause = 0.0, FIRST_PAUSE_S
        while True:
            self._await_room()
            try:
                return open_channel()
            except paramiko.ChannelException:
                refused_since = refused_since or time.monotonic()
            waited = time.monotonic() - refused_since
            with self._changed:
                others = len(self._holders)
                if others and waited >= SETTLE_S:
                    self._limit, refused_since, pause = others, 0.0, FIRST_PAUSE_S
            if not others and (waited >= PATIENCE_S or not self._any):
                raise NoSession("it refuses even a single one (MaxSessions 0?)")
            self._go_on()
            time.sleep(pause)
            pause = min(2 * pause, POLL_S)

    def _await_room(self) -> None:
        with self._changed:
            while self._limit is not None and len(self._holders) >= self._limit:
                if set(self._holders) == {get_ident()}:
                    raise NoSession(f"it allows {self._limit} at a time (MaxSessions), and this needs one more")
                self._changed.wait(POLL_S)
                self._go_on()
