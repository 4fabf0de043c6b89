"""A release of Kubernetes, fetched once: its own programs, each checked against the published checksum, kept in the cache.

What is half fetched stays in a directory of its own, and the next call goes on there. Only the complete directory gets the final name.
"""

from __future__ import annotations

import os
import re
import tarfile
import time
from dataclasses import dataclass
from hashlib import file_digest
from http.client import HTTPException
from typing import TYPE_CHECKING, Final
from urllib.error import HTTPError
from urllib.request import Request, urlopen

from lab import kube_etcd, kube_parts, release_sources
from lab.building import Say, locked
from lab.kube_parts import NEEDED_PLUGINS, PLUGINS
from lab.mounts import remove_empty, remove_tree
from lab.names import cache
from runbooks.errors import InventoryError, OutcomeError, PrecheckError
from runbooks.text import size_text

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from lab.release_sources import Published, Sources

VERSION: Final = re.compile(r"v?(\d+\.\d+\.\d+(?:-[0-9A-Za-z.-]+)?)")
TRIES: Final = 4
PAUSE_S: Final = 1.0  # before the second try; each further one is a second longer
SILENCE_S: Final = 30
CHUNK: Final = 1 << 20
OTHERWISE: Final = (
    "with --mirror URL a copy is asked instead (docs/lab.md has the layout); --kubernetes DIR takes programs that you have"
)


@dataclass(frozen=True, slots=True)
class Fetch:
    """One release in the making, in the directory ``work``."""

    work: Path
    say: Say

    def get(self, published: Published) -> Path:
        """Return the checked file. PrecheckError when it cannot be had, OutcomeError when it is not what was published."""
        target = self.work / published.name
        wanted = checksum(read(published.checksums), published)
        if target.is_file() and sha256_of(target) == wanted:
            return target
        part = target.with_name(f"{target.name}.part")
        started_before = part.exists()
        self.say(f"fetching {published.url}")
        receive(published.url, part)
        if sha256_of(part) != wanted and started_before:  # its first half may be of another file
            part.unlink()
            receive(published.url, part)
        if (found := sha256_of(part)) != wanted:
            raise OutcomeError(
                f"{published.url} is not what {published.checksums} says: its SHA-256 is {found}, and {wanted} was published",
                hint="nothing of it was kept; ask whoever runs that server, or take another one with --mirror URL",
            )
        part.rename(target)
        return target


def fetched(version: str, mirror: str, say: Say) -> Path:
    """Return the directory with the programs of ``version`` (with or without its v), as `--kubernetes DIR` takes it.

    ``mirror`` is the base address of a copy, "" for the official places. Errors leave what was fetched so far to the next call; a wrong
    checksum leaves nothing.
    """
    found = VERSION.fullmatch(version)
    if found is None:
        raise InventoryError(f"{version!r} is no version of Kubernetes", hint="write it as 1.36.2")
    sources = release_sources.mirror(mirror) if mirror else release_sources.Sources()
    architecture = release_sources.ARCHITECTURES.get(os.uname().machine)
    if architecture is None:
        raise PrecheckError(
            f"no release of Kubernetes is fetched for {os.uname().machine}", hint="--kubernetes DIR takes your own programs"
        )
    place = cache() / "releases"
    path, work = place / f"v{found[1]}-{architecture}", place / f".new-v{found[1]}-{architecture}"
    if path.is_dir():
        return path
    with locked(place / ".lock", "a release of Kubernetes", say):
        if not path.is_dir():
            work.mkdir(exist_ok=True)
            try:
                fill(Fetch(work, say), sources, f"v{found[1]}", architecture)
            except OutcomeError:
                remove_tree(work)
                raise
            except PrecheckError:
                remove_empty(work)
                raise
            work.rename(path)
            say(f"Kubernetes v{found[1]} is in {path}")
    return path


def fill(fetch: Fetch, sources: Sources, version: str, architecture: str) -> None:
    """Fetch the programs of ``version``, then crictl, the CNI plugins, and the etcd that its kubeadm names."""
    for name in ("kubeadm", "kubelet", "kubectl", "kube-apiserver", "kube-controller-manager", "kube-scheduler", "kube-proxy"):
        fetch.get(release_sources.program(sources, version, architecture, name)).chmod(0o755)
    tag = kube_etcd.tag_of(kube_parts.listed(fetch.work, version))
    if not tag:
        raise OutcomeError(f"kubeadm {version} names no image of etcd")
    crictl = fetch.get(release_sources.crictl(sources, version, architecture))
    plugins = fetch.get(release_sources.plugins(sources, architecture))
    etcd = fetch.get(release_sources.etcd(sources, tag, architecture))
    unpack(crictl, fetch.work, lambda name: name == "crictl", ["crictl"])
    unpack(plugins, fetch.work / PLUGINS, lambda _: True, NEEDED_PLUGINS)
    unpack(etcd, fetch.work, lambda name: name in kube_etcd.PROGRAMS, kube_etcd.PROGRAMS[:2])
    for archive in (crictl, plugins, etcd):
        archive.unlink()


