"""HTTP/1.1 over one connection to an API server. Every failure has a name, and nothing is tried again here."""

from __future__ import annotations

import asyncio
import errno
import ssl
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final, TypeVar

from runbooks.engine.namespace import Place, permit
from runbooks.measure.channel import Channel

LIMIT: Final = 256 * 1024  # bytes of the head of an answer
BODY: Final = 4 * 1024**2
OWN: Final = {errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOBUFS, errno.EADDRNOTAVAIL, errno.EPERM, errno.EACCES}
NO_ROUTE: Final = {errno.EHOSTUNREACH, errno.ENETUNREACH, errno.ENETDOWN, errno.EHOSTDOWN}
HANG: Final = "hang"

Content = TypeVar("Content", bytes, bytearray)


class RequestError(Exception):
    """No answer. ``reason`` is one of a few words: "hang", "refused", "reset", "closed", "no route", "network", "TLS", ..."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class NotSentError(RequestError):
    """There is no connection, so nothing of the request was sent."""


class UnansweredError(RequestError):
    """The request may have been received and carried out."""


class OwnError(Exception):
    """This machine could not make the request: too many open files, no memory, no free port. It says nothing about the cluster."""


@dataclass(frozen=True, slots=True)
class Answer:
    """An HTTP answer. ``last``: the other side ends the connection after it."""

    status: int
    body: bytes
    last: bool

    @property
    def good(self) -> bool:
        """Whether the request was carried out."""
        return 200 <= self.status < 300


@dataclass(frozen=True, slots=True)
class Client:
    """What is the same for every connection. ``headers`` may hold a token.

    ``names``: of an address, the name that a certificate may have in its place; ``by_name``: the addresses where it has.
    """

    place: Place
    context: ssl.SSLContext
    headers: Mapping[str, str]
    names: Mapping[str, str] = field(default_factory=dict)
    by_name: set[str] = field(default_factory=set)

    async def open(self, address: str, port: int, until: float) -> Connection:
        """Connect, by ``until`` on the monotonic clock. Raises PrecheckError (the guard of `engine.namespace`), NotSentError, OwnError."""
        permit(self.place)
        try:
            async with asyncio.timeout_at(until):
                return Connection(await self._channel(address, port), address, self.headers)
        except (OSError, EOFError) as error:
            raise NotSentError(_reason(error)) from None

    async def _channel(self, address: str, port: int) -> Channel:
        other = self.names.get(address, "")
        if address in self.by_name:
            return await Channel.open(self.context, address, port, other)
        try:
            return await Channel.open(self.context, address, port)
        except ssl.SSLCertVerificationError:
            if not other:
                raise
            found = await Channel.open(self.context, address, port, other)
            self.by_name.add(address)
            return found


class Connection:
    """One open connection; one request at a time."""

    def __init__(self, channel: Channel, address: str, headers: Mapping[str, str]) -> None:
        self._channel = channel
        said = {"Host": host_name(address), "Accept": "application/json", "User-Agent": "ha-runbooks-measure", **headers}
        self._headers = "".join(f"{name}: {value}\r\n" for name, value in said.items())
        self._come = bytearray()  # and not used yet
        self._rest = b""

    @property
    def ended(self) -> bool:
        """Whether the other side has ended it."""
        return self._channel.ended

    async def ask(self, method: str, path: str, until: float, body: bytes = b"", *, last: bool = False) -> Answer:
        """Send a request and return its answer, by ``until`` on the monotonic clock; ``last``: ask the server to end the connection then.

        Raises UnansweredError, OwnError.
        """
        try:
            async with asyncio.timeout_at(until):
                await self._send(method, path, body, last=last)
                status, said = await self._head()
                return Answer(status, await self._body(said), "close" in said.get("connection", ""))
        except (OSError, EOFError, ValueError) as error:
            raise UnansweredError(_reason(error)) from None

    async def stream(self, path: str, until: float) -> int:
        """Ask for a stream of lines, which `line` returns, and return the status. Raises UnansweredError, OwnError."""
        try:
            async with asyncio.timeout_at(until):
                await self._send("GET", path, b"", last=False)
                status, said = await self._head()
        except (OSError, EOFError, ValueError) as error:
            raise UnansweredError(_reason(error)) from None
        if said.get("transfer-encoding") != "chunked" and 200 <= status < 300:
            raise UnansweredError("not HTTP")
        return status

    async def line(self) -> bytes:
        """Return the next line of a stream, b"" when the server has ended it in good order. Raises UnansweredError, OwnError."""
        try:
            while b"\n" not in self._rest:
                chunk = await self._chunk()
                if not chunk:
                    return b""
                self._rest = _bounded(self._rest + chunk)
        except (OSError, EOFError, ValueError) as error:
            raise UnansweredError(_reason(error)) from None
        line, _, self._rest = self._rest.partition(b"\n")
        return line

    def close(self) -> None:
        """End it, without waiting for the other side; whoever waits for an answer gets an error at once."""
        self._channel.close()

    async def _send(self, method: str, path: str, body: bytes, *, last: bool) -> None:
        more = f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n" if body else ""
        end = "Connection: close\r\n" if last else ""
        await self._channel.send(f"{method} {path} HTTP/1.1\r\n{self._headers}{more}{end}\r\n".encode() + body)

    async def _head(self) -> tuple[int, dict[str, str]]:
        """Return the status, and the headers with their names and values in lower case."""
        first, *lines = (await self._until(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        version, status = first.split()[:2]
        if not version.startswith("HTTP/1."):
            raise ValueError
        parts = (line.partition(":") for line in lines)
        return int(status), {name.strip().lower(): value.strip().lower() for name, _, value in parts}

    async def _body(self, said: Mapping[str, str]) -> bytes:
        parts = b""
        if said.get("transfer-encoding") == "chunked":
            while chunk := await self._chunk():
                parts = _bounded(parts + chunk)
            return parts
        length = int(said.get("content-length", "-1"))
        if length > BODY:
            raise ValueError
        if length >= 0:
            return await self._exactly(length)
        with suppress(EOFError, ssl.SSLEOFError):
            while True:
                await self._more()
                _bounded(self._come)
        return bytes(self._come)

    async def _chunk(self) -> bytes:
        size = int((await self._until(b"\r\n")).partition(b";")[0], 16)
        if not 0 <= size <= BODY:
            raise ValueError
        return (await self._exactly(size + 2))[:size]

    async def _until(self, mark: bytes) -> bytes:
        """Return what comes before ``mark``, and leave both behind. Raises ValueError when that is too long for a head."""
        while (at := self._come.find(mark)) < 0:
            if len(self._come) > LIMIT:
                raise ValueError("too long")
            await self._more()
        found = bytes(self._come[:at])
        del self._come[: at + len(mark)]
        return found

    async def _exactly(self, length: int) -> bytes:
        while len(self._come) < length:
            await self._more()
        found = bytes(self._come[:length])
        del self._come[:length]
        return found

    async def _more(self) -> None:
        """Wait for more. Raises EOFError when the other side has ended the connection."""
        if not (more := await self._channel.receive()):
            raise EOFError
        self._come += more


def host_name(address: str) -> str:
    """Return ``address`` as it stands in a URL."""
    return f"[{address}]" if ":" in address else address


def _bounded(text: Content) -> Content:
    """Return ``text``. Raises ValueError when it is too long to be an answer."""
    if len(text) > BODY:
        raise ValueError("too long")
    return text


def _reason(error: Exception) -> str:
    """Return one of a few words for why there is no answer. Raises OwnError when this machine is the reason."""
    if isinstance(error, OSError) and not isinstance(error, ssl.SSLError):  # whose numbers are OpenSSL's
        if error.errno in OWN:
            raise OwnError(error.strerror or str(error)) from None
        if error.errno in NO_ROUTE:
            return "no route"
    return next((word for kinds, word in REASONS if isinstance(error, kinds)), "not HTTP")


REASONS: Final[tuple[tuple[type[Exception] | tuple[type[Exception], ...], str], ...]] = (  # the first that fits
    (TimeoutError, HANG),
    (ConnectionRefusedError, "refused"),
    (ssl.SSLCertVerificationError, "certificate"),
    ((EOFError, ssl.SSLEOFError, ssl.SSLZeroReturnError), "closed"),
    (ssl.SSLError, "TLS"),
    (ConnectionError, "reset"),
    (OSError, "network"),
)
