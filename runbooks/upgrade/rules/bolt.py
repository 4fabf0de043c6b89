"""Reads one bucket of a snapshot of etcd: the members that the database holds. Pure: bytes in, members out.

No program of etcd prints this bucket, so it is read here. A snapshot is a file of bbolt: pages of a B+tree. Only the pages that lead to
the bucket are touched, so a memory map of a large file is fine. What is no such file raises ValueError, whatever its bytes are.
Official source: the page layout in go.etcd.io/bbolt (internal/common: page.go, meta.go, inode.go, bucket.go), and etcd's bucket "members"
(server/storage/schema/membership.go): the member's ID in hexadecimal -> the member as JSON.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator
from mmap import mmap

from runbooks.commands.etcd import Member

Data = bytes | mmap

MAGIC, LAYOUT = 0xED0CDAED, 2
BRANCH, LEAF, META = 0x01, 0x02, 0x04  # kinds of pages
BUCKET = 0x01  # flag of an element: its value is a bucket
MOST_DEPTH, MOST_PAGES = 64, 100_000  # a damaged file may have pages that lead back to one another
BUCKET_NAME = b"members"
_PAGE, _META, _BRANCH, _LEAF, _HEAD = (struct.Struct(form) for form in ("<QHHI", "<IIIIQQQQQ", "<IIQ", "<IIII", "<QQ"))


def members(data: Data) -> tuple[Member, ...]:
    """Return the members in the bucket "members" of a snapshot, by name. Raises ValueError when it is not a sound database of etcd."""
    try:
        size, root = _root(data)
        found = next(
            (value for flags, key, value in _Tree(data, size).items(root) if key == BUCKET_NAME and flags & BUCKET), None
        )
        if found is None:
            raise ValueError("it has no bucket of members: etcd before 3.0, or no database of etcd")
        listed = [_member(value) for _, _, value in _Tree(data, size).bucket(found)]
    except (struct.error, IndexError, RecursionError) as error:
        raise ValueError(f"this is not a sound database of etcd: {error}") from None
    return tuple(sorted(listed, key=lambda member: (not member.name, member.name, member.id)))


def _root(data: Data) -> tuple[int, int]:
    """Return the size of a page, and the page of the root bucket, from the newer one of the two valid meta pages."""
    found = []
    for size in (4096, 8192, 16384, 65536, 1024, 2048, 32768):  # the second meta page is one page further
        for at in {0, size}:
            meta = _meta(data, at)
            if meta and meta[1] == size:
                found.append(meta)
    if not found:
        raise ValueError("this is not a database of etcd: it has no meta page")
    _, size, root = max(found)
    return size, root


def _meta(data: Data, at: int) -> tuple[int, int, int] | None:
    """Return transaction, size of a page and root of the meta page at ``at``; None when there is none, or its checksum is wrong."""
    start = at + _PAGE.size
    if len(data) < start + _META.size:
        return None
    magic, layout, size, _, root, _, _, _, transaction = _META.unpack_from(data, start)
    (checksum,) = struct.unpack_from("<Q", data, start + _META.size)
    if magic != MAGIC or layout != LAYOUT or _fnv(data[start : start + _META.size]) != checksum:
        return None
    return transaction, size, root


def _fnv(data: bytes) -> int:
    """Return the FNV-1a hash with 64 bits, which bbolt keeps of a meta page."""
    value = 0xCBF29CE484222325
    for byte in data:
        value = (value ^ byte) * 0x100000001B3 & 0xFFFFFFFFFFFFFFFF
    return value


class _Tree:
    """The elements of a bucket, page by page."""

    def __init__(self, data: Data, size: int) -> None:
        self._data, self._size, self._pages = data, size, 0

    def items(self, page: int, depth: int = 0) -> Iterator[tuple[int, bytes, bytes]]:
        """Yield flags, key and value of every element below the page with this number."""
        self._pages += 1
        if depth > MOST_DEPTH or self._pages > MOST_PAGES:
            raise ValueError("this is not a sound database of etcd: its pages lead in a circle")
        at = page * self._size
        if page < 0 or at + self._size > len(self._data):
            raise ValueError(f"this is not a whole database of etcd: page {page} is missing")
        _, kind, count, overflow = _PAGE.unpack_from(self._data, at)
        if kind == BRANCH:
            for number in range(count):
                _, _, child = _BRANCH.unpack_from(self._data, at + _PAGE.size + number * _BRANCH.size)
                yield from self.items(child, depth + 1)
        elif kind == LEAF:
            yield from _leaf(self._data[at : at + self._size * (1 + overflow)], count)
        else:
            raise ValueError(f"this is not a sound database of etcd: page {page} is of kind {kind}")

    def bucket(self, value: bytes) -> Iterator[tuple[int, bytes, bytes]]:
        """Yield the elements of a bucket from its value: the number of its page, or for a small one (number 0) the page itself."""
        page, _ = _HEAD.unpack_from(value)
        if page:
            yield from self.items(page)
            return
        inline = value[_HEAD.size :]
        _, _, count, _ = _PAGE.unpack_from(inline)
        yield from _leaf(inline, count)


def _leaf(page: bytes, count: int) -> Iterator[tuple[int, bytes, bytes]]:
    for number in range(count):
        at = _PAGE.size + number * _LEAF.size
        flags, start, key, value = _LEAF.unpack_from(page, at)
        begin = at + start
        if begin + key + value > len(page):
            raise ValueError("this is not a sound database of etcd: an element is cut off")
        yield flags, bytes(page[begin : begin + key]), bytes(page[begin + key : begin + key + value])


def _member(value: bytes) -> Member:
    try:
        said = json.loads(value)
        return Member(
            id=f"{int(said['id']):x}",
            name=str(said.get("name", "")),
            peer_urls=tuple(map(str, said.get("peerURLs") or ())),
            client_urls=tuple(map(str, said.get("clientURLs") or ())),
            learner=bool(said.get("isLearner")),
        )
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"this is no member of etcd: {error!r}") from None
