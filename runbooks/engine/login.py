"""One login: how long it may take, and which part of it took too long."""

from __future__ import annotations

import socket
import time
from typing import Any

import paramiko

from runbooks.inventory.model import Site

AT_LEAST_S = 15  # for the login itself, however short a time a host gets to accept the connection


def login_s(site: Site) -> float:
    """Return the seconds that a login may take, from the accepted TCP connection on."""
    return max(AT_LEAST_S, site.ssh.connect_timeout_s)


class SlowLogin(paramiko.SSHException):
    """The host has accepted the TCP connection, but the login took longer than ``seconds``; ``stage`` is what was waited for."""

    def __init__(self, seconds: float, stage: str) -> None:
        super().__init__(f"the login took longer than {seconds:g} s")
        self.seconds = seconds
        self.stage = stage


class _Prompt(socket.socket):
    """A TCP socket on which no small message waits for the acknowledgement of the one before (Nagle's algorithm), on neither side.

    Each such wait takes 40 ms. Without this there were two in every login and one in every command.
    """

    def __init__(self, plain: socket.socket) -> None:
        super().__init__(plain.family, plain.type, plain.proto, fileno=plain.detach())
        self.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def recv(self, *args: int) -> bytes:
        """Receive, and acknowledge at once what comes: sshd has Nagle's algorithm on until a terminal is asked for. The kernel forgets it."""
        self.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)
        return super().recv(*args)


class Transport(paramiko.Transport):
    """Ends a login that takes longer than ``seconds``, whichever part of it is slow.

    Prefers AES-GCM, which needs no separate MAC: a third faster for large transfers, and as strong.
    """

    _preferred_ciphers = ("aes128-gcm@openssh.com", "aes256-gcm@openssh.com", *paramiko.Transport._preferred_ciphers[:3])  # type: ignore[attr-defined] # noqa: SLF001

    def __init__(self, sock: Any, *, seconds: float, **kwargs: Any) -> None:
        self.seconds = seconds
        self._deadline = time.monotonic() + seconds
        tcp = isinstance(sock, socket.socket) and sock.family in {socket.AF_INET, socket.AF_INET6}
        super().__init__(_Prompt(sock) if tcp else sock, **kwargs)
        self.banner_timeout = self.handshake_timeout = self.channel_timeout = seconds

    @property
    def auth_timeout(self) -> float:
        """Seconds that are left for the login. paramiko asks anew for every key that it tries."""
        return max(0.0, self._deadline - time.monotonic())

    @auth_timeout.setter
    def auth_timeout(self, _: float) -> None:
        """Take no other time."""

    def start_client(self, event: Any = None, timeout: float | None = None) -> None:
        """Exchange the keys. Raises what paramiko raises, and SlowLogin where it would go on without them when the time is up."""
        super().start_client(event, self.seconds)
        if not self.initial_kex_done:
            raise self.slow()

    def expired(self) -> bool:
        """Return whether the time for the login is up."""
        return self.auth_timeout <= 0

    def slow(self) -> SlowLogin:
        """Return the error for the part of the login that has not come to its end."""
        if not self.remote_version:
            stage = "sshd's first line"
        elif not self.initial_kex_done:
            stage = "the exchange of keys"
        else:
            stage = "the answer to our key"
        return SlowLogin(self.seconds, stage)
