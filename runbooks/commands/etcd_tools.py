"""etcd's own programs (etcd, etcdctl, etcdutl) on a control plane host, and their versions."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

from runbooks.commands.backup import SLOWEST
from runbooks.commands.base import Answer, Command, Probe, script

PROGRAMS: Final = ("etcd", "etcdctl", "etcdutl")
LARGEST: Final = 512 << 20  # bytes: more than all of them together have
_VERSION: Final = re.compile(r"\d+\.\d+\.\d+(?:-[a-z0-9][a-z0-9.]*)?")
_DIGEST: Final = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class EtcdPrograms:
    """The programs of the etcd that runs on a host: the SHA-256 of each, and their total size in bytes."""

    version: str
    digests: Mapping[str, str]
    size: int


@dataclass(frozen=True, slots=True)
class SnapshotStatus:
    """What `snapshot status` says of a snapshot: hash, revision, and size in bytes.

    ``total_keys`` is only recorded: before etcd 3.6 it counts every revision in every bucket, since then the live keys.
    """

    hash: int
    revision: int
    size: int
    total_keys: int


def look() -> Probe[EtcdPrograms]:
    """Return the programs of this host."""
    command = script("backup-tools", {"ACTION": "look"}, timeout=60, after=("etcd-find",))
    return Probe(replace(command, shown="etcd --version; sha256sum etcd etcdctl etcdutl"), parse_programs)


def send(base: str) -> Command:
    """Send the programs of this host; ``base`` is its directory for backups."""
    variables = {"ACTION": "send", "BASE": base}
    command = script("backup-tools", variables, timeout=60 + LARGEST / SLOWEST, after=("backup-work", "etcd-find"))
    return replace(command, shown="cat etcd etcdctl etcdutl")


def parse_programs(answer: Answer) -> EtcdPrograms:
    """Parse the answer to `look`. Raises ValueError unless all of it is as expected: the version becomes a directory's name."""
    first, *lines = answer.stdout.splitlines() or [""]
    version = first.removeprefix("version ").strip()
    digests, size = {}, 0
    for line in lines:
        digest, number, name = (*line.split(), "", "", "")[:3]
        if name not in PROGRAMS or not _DIGEST.fullmatch(digest) or not number.isdecimal():
            raise ValueError(f"{line[:100]!r} is not one of etcd's programs")
        digests[name] = digest
        size += int(number)
    if not _VERSION.fullmatch(version) or not {"etcd", "etcdctl"} <= digests.keys() or size > LARGEST:
        raise ValueError(f"these are not etcd's programs: {answer.stdout[:100]!r}")
    return EtcdPrograms(version, digests, size)


def parse_snapshot(text: str) -> SnapshotStatus:
    """Parse the JSON of `etcdutl snapshot status`. Raises ValueError when it is something else: etcdctl 3.6 prints its help, exit status 0."""
    try:
        found = json.loads(text)
        return SnapshotStatus(int(found["hash"]), int(found["revision"]), int(found["totalSize"]), int(found["totalKey"]))
    except (ValueError, KeyError, TypeError):
        raise ValueError(f"`snapshot status` says {text.strip()[:100]!r}") from None


def parse_version(text: str) -> str:
    r"""Return the version in what `etcd --version`, `etcdctl version` or `etcdutl version` prints, or "".

    >>> parse_version("etcdutl version: 3.5.16\nAPI version: 3.5")
    '3.5.16'
    """
    found = re.search(r"^etcd\w* version:\s*(\S+)", text, re.MULTILINE | re.IGNORECASE)
    return found[1] if found and _VERSION.fullmatch(found[1]) else ""


def minor(version: str) -> tuple[int, int]:
    """Return major and minor: a program reads snapshots only of its own. Raises ValueError when ``version`` is not a version.

    >>> minor("3.5.16")
    (3, 5)
    """
    if not _VERSION.fullmatch(version):
        raise ValueError(f"{version!r} is not a version of etcd")
    major, second, _ = version.split(".", 2)
    return int(major), int(second)


def reader(version: str) -> str:
    """Return the program that checks and restores snapshots: etcdutl from 3.5 on (3.6 removed it from etcdctl), else etcdctl.

    >>> reader("3.4.23"), reader("3.6.1")
    ('etcdctl', 'etcdutl')
    """
    return "etcdutl" if minor(version) >= (3, 5) else "etcdctl"
