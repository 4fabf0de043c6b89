"""Who holds the VIP, and since when: the kernel of each load balancer says it the moment an address comes or goes."""

from __future__ import annotations

import ctypes
import os
import socket
import struct
import time
from dataclasses import dataclass, field
from ipaddress import IPv4Address
from threading import Thread
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

CLONE_NEWNET = 0x40000000
NEW_ADDRESS, DELETED_ADDRESS, GET_ADDRESSES = 20, 21, 22
GROUP_IPV4_ADDRESS = 0x10
ROOT_MATCH_REQUEST = 0x301
IFA_LOCAL = 2
HEADER = struct.Struct("=LHHLL")
ADDRESS = struct.Struct("=BBBBL")
ATTRIBUTE = struct.Struct("=HH")


@dataclass
class Holding:
    """When one LB began and ceased to hold the VIP: (time, holds) pairs."""

    changes: list[tuple[float, bool]] = field(default_factory=list)

    def add(self, holds: bool, at: float | None = None) -> None:
        if not self.changes or self.changes[-1][1] != holds:
            self.changes.append((time.monotonic() if at is None else at, holds))

    @property
    def now(self) -> bool:
        return bool(self.changes) and self.changes[-1][1]


def messages(data: bytes) -> list[tuple[int, bytes]]:
    """Split what netlink sends into (type, body)."""
    found, at = [], 0
    while at + HEADER.size <= len(data):
        length, kind, *_ = HEADER.unpack_from(data, at)
        found.append((kind, data[at + HEADER.size : at + length]))
        at += (length + 3) & ~3
    return found


def local_address(body: bytes) -> IPv4Address | None:
    """Return the address that an address message is about."""
    at = ADDRESS.size
    while at + ATTRIBUTE.size <= len(body):
        length, kind = ATTRIBUTE.unpack_from(body, at)
        if kind == IFA_LOCAL:
            return IPv4Address(body[at + ATTRIBUTE.size : at + length])
        at += max((length + 3) & ~3, ATTRIBUTE.size)
    return None


def socket_in(pid: int) -> socket.socket:
    """Return a netlink socket in the network namespace of ``pid`` that hears of every IPv4 address."""
    made: list[socket.socket] = []

    def enter() -> None:
        handle = os.open(f"/proc/{pid}/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        try:
            if ctypes.CDLL(None, use_errno=True).setns(handle, CLONE_NEWNET) == 0:
                made.append(socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE))
        finally:
            os.close(handle)

    thread = Thread(target=enter)  # setns is for one thread: it must not be ours
    thread.start()
    thread.join()
    if not made:
        raise OSError(f"cannot enter the network namespace of process {pid}")
    made[0].bind((0, GROUP_IPV4_ADDRESS))
    return made[0]


class Holders:
    """Watches the VIP on every LB; a host that was powered on again is attached again."""

    def __init__(self, vip: str) -> None:
        self.vip = IPv4Address(vip)
        self.of: dict[str, Holding] = {}
        self._sockets: dict[str, socket.socket] = {}

    def attach(self, host: str, pid: int) -> None:
        """Watch ``host``, whose PID 1 is ``pid``."""
        self.detach(host)
        link = self._sockets[host] = socket_in(pid)
        request = ADDRESS.pack(socket.AF_INET, 0, 0, 0, 0)
        link.send(HEADER.pack(HEADER.size + len(request), GET_ADDRESSES, ROOT_MATCH_REQUEST, 1, 0) + request)
        Thread(target=self._watch, args=(host, link), daemon=True).start()

    def detach(self, host: str) -> None:
        """Stop watching ``host``: it is off, and holds nothing."""
        link = self._sockets.pop(host, None)
        if link:
            link.close()
        self.of.setdefault(host, Holding()).add(False)

    def holding(self) -> list[str]:
        """Return the LBs that hold the VIP now."""
        return [host for host, holding in self.of.items() if holding.now]

    def _watch(self, host: str, link: socket.socket) -> None:
        link.settimeout(1)
        while self._sockets.get(host) is link:
            try:
                data = link.recv(1 << 16)
            except TimeoutError:
                continue
            except OSError:
                return
            for kind, body in messages(data):
                if kind in {NEW_ADDRESS, DELETED_ADDRESS} and local_address(body) == self.vip and self._sockets.get(host) is link:
                    self.of[host].add(kind == NEW_ADDRESS)


def moves(of: Mapping[str, Holding], since: float) -> int:
    """Return how often an LB took the VIP after ``since``."""
    return sum(holds and at > since for holding in of.values() for at, holds in holding.changes)


def together_ms(changes: Sequence[Sequence[tuple[float, bool]]], since: float, until: float) -> float:
    """Return how long two or more held the VIP at the same time between ``since`` and ``until``. Pure."""
    steps = sorted((at, 1 if holds else -1) for each in changes for at, holds in each[_first_true(each) :])
    total, count, last = 0.0, 0, since
    for at, step in [*steps, (until, 0)]:
        here = min(max(at, since), until)
        if count > 1:
            total += here - last
        count, last = count + step, here
    return round(total * 1000, 1)


def _first_true(changes: Sequence[tuple[float, bool]]) -> int:
    return next((index for index, (_, holds) in enumerate(changes) if holds), len(changes))