def unpack(archive: Path, to: Path, chosen: Callable[[str], bool], needed: tuple[str, ...] | list[str]) -> None:
    """Unpack the programs in ``archive`` whose names (without directories) are ``chosen``. OutcomeError when a ``needed`` one is missing."""
    to.mkdir(exist_ok=True)
    with tarfile.open(archive) as tar:
        for member in tar:
            name = member.name.rpartition("/")[2]
            source = tar.extractfile(member) if member.isfile() and member.mode & 0o100 and chosen(name) else None
            if source is None:
                continue
            target = to / name
            with source, target.open("wb") as file:
                while chunk := source.read(CHUNK):
                    file.write(chunk)
            target.chmod(0o755)
    if missing := [name for name in needed if not (to / name).is_file()]:
        raise OutcomeError(f"{archive.name} has no program {', '.join(missing)}")


# ---------------------------------------------------------------------- one file


def read(url: str) -> str:
    """Return the small text at ``url``; PrecheckError when it cannot be had."""
    last: Exception | None = None
    for attempt in range(TRIES):
        time.sleep(PAUSE_S * attempt)
        try:
            with urlopen(url, timeout=SILENCE_S) as answer:  # noqa: S310 - our own constants, or a mirror whose scheme was checked
                return str(answer.read(CHUNK).decode(errors="replace"))
        except (OSError, HTTPException) as error:
            last = error
            refuse(url, error)
    raise unreachable(url, last)


def receive(url: str, part: Path) -> None:
    """Fetch ``url`` into ``part``; goes on where it ends, if the server can. PrecheckError when it cannot be had."""
    last: Exception | None = None
    for attempt in range(TRIES):
        time.sleep(PAUSE_S * attempt)
        start = part.stat().st_size if part.exists() else 0
        request = Request(url, headers={"Range": f"bytes={start}-"} if start else {})  # noqa: S310 - as above
        try:
            with urlopen(request, timeout=SILENCE_S) as answer:  # noqa: S310
                expected = answer.headers.get("Content-Length")
                with part.open("ab" if answer.status == 206 else "wb") as file:
                    before = file.tell()
                    while chunk := answer.read(CHUNK):
                        file.write(chunk)
                    if expected is None or file.tell() - before == int(expected):
                        return
                    last = OSError(f"the connection ended after {size_text(file.tell())}")
        except HTTPError as error:
            if error.code == 416:  # there is nothing after what we have: it is whole, or of another file
                return
            last = error
            refuse(url, error)
        except (OSError, HTTPException) as error:
            last = error
    raise unreachable(url, last)


def refuse(url: str, error: Exception) -> None:
    """Raise PrecheckError for an answer that no repetition changes."""
    if isinstance(error, HTTPError) and 400 <= error.code < 500 and error.code not in {408, 429}:
        raise PrecheckError(
            f"{url}: {error.code} {error.reason}: there is no such release, or not for us", hint=OTHERWISE
        ) from error


def unreachable(url: str, error: Exception | None) -> PrecheckError:
    """Return the refusal for a server that does not give us ``url``."""
    reason = getattr(error, "reason", None) or error
    return PrecheckError(f"{url} cannot be fetched: {reason}", hint=OTHERWISE)


def checksum(text: str, published: Published) -> str:
    """Return the SHA-256 of ``published`` in the ``text`` of its file of checksums; OutcomeError when it is not in there. Pure."""
    lines = [line.split() for line in text.splitlines() if line.strip()]
    for words in lines:
        named = (len(words) == 1 and len(lines) == 1) or words[-1].lstrip("*").rpartition("/")[2] == published.name
        if named and re.fullmatch(r"[0-9a-fA-F]{64}", words[0]):
            return words[0].lower()
    raise OutcomeError(f"{published.checksums} has no checksum of {published.name}", hint=OTHERWISE)


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file."""
    with path.open("rb") as file:
        return file_digest(file, "sha256").hexdigest()
