"""A login that takes too long is named for the part that was slow, and for nothing else."""

import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Event

import msgspec
import paramiko
import pytest

from runbooks.engine.login import SlowLogin, Transport, login_s
from runbooks.engine.slots import NoSession
from runbooks.engine.ssh_errors import explained, plain
from runbooks.errors import NotLetIn
from tests.support.fakes import lb, site

pytestmark = pytest.mark.unit

KEY = paramiko.ECDSAKey.generate()
SECONDS = 0.4


class Server(paramiko.ServerInterface):
    """Takes its time for every key, and then refuses it."""

    def check_auth_publickey(self, username: str, key: paramiko.PKey) -> int:
        time.sleep(3 * SECONDS)
        return paramiko.AUTH_FAILED

    def get_allowed_auths(self, username: str) -> str:
        return "publickey"


@contextmanager
def peers(seconds: float = SECONDS) -> Iterator[tuple[Transport, socket.socket]]:
    ours, theirs = socket.socketpair()
    transport = Transport(ours, seconds=seconds)
    try:
        yield transport, theirs
    finally:
        transport.close()
        theirs.close()


def test_no_small_message_waits_for_the_acknowledgement_of_the_one_before():
    with socket.create_server(("127.0.0.1", 0)) as sshd:
        plain = socket.create_connection(sshd.getsockname())
        transport = Transport(plain, seconds=SECONDS)
        try:
            assert transport.sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) == 1
            transport.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 0)
            with sshd.accept()[0] as peer:
                peer.sendall(b"a")
                assert transport.sock.recv(1) == b"a"
                assert transport.sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK) == 1
            assert plain.fileno() == -1, "it has one owner"
        finally:
            transport.close()
            transport.sock.close()


@pytest.mark.parametrize(("said", "stage"), [(b"", "sshd's first line"), (b"SSH-2.0-OpenSSH_9.2\r\n", "the exchange of keys")])
def test_an_sshd_that_says_nothing_or_only_its_version(said, stage):
    with peers() as (transport, sshd):
        sshd.sendall(said)
        with pytest.raises((paramiko.SSHException, EOFError)):
            transport.start_client()
        assert transport.expired()
        assert (transport.slow().stage, transport.slow().seconds) == (stage, SECONDS)


def test_a_slow_answer_to_the_key_is_no_refusal_and_the_next_key_has_no_more_time():
    with peers(60.0) as (transport, sshd):
        server = paramiko.Transport(sshd)
        server.add_server_key(KEY)
        server.start_server(Event(), Server())
        transport.start_client()
        transport.seconds = SECONDS
        deadline = transport._deadline = time.monotonic() + SECONDS
        for _ in range(3):
            with pytest.raises(paramiko.AuthenticationException):
                transport.auth_publickey("ops", KEY)
        assert transport.expired()
        assert transport._deadline == deadline
        assert transport.slow().stage == "the answer to our key"
        server.close()


def test_a_login_may_take_as_long_as_hosts_yaml_says_and_never_less_than_a_quarter_of_a_minute():

    def of(seconds: int) -> float:
        return login_s(msgspec.structs.replace(site(), ssh=msgspec.structs.replace(site().ssh, connect_timeout_s=seconds)))

    assert (of(2), of(60)) == (15, 60)


@pytest.mark.parametrize(
    ("error", "message", "hint"),
    [
        (
            SlowLogin(20, "the answer to our key"),
            "took longer than 20 s (waiting for the answer to our key)",
            "connect_timeout_s: 40",
        ),
        (NoSession("it refuses even a single one"), "opens no session: it refuses even a single one", "MaxSessions"),
        (paramiko.SSHException("Error reading SSH protocol banner"), "ended it before the login", "MaxStartups"),
    ],
)
def test_a_host_that_answers_but_lets_nobody_in_is_not_gone(error, message, hint):
    told = explained(site(), lb(1), error)
    assert isinstance(told, NotLetIn)
    assert message in str(told)
    assert hint in told.hint


def test_no_message_is_the_repr_of_an_exception():
    assert plain(paramiko.ChannelException(2, "Connect failed")) == "Connect failed"
