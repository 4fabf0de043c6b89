"""One TLS connection on a socket that does not block, by the event loop's readiness alone.

asyncio's own streams pass every byte through buffers and a protocol in Python, which costs several times what the TLS itself does; a measurement
opens connections all the time.
"""

from __future__ import annotations

import asyncio
import errno
import socket
import ssl
from collections.abc import Callable
from typing import Final, TypeVar

CLOSE_S: Final = 1.0  # for so long the other side may take to end it too
RECEIVE: Final = 64 * 1024

T = TypeVar("T")


class Channel:
    """An open connection. One task at a time may wait for it; `close` may be called at any time."""

    def __init__(self, tls: ssl.SSLSocket) -> None:
        self._tls, self._loop = tls, asyncio.get_running_loop()
        self._number = tls.fileno()
        self._waiting: asyncio.Future[None] | None = None
        self._watched = self._closed = False

    @classmethod
    async def open(cls, context: ssl.SSLContext, address: str, port: int, name: str = "") -> Channel:
        """Connect and shake hands; the certificate has to have the address, or ``name``. Raises OSError, ssl.SSLError among them."""
        plain = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_STREAM)
        try:
            plain.setblocking(False)
            plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            await asyncio.get_running_loop().sock_connect(plain, (address, port))
            made = cls(_wrapped(context, plain, name or address))
        except BaseException:
            plain.close()
            raise
        try:
            await made._done(made._tls.do_handshake)
        except BaseException:
            made._drop()
            raise
        return made

    async def send(self, content: bytes) -> None:
        """Send all of it. Raises OSError; EOFError once it is closed."""
        while content:
            content = content[await self._done(lambda: self._tls.send(content)) :]  # noqa: B023 - called at once

    async def receive(self) -> bytes:
        """Return what has come, b"" when the other side has ended it in good order. Raises OSError; EOFError once it is closed."""
        return await self._done(lambda: self._tls.recv(RECEIVE))

    @property
    def ended(self) -> bool:
        """Whether the other side has ended it, or has said something although nothing was asked."""
        if self._closed:
            return True
        try:
            self._tls.recv(1)
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            return False
        except OSError:
            pass
        return True

    def close(self) -> None:
        """Say that it is over, and wait in the background until the other side has said so too, for a second at most.

        To leave what still comes unread would reset the connection, which a load balancer counts as a client that gave up.
        """
        if self._closed:
            return
        self._closed = True
        if self._waiting and not self._waiting.done():
            self._waiting.set_exception(EOFError("closed"))
        self._part()
        if self._number >= 0:
            self._loop.add_reader(self._number, self._part)
            self._loop.call_later(CLOSE_S, self._drop)

    async def _done(self, act: Callable[[], T]) -> T:
        """Call ``act`` until it does not have to wait, and return what it returns."""
        while True:
            if self._closed:
                raise EOFError("closed")
            try:
                return act()
            except ssl.SSLWantReadError:
                await self._readable()
            except ssl.SSLWantWriteError:
                await self._writable()

    async def _readable(self) -> None:
        if not self._watched:
            self._loop.add_reader(self._number, self._wake)
            self._watched = True
        await self._woken()

    async def _writable(self) -> None:
        self._loop.add_writer(self._number, self._wake)
        try:
            await self._woken()
        finally:
            if self._number >= 0:
                self._loop.remove_writer(self._number)

    async def _woken(self) -> None:
        self._waiting = self._loop.create_future()
        try:
            await self._waiting
        finally:
            self._waiting = None

    def _wake(self) -> None:
        if self._waiting is None:
            self._unwatch()  # something has come that nobody waits for; it is found when somebody does
        elif not self._waiting.done():
            self._waiting.set_result(None)

    def _unwatch(self) -> None:
        if self._watched:
            self._loop.remove_reader(self._number)
            self._watched = False

    def _part(self) -> None:
        """Take part in the end of the connection, as far as that goes without waiting."""
        try:
            self._tls.unwrap()
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            return
        except (OSError, ValueError):
            pass
        self._drop()

    def _drop(self) -> None:
        if self._number >= 0:
            self._loop.remove_reader(self._number)
            self._tls.close()
            self._number = -1


def _wrapped(context: ssl.SSLContext, plain: socket.socket, name: str) -> ssl.SSLSocket:
    try:
        return context.wrap_socket(plain, server_hostname=name, do_handshake_on_connect=False, suppress_ragged_eofs=False)
    except OSError as error:
        if error.errno == errno.ENOTCONN:  # it was reset after it was accepted
            raise ConnectionResetError from None
        raise
