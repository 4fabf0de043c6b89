"""The way to a host through gateways: one connection to each gateway, which all hosts behind it share."""

from __future__ import annotations

import time
from collections.abc import Collection
from contextlib import nullcontext
from threading import Lock
from typing import Protocol

import paramiko

from runbooks.inventory.model import Site
from runbooks.inventory.settings import Gateway

PROHIBITED = 1  # RFC 4254, section 5.1: the gateway's sshd does not forward
LOST = "Unable to open channel"  # paramiko keeps one refusal of a connection: of two at the same time, one thread is not told why
ATTEMPTS = 5
RECENT_S = 2.0  # a gateway that could not be reached is not tried again for so long: many hosts ask at the same time


class Connection(Protocol):
    """The connection to one gateway."""

    def connected(self) -> paramiko.Transport: ...


class HopError(paramiko.SSHException):
    """The last gateway of ``way`` gives no session or forwards nothing. ``error`` is what paramiko or the socket raised."""

    def __init__(self, way: tuple[Gateway, ...], error: Exception) -> None:
        super().__init__(str(error))
        self.way = way
        self.error = error


class BeyondError(paramiko.SSHException):
    """``gateway`` works, but cannot connect to the machine behind it, or (``forbidden``) does not allow this connection."""

    def __init__(self, gateway: Gateway, text: str, *, forbidden: bool = False) -> None:
        super().__init__(text)
        self.gateway = gateway
        self.forbidden = forbidden


class Hop:
    """The last gateway of ``way``. Thread-safe.

    ``beyond`` are the addresses that are reached through it: where it forbids one of them, the others show whether it forwards at all.
    """

    def __init__(self, way: tuple[Gateway, ...], connection: Connection, beyond: Collection[tuple[str, int]] = ()) -> None:
        self.way = way
        self.connection = connection
        self.beyond = beyond
        self._forwards = False
        self._lock = Lock()
        self._alone = Lock()
        self._failed: tuple[float, HopError] | None = None

    def channel(self, address: tuple[str, int], timeout_s: float) -> paramiko.Channel:
        """Return a TCP channel to ``address``. Raises HopError when this gateway or one before it fails, else BeyondError."""
        transport = self._transport()
        try:
            channel = self._open(transport, address, timeout_s)
        except paramiko.ChannelException as error:
            if error.code == PROHIBITED:
                if self._forwards_another(transport, address, timeout_s):
                    raise BeyondError(self.way[-1], "administratively prohibited", forbidden=True) from None
                raise HopError(self.way, error) from None
            raise BeyondError(self.way[-1], "its connection fails there") from None
        except (OSError, EOFError, paramiko.SSHException) as error:
            if transport.is_active():
                raise BeyondError(self.way[-1], f"no answer in {timeout_s:g} s") from None
            raise HopError(self.way, error) from None
        self._forwards = True
        return channel

    def _open(self, transport: paramiko.Transport, address: tuple[str, int], timeout_s: float) -> paramiko.Channel:
        """Open a channel. One whose refusal was lost is asked for again, one at a time. Raises what paramiko raises."""
        for attempt in range(ATTEMPTS):
            with self._alone if attempt else nullcontext():
                try:
                    return transport.open_channel("direct-tcpip", address, ("", 0), timeout=timeout_s)
                except paramiko.SSHException as error:
                    if not str(error).startswith(LOST) or not transport.is_active() or attempt == ATTEMPTS - 1:
                        raise
        raise AssertionError  # the last attempt returns or raises

    def _forwards_another(self, transport: paramiko.Transport, address: tuple[str, int], timeout_s: float) -> bool:
        """Whether this gateway forwards connections to another address than ``address``. Any answer but "prohibited" shows it."""
        for other in self.beyond:
            if self._forwards or not transport.is_active():
                break
            if other == address:
                continue
            try:
                self._open(transport, other, timeout_s).close()
            except paramiko.ChannelException as error:
                self._forwards = error.code != PROHIBITED
            except (OSError, EOFError, paramiko.SSHException):
                self._forwards = transport.is_active()  # no answer in time: sshd tries to connect
            else:
                self._forwards = True
        return self._forwards

    def _transport(self) -> paramiko.Transport:
        asked = time.monotonic()
        with self._lock:
            if self._failed and self._failed[0] > asked - RECENT_S:
                raise self._failed[1]
            try:
                transport = self.connection.connected()
            except (OSError, EOFError, paramiko.SSHException) as error:
                # A gateway before this one has said itself what is wrong with it.
                failed = error if isinstance(error, HopError) else HopError(self.way, error)
                self._failed = (time.monotonic(), failed)
                raise failed from None
            self._failed = None
            return transport


def beyond(site: Site, way: tuple[Gateway, ...]) -> frozenset[tuple[str, int]]:
    """Return the address and port of each host and each gateway that is reached through the last gateway of ``way``, without another hop."""
    found = set()
    for host in site.hosts:
        hops = site.hops(host)
        if hops == way:
            found.add((str(host.address), host.ssh.port or site.ssh.port))
        elif hops[: len(way)] == way:
            found.add((str(hops[len(way)].address), hops[len(way)].port))
    return frozenset(found)


def named(gateway: Gateway) -> str:
    """Return what an error calls the gateway: ``gateway 10.1.1.201``, with its port where that is not 22."""
    return f"gateway {gateway.address}" + (f" port {gateway.port}" if gateway.port != 22 else "")
