"""Sessions of one connection wait for each other where sshd allows only a few, and nobody waits in vain."""

import time
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier, Lock

import paramiko
import pytest

from runbooks.engine import slots
from runbooks.engine.slots import NoSession, Slots

pytestmark = pytest.mark.unit


class Sshd:
    """Refuses a session when ``allowed`` are open; it frees one ``late`` seconds after the client has left it."""

    def __init__(self, allowed: int, late: float = 0.0) -> None:
        self.allowed, self.late = allowed, late
        self.left: list[float] = []
        self.open, self.most, self.refused, self.lock = 0, 0, 0, Lock()

    def opened(self) -> str:
        with self.lock:
            self.open -= sum(at + self.late <= time.monotonic() for at in self.left)
            self.left = [at for at in self.left if at + self.late > time.monotonic()]
            if self.open >= self.allowed:
                self.refused += 1
                raise paramiko.ChannelException(2, "Connect failed")
            self.open += 1
            self.most = max(self.most, self.open)
        return "a channel"

    def closed(self) -> None:
        with self.lock:
            self.left.append(time.monotonic())


def run(room: Slots, sshd: Sshd, many: int, together: int) -> list[int]:
    """Open ``many`` sessions; each lasts until ``together`` of them are open at the same time."""
    meeting = Barrier(together)

    def one(number: int) -> int:
        with room.session(sshd.opened):
            meeting.wait(30)
            sshd.closed()
        return number

    with ThreadPoolExecutor(many) as pool:
        return list(pool.map(one, range(many)))


@pytest.mark.parametrize("allowed", [1, 4, 12])
@pytest.mark.parametrize("late", [0.0, 0.03])
def test_sessions_that_do_not_fit_wait_and_those_that_fit_do_not(allowed, late):
    sshd = Sshd(allowed, late)
    assert run(Slots(), sshd, 12, allowed) == list(range(12))
    assert sshd.most == allowed


def test_sshd_is_not_asked_again_and_again_once_the_limit_is_known():
    room, sshd = Slots(), Sshd(1)

    def second() -> None:
        with room.session(sshd.opened):
            sshd.closed()

    refused = []
    with ThreadPoolExecutor(1) as pool:
        for _ in range(2):
            with room.session(sshd.opened):
                waiting = pool.submit(second)
                time.sleep(2 * slots.SETTLE_S)
                sshd.closed()
            waiting.result(timeout=60)
            refused.append(sshd.refused)
    assert refused[0] == refused[1] > 0


def test_an_sshd_that_allows_none_is_named_at_once():
    with pytest.raises(NoSession, match="refuses even a single one"), Slots().session(Sshd(0).opened):
        pass


def test_what_is_left_on_the_host_is_waited_for_but_not_for_ever(monkeypatch):
    monkeypatch.setattr(slots, "PATIENCE_S", 0.3)
    room, sshd = Slots(), Sshd(1, late=60)
    with room.session(sshd.opened):
        sshd.closed()
    with pytest.raises(NoSession), room.session(sshd.opened):
        pass


def test_a_thread_does_not_wait_for_itself():
    room, sshd = Slots(), Sshd(1)
    with room.session(sshd.opened), pytest.raises(NoSession, match="allows 1 at a time"), room.session(sshd.opened):
        pass


def test_a_wait_ends_when_the_command_is_interrupted():
    def stop() -> None:
        raise KeyboardInterrupt

    room, sshd = Slots(stop), Sshd(1)
    with ThreadPoolExecutor(1) as pool, room.session(sshd.opened):

        def second() -> None:
            with room.session(sshd.opened):
                pass

        with pytest.raises(KeyboardInterrupt):
            pool.submit(second).result(timeout=60)


def test_other_errors_are_raised_and_leave_the_next_session_room():
    room = Slots()

    def broken() -> None:
        raise EOFError

    with pytest.raises(EOFError), room.session(broken):
        pass
    with room.session(Sshd(1).opened) as channel:
        assert channel == "a channel"
