"""One HTTP/1.1 connection over TLS to an API server, on asyncio. Every failure has a name, and nothing is tried again here."""

from __future__ import annotations

import asyncio
import errno
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from http.client import HTTPException, HTTPMessage, parse_headers
from io import BytesIO
from typing import Final

from runbooks.engine.namespace import Place, permit

LIMIT: Final = 256 * 1024  # bytes of the head of an answer
BODY: Final = 4 * 1024**2
OWN: Final = {errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOBUFS, errno.EADDRNOTAVAIL, errno.EPERM, errno.EACCES}
NO_ROUTE: Final = {errno.EHOSTUNREACH, errno.ENETUNREACH, errno.ENETDOWN, errno.EHOSTDOWN}
HANG: Final = "hang"


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
    """What is the same for every connection. ``headers`` may hold a token."""

    place: Place
    context: ssl.SSLContext
    headers: Mapping[str, str]

    async def open(self, address: str, port: int, within_s: float) -> Connection:
        """Connect. Raises PrecheckError (the guard of `engine.namespace`), NotSentError, OwnError."""
        permit(self.place)
        try:
            async with asyncio.timeout(within_s):
                reader, writer = await asyncio.open_connection(
                    *(address, port),
                    ssl=self.context,
                    server_hostname=address,
                    limit=LIMIT,
                    ssl_handshake_timeout=within_s + 5,
                    ssl_shutdown_timeout=1,
                )
        except OSError as error:
            raise NotSentError(_reason(error)) from None
        return Connection(reader, writer, host_name(address), self.headers)


class Connection:
    """One open connection; one request at a time."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, host: str, headers: Mapping[str, str]) -> None:
        self._reader, self._writer = reader, writer
        self._headers = {"Host": host, "Accept": "application/json", "User-Agent": "ha-runbooks-measure", **headers}
        self._rest = b""

    @property
    def ended(self) -> bool:
        """Whether the other side has ended it."""
        return self._reader.at_eof() or self._reader.exception() is not None or self._writer.is_closing()

    async def ask(self, method: str, path: str, within_s: float, body: bytes = b"", *, last: bool = False) -> Answer:
        """Send a request and return its answer; ``last``: ask the server to end the connection then. Raises UnansweredError, OwnError."""
        try:
            async with asyncio.timeout(within_s):
                await self._send(method, path, body, last=last)
                status, said = await self._head()
                return Answer(status, await self._body(said), "close" in said.get("Connection", "").lower())
        except (OSError, EOFError, ValueError, HTTPException, asyncio.LimitOverrunError) as error:
            raise UnansweredError(_reason(error)) from None

    async def stream(self, path: str, within_s: float) -> int:
        """Ask for a stream of lines, which `line` returns, and return the status. Raises UnansweredError, OwnError."""
        try:
            async with asyncio.timeout(within_s):
                await self._send("GET", path, b"", last=False)
                status, said = await self._head()
        except (OSError, EOFError, ValueError, HTTPException, asyncio.LimitOverrunError) as error:
            raise UnansweredError(_reason(error)) from None
        if said.get("Transfer-Encoding", "").lower() != "chunked" and 200 <= status < 300:
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
        except (OSError, EOFError, ValueError, asyncio.LimitOverrunError) as error:
            raise UnansweredError(_reason(error)) from None
        line, _, self._rest = self._rest.partition(b"\n")
        return line

    def close(self) -> None:
        """End it, without waiting for the other side; whoever waits for an answer gets an error, within a second."""
        self._writer.close()

    async def _send(self, method: str, path: str, body: bytes, *, last: bool) -> None:
        headers = dict(self._headers)
        if body:
            headers |= {"Content-Type": "application/json", "Content-Length": str(len(body))}
        if last:
            headers["Connection"] = "close"
        lines = [f"{method} {path} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items()), "", ""]
        self._writer.write("\r\n".join(lines).encode() + body)
        await self._writer.drain()

    async def _head(self) -> tuple[int, HTTPMessage]:
        head = await self._reader.readuntil(b"\r\n\r\n")
        first, _, rest = head.partition(b"\r\n")
        version, status = first.split()[:2]
        if not version.startswith(b"HTTP/1."):
            raise ValueError
        return int(status), parse_headers(BytesIO(rest))

    async def _body(self, said: HTTPMessage) -> bytes:
        if said.get("Transfer-Encoding", "").lower() == "chunked":
            parts = b""
            while chunk := await self._chunk():
                parts = _bounded(parts + chunk)
            return parts
        length = int(said.get("Content-Length", "-1"))
        if length > BODY:
            raise ValueError
        if length >= 0:
            return await self._reader.readexactly(length)
        parts = b""
        while more := await self._reader.read(LIMIT):
            parts = _bounded(parts + more)
        return parts

    async def _chunk(self) -> bytes:
        size = int((await self._reader.readuntil(b"\r\n")).partition(b";")[0], 16)
        if not 0 <= size <= BODY:
            raise ValueError
        return (await self._reader.readexactly(size + 2))[:size]


def host_name(address: str) -> str:
    """Return ``address`` as it stands in a URL."""
    return f"[{address}]" if ":" in address else address


def _bounded(text: bytes) -> bytes:
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
