"""etcd's own programs (etcd, etcdctl, etcdutl): what a host has of them, and what they say of themselves."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

from runbooks.commands.backup import SLOWEST
from runbooks.commands.base import Answer, Command, Probe, script

PROGRAMS: Final = ("etcd", "etcdctl", "etcdutl")
LARGEST: Final = 512 << 20  # bytes that all of them have at the most
_VERSION: Final = re.compile(r"\d+\.\d+\.\d+(?:-[a-z0-9][a-z0-9.]*)?")
_DIGEST: Final = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class Offer:
    """The programs that a host's etcd was started from: the digest of each, and their size in bytes together."""

    version: str
    digests: Mapping[str, str]
    size: int


def look() -> Probe[Offer]:
    """What this host has."""
    command = script("backup-tools", {"ACTION": "look"}, timeout=60, after=("etcd-find",))
    return Probe(replace(command, shown="etcd --version; sha256sum etcd etcdctl etcdutl"), parse_offer)


def send(base: str) -> Command:
    """Send the programs; ``base`` is the host's own directory for backups."""
    variables = {"ACTION": "send", "BASE": base}
    command = script("backup-tools", variables, timeout=60 + LARGEST / SLOWEST, after=("backup-work", "etcd-find"))
    return replace(command, shown="cat etcd etcdctl etcdutl")


def parse_offer(answer: Answer) -> Offer:
    """Read what backup-tools.sh prints. Raises ValueError when it is something else: the version will be a directory's name."""
    first, *lines = answer.stdout.splitlines() or [""]
    version = first.removeprefix("version ").strip()
    digests, size = {}, 0
    for line in lines:
        digest, number, name = (*line.split(), "", "", "")[:3]
        if name not in PROGRAMS or not _DIGEST.fullmatch(digest) or not number.isdecimal():
            raise ValueError(f"{line[:100]!r} is no program of etcd's")
        digests[name] = digest
        size += int(number)
    if not _VERSION.fullmatch(version) or not {"etcd", "etcdctl"} <= digests.keys() or size > LARGEST:
        raise ValueError(f"these are no programs of etcd's: {answer.stdout[:100]!r}")
    return Offer(version, digests, size)


def said_version(text: str) -> str:
    r"""Return the version in what `etcd --version`, `etcdctl version` or `etcdutl version` prints, or "".

    >>> said_version("etcdutl version: 3.5.16\nAPI version: 3.5")
    '3.5.16'
    """
    found = re.search(r"^etcd\w* version:\s*(\S+)", text, re.MULTILINE | re.IGNORECASE)
    return found[1] if found and _VERSION.fullmatch(found[1]) else ""


def minor(version: str) -> tuple[int, int]:
    """Return what has to be the same for a program to read a snapshot. Raises ValueError when it is no version.

    >>> minor("3.5.16")
    (3, 5)
    """
    if not _VERSION.fullmatch(version):
        raise ValueError(f"{version!r} is no version of etcd's")
    major, second, _ = version.split(".", 2)
    return int(major), int(second)


def reader(version: str) -> str:
    """Return which program checks and restores snapshots: etcdutl since 3.5, from 3.6 on nothing else.

    >>> reader("3.4.23"), reader("3.6.1")
    ('etcdctl', 'etcdutl')
    """
    return "etcdutl" if minor(version) >= (3, 5) else "etcdctl"
