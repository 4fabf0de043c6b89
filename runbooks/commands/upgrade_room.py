"""What an upgrade needs room for on a host: images, packages, and kubeadm's copy of etcd's data in /etc/kubernetes/tmp."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from runbooks.commands.base import Answer, Probe, script

COPIES: Final = "/etc/kubernetes"  # kubeadm's copies are in tmp below it
IMAGES, PACKAGES = "/var/lib/containerd", "/var/cache"
DIRECTORIES: Final = (COPIES, IMAGES, PACKAGES)


@dataclass(frozen=True, slots=True)
class Room:
    """One file system: its mount point, and its size and free bytes."""

    mount: str
    size: int
    free: int


@dataclass(frozen=True, slots=True, kw_only=True)
class HostRoom:
    """The room on one host: by directory of `DIRECTORIES`; etcd: bytes of its data; lacks: images."""

    rooms: dict[str, Room]
    etcd: int
    lacks: tuple[str, ...]


def look(images: Sequence[str]) -> Probe[HostRoom]:
    """Read the room on a host, and which of ``images`` it does not have."""
    command = script("upgrade-room", {"DIRECTORIES": DIRECTORIES, "IMAGES": list(images)}, timeout=60)
    return Probe(replace(command, shown="df; du of etcd's data; crictl inspecti"), parse)


def parse(answer: Answer) -> HostRoom:
    """Parse the lines of upgrade-room.sh. Raises ValueError for a number that is none, and when no file system was told."""
    lines = [line.split(" ") for line in answer.stdout.splitlines()]
    rooms = {rest[0]: Room(rest[1], int(rest[2]), int(rest[3])) for key, *rest in lines if key == "disk"}
    if not rooms:
        raise ValueError("df printed nothing")
    return HostRoom(
        rooms=rooms,
        etcd=sum(int(rest[0]) for key, *rest in lines if key == "etcd"),
        lacks=tuple(rest[0] for key, *rest in lines if key == "lacks"),
    )
