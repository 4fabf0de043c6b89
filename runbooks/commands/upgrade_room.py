"""What an upgrade needs room for on a host: images, packages, and kubeadm's copy of etcd's data in /etc/kubernetes/tmp."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from runbooks.commands.base import Answer, Probe, script

COPIES: Final = "/etc/kubernetes"  # kubeadm's copies are in tmp below it
IMAGES, PACKAGES = "/var/lib/containerd", "/var/cache"
DIRECTORIES: Final = (COPIES, PACKAGES)  # and where containerd keeps images: IMAGES unless its configuration says otherwise


@dataclass(frozen=True, slots=True)
class Room:
    """One file system: its mount point, and its size and free bytes."""

    mount: str
    size: int
    free: int


@dataclass(frozen=True, slots=True, kw_only=True)
class HostRoom:
    """The room on one host: by directory of `DIRECTORIES`, and ``store``; etcd: bytes of its data; lacks: images; missing: directories.

    ``store`` is where containerd keeps images; not ``told`` by its configuration, it is assumed.
    """

    rooms: dict[str, Room]
    etcd: int
    lacks: tuple[str, ...]
    missing: tuple[str, ...] = ()
    store: str = IMAGES
    told: bool = True


def look(images: Sequence[str]) -> Probe[HostRoom]:
    """Read the room on a host, and which of ``images`` it does not have."""
    command = script("upgrade-room", {"DIRECTORIES": DIRECTORIES, "IMAGES": list(images), "STORE": IMAGES}, timeout=60)
    return Probe(replace(command, shown="containerd config dump; df; du of etcd's data; crictl inspecti"), parse)


def parse(answer: Answer) -> HostRoom:
    """Parse the lines of upgrade-room.sh. Raises ValueError for a number that is none, and when no file system was told."""
    lines = [line.split(" ") for line in answer.stdout.splitlines()]
    rooms = {rest[0]: Room(rest[1], int(rest[2]), int(rest[3])) for key, *rest in lines if key == "disk"}
    if not rooms:
        raise ValueError("df printed nothing")
    store = next((rest for key, *rest in lines if key == "store"), [IMAGES, "assumed"])
    return HostRoom(
        rooms=rooms,
        etcd=sum(int(rest[0]) for key, *rest in lines if key == "etcd"),
        lacks=tuple(rest[0] for key, *rest in lines if key == "lacks"),
        missing=tuple(rest[0] for key, *rest in lines if key == "missing"),
        store=store[0],
        told=store[-1] == "told",
    )
