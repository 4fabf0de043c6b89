"""Many hosts at the same time, over connections in memory: as many as hosts.yaml allows, and nobody waits for a slow one."""

from collections.abc import Callable
from ipaddress import IPv4Address
from threading import Event, Lock, Semaphore

import msgspec
import pytest

from runbooks.commands.base import Answer, cmd
from runbooks.engine import ssh
from runbooks.engine.start import MARK
from runbooks.errors import CommandError
from tests.support.fakes import master, site

pytestmark = pytest.mark.unit

HOSTS = [
    msgspec.structs.replace(master(1), name=f"host{number}", address=IPv4Address("192.0.2.0") + number) for number in range(1, 31)
]
SLOW = HOSTS[0]
PATIENCE_S = 60  # never waited for, unless a test fails


@pytest.fixture
def connect(tmp_path, monkeypatch) -> Callable[..., ssh.Ssh]:
    """An Ssh of which a function of the host's address answers instead of sshd."""

    class Channels:
        """Stands for paramiko's Transport; a channel of it is the host's address."""

        def __init__(self, address: str) -> None:
            self.address = address

        def open_session(self, timeout: float) -> str:
            return self.address

    def make(answer: Callable[[str], Answer], parallel: int = 10) -> ssh.Ssh:
        (tmp_path / "known_hosts").touch()
        settings = msgspec.structs.replace(site().ssh, parallel=parallel, known_hosts=tmp_path / "known_hosts", gateway=None)
        monkeypatch.setattr(ssh.HostConnection, "connected", lambda connection: Channels(connection.host))
        monkeypatch.setattr(ssh, "exchange", lambda channel, *_: answer(channel))
        return ssh.Ssh(msgspec.structs.replace(site(), ssh=settings))

    return make


def good(said: str) -> Answer:
    return Answer(0, f"{MARK}{said}")


def test_one_slow_host_holds_up_nobody(connect):
    """It answers only after all of the others have: in waves of ten, twenty of them would wait for it."""
    others = Semaphore(0)

    def answer(address: str) -> Answer:
        if address != str(SLOW.address):
            others.release()
        elif not all(others.acquire(timeout=PATIENCE_S) for _ in HOSTS[1:]):
            return Answer(1, f"{MARK}", "the others did not answer meanwhile")
        return good(address)

    answers = connect(answer).run_each(dict.fromkeys(HOSTS, cmd("true")))
    assert answers == {host: Answer(0, str(host.address)) for host in HOSTS}
    assert list(answers) == HOSTS


def test_no_more_than_allowed_at_a_time_and_as_many_as_that(connect):
    now, most, full, lock = 0, 0, Event(), Lock()

    def answer(address: str) -> Answer:
        nonlocal now, most
        with lock:
            now += 1
            most = max(most, now)
            if now == 4:
                full.set()
        assert full.wait(PATIENCE_S)
        with lock:
            now -= 1
        return good(address)

    assert len(connect(answer, parallel=4).run_each(dict.fromkeys(HOSTS, cmd("true")))) == len(HOSTS)
    assert most == 4


def test_each_has_its_own_command_and_its_own_error(connect):
    def answer(address: str) -> Answer:
        return Answer(1, MARK, "no") if address == str(SLOW.address) else good(address)

    answers = connect(answer).run_each({host: cmd("echo", host.name) for host in HOSTS})
    assert isinstance(answers[SLOW], CommandError)
    assert str(answers[SLOW]) == "host1: `echo host1` exited 1\n  no"
    assert all(isinstance(answers[host], Answer) for host in HOSTS[1:])


def test_those_who_have_not_begun_when_we_are_interrupted_never_do(connect):
    asked = []

    def answer(address: str) -> Answer:
        asked.append(address)
        opened.abort()
        return good(address)

    opened = connect(answer, parallel=1)
    with pytest.raises(KeyboardInterrupt):
        opened.run_each(dict.fromkeys(HOSTS, cmd("true")))
    assert len(asked) == 1


def test_nobody_to_ask_is_no_error(connect):
    assert connect(good).run_each({}) == {}
