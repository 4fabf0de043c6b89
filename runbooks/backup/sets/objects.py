"""The object lists of a set: pages as the API server sent them, each page a gzip member (RFC 1952) of its own."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator
from typing import Any

import msgspec

from runbooks.errors import CommandError

GZIP = 31  # zlib's wbits for a gzip header and trailer


class Page(msgspec.Struct, frozen=True, rename="camel"):
    """One answer to a list request. The items are not decoded."""

    kind: str
    api_version: str
    items: list[msgspec.Raw] | None = None  # null when there is none


class Pages:
    """Counts the objects in a stream of pages. Holds one page at a time in memory."""

    def __init__(self) -> None:
        self._count = 0
        self._wrong = ""
        self._reader = _Members()

    def add(self, data: bytes) -> None:
        """Process the next bytes. `end` reports what is wrong with them."""
        if self._wrong:
            return
        try:
            self._count += sum(len(_page(text).items or ()) for text in self._reader.add(data))
        except (zlib.error, msgspec.MsgspecError, UnicodeDecodeError) as error:
            self._wrong = str(error)

    def end(self, where: str) -> int:
        """Return the number of objects. Raises CommandError, naming ``where``, when the stream was no list or is incomplete."""
        if self._wrong or self._reader.unfinished:
            raise CommandError(f"{where}: it is no list of objects: {self._wrong or 'it ends in the middle'}")
        return self._count


def pages(chunks: Iterable[bytes]) -> Iterator[Page]:
    """Yield the pages of a list file. Raises CommandError when it is damaged."""
    reader = _Members()
    try:
        for chunk in chunks:
            yield from map(_page, reader.add(chunk))
    except (zlib.error, msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise CommandError(f"it is no list of objects: {error}") from None
    if reader.unfinished:
        raise CommandError("it ends in the middle of a list")


def items(page: Page) -> Iterator[dict[str, Any]]:
    """Yield the objects of ``page``. Each gets the apiVersion and kind, which the API server writes only once per list."""
    for raw in page.items or ():
        found: dict[str, Any] = msgspec.json.decode(raw)
        yield {"apiVersion": page.api_version, "kind": page.kind.removesuffix("List")} | found


def _page(text: bytes) -> Page:
    return msgspec.json.decode(text, type=Page)


class _Members:
    """Splits a stream of gzip members; `add` yields the text of each complete member."""

    def __init__(self) -> None:
        self._inflate = zlib.decompressobj(GZIP)
        self._text = bytearray()
        self.unfinished = False

    def add(self, data: bytes) -> Iterator[bytes]:
        while data:
            self.unfinished = True
            self._text += self._inflate.decompress(data)
            if not self._inflate.eof:
                return
            data = self._inflate.unused_data
            text, self._text = bytes(self._text), bytearray()
            self._inflate, self.unfinished = zlib.decompressobj(GZIP), False
            yield text
