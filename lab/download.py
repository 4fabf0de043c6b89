"""Files over HTTP: taken up where a connection broke, refused in words. A fault of the network is tried again, one of the disk is not.

The machine's proxy settings count, but for addresses of its own loopback. Nothing goes from https on to http.
"""

from __future__ import annotations

import time
from http.client import HTTPException
from ipaddress import ip_address
from typing import IO, TYPE_CHECKING, Any, Final, TypeVar
from urllib.error import HTTPError
from urllib.parse import urlsplit
from urllib.request import HTTPRedirectHandler, ProxyHandler, Request, build_opener

from runbooks.errors import PrecheckError
from runbooks.text import size_text

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from http.client import HTTPMessage
    from pathlib import Path

T = TypeVar("T")
TRIES: Final = 4
PAUSE_S: Final = 1.0  # before the second try; each further one is a second longer
SILENCE_S: Final = 30
CONTACT_S: Final = 10  # for the first answer of a server
CHUNK: Final = 1 << 20
OTHERWISE: Final = (
    "with --mirror URL a copy is asked instead (docs/lab.md has the layout); --kubernetes DIR takes programs that you have"
)


class Fault(Exception):  # noqa: N818 - the field's word
    """A fault of the network or of the server, which another try may not meet."""


class Proxies(ProxyHandler):
    """The machine's proxies, which know nothing of what listens on this machine's loopback."""

    def proxy_open(self, req: Request, proxy: str, type: str) -> Any:  # noqa: A002 - the base class's name
        return None if is_loopback(urlsplit(f"//{req.host}").hostname or "") else super().proxy_open(req, proxy, type)


class Redirects(HTTPRedirectHandler):
    """Redirects, but none that gives up encryption."""

    def redirect_request(
        self, req: Request, fp: IO[bytes], code: int, msg: str, headers: HTTPMessage, newurl: str
    ) -> Request | None:
        if req.type == "https" and urlsplit(newurl).scheme != "https":
            raise PrecheckError(
                f"{req.full_url} sends on to an address without https ({urlsplit(newurl).hostname}), which is not followed: "
                "anybody on the way could exchange the file",
                hint=OTHERWISE,
            )
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def is_loopback(host: str) -> bool:
    """Whether ``host`` is this machine itself: localhost, 127.0.0.0/8 or ::1. Pure."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def text(url: str, *, first: bool) -> str:
    """Return the small text at ``url``; PrecheckError when it cannot be had. ``first``: this server has not answered yet."""
    return again(url, lambda timeout_s: small(url, timeout_s), first=first)


def receive(url: str, part: Path) -> None:
    """Fetch ``url`` into ``part``; goes on where it ends, if the server can. PrecheckError when it cannot be had."""
    again(url, lambda timeout_s: rest(url, part, timeout_s), first=False)


def again(url: str, attempt: Callable[[float], T], *, first: bool) -> T:
    """Return what ``attempt`` does within a number of seconds without an answer: one short try if it is the ``first``, else several."""
    last: Fault | None = None
    for number in range(1 if first else TRIES):
        time.sleep(PAUSE_S * number)
        try:
            return attempt(CONTACT_S if first else SILENCE_S)
        except Fault as fault:
            last = fault
    raise PrecheckError(f"{url} cannot be fetched: {last}", hint=OTHERWISE) from last


def small(url: str, timeout_s: float) -> str:
    """Return the text at ``url``, of which the first MiB is read."""
    with opened(Request(url), timeout_s) as answer:  # noqa: S310 - our own constants, or a mirror whose scheme was checked
        content = next(chunks(answer), b"")
        if len(content) < min(length(answer) or 0, CHUNK):
            raise Fault(f"the connection ended after {len(content)} bytes")
    return content.decode(errors="replace")


def rest(url: str, part: Path, timeout_s: float) -> None:
    """Fetch what ``part`` has not yet, or all of it where the server cannot do that."""
    start = part.stat().st_size if part.exists() else 0
    request = Request(url, headers={"Range": f"bytes={start}-"} if start else {})  # noqa: S310 - as above
    try:
        answer = opened(request, timeout_s)
    except HTTPError:  # there is nothing after what we have: it is whole, or of another file
        return
    with answer:
        with part.open("ab" if answer.status == 206 else "wb") as file:
            before = file.tell()
            for chunk in chunks(answer):
                file.write(chunk)
            after = file.tell()
        if length(answer) not in {None, after - before}:
            raise Fault(f"the connection ended after {size_text(after)}")


def opened(request: Request, timeout_s: float) -> Any:
    """Return the answer. PrecheckError for one that no repetition changes, HTTPError when there is nothing after a range's start."""
    try:
        return build_opener(Proxies, Redirects).open(request, timeout=timeout_s)
    except HTTPError as error:
        if error.code == 416 and request.has_header("Range"):
            raise
        if 400 <= error.code < 500 and error.code not in {408, 429}:
            raise PrecheckError(
                f"{request.full_url}: {error.code} {error.reason}: there is no such release, or not for us", hint=OTHERWISE
            ) from error
        raise Fault(f"{error.code} {error.reason}") from error
    except (OSError, HTTPException, ValueError) as error:
        raise Fault(str(getattr(error, "reason", None) or error)) from error


def chunks(answer: Any) -> Iterator[bytes]:
    """Yield what the server sends."""
    while True:
        try:
            chunk = answer.read(CHUNK)
        except (OSError, HTTPException, ValueError) as error:
            raise Fault(str(error) or type(error).__name__) from error
        if not chunk:
            return
        yield chunk


def length(answer: Any) -> int | None:
    """Return how many bytes the server announced."""
    said = answer.headers.get("Content-Length", "")
    return int(said) if said.isdecimal() else None
