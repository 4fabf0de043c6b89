"""A release of Kubernetes, fetched once: its own programs, each checked against the published checksum, kept in the cache.

What is half fetched stays in a directory of its own, and the next call goes on there. Only the complete directory gets the final name.
"""

from __future__ import annotations

import os
import re
import tarfile
import time
import zlib
from dataclasses import dataclass, field
from gzip import BadGzipFile
from hashlib import file_digest
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from lab import download, kube_etcd, kube_parts, release_sources
from lab.building import Say, locked
from lab.kube_parts import NEEDED_PLUGINS, PLUGINS
from lab.mounts import remove_empty, remove_tree
from lab.names import cache
from runbooks.errors import CommandError, DiskError, InventoryError, OutcomeError, PrecheckError, RunbookError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from lab.release_sources import Published, Sources

VERSION: Final = re.compile(r"v?(\d+\.\d+\.\d+(?:-[0-9A-Za-z.-]+)?)")
PROGRAM: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")  # the name of one in an archive
GIVEN_UP_S: Final = 7 * 86400  # a half-fetched release that nobody asked for in so many seconds is removed


class Mismatch(OutcomeError):  # noqa: N818 - a state
    """A file is not the one that was published."""


@dataclass(frozen=True, slots=True)
class Fetch:
    """One release in the making, in the directory ``work``."""

    work: Path
    say: Say
    met: set[str] = field(default_factory=set)  # the servers that have answered

    def get(self, published: Published) -> Path:
        """Return the checked file. PrecheckError when it cannot be had, Mismatch when it is not what was published."""
        target = self.work / published.name
        server = urlsplit(published.checksums).netloc
        wanted = checksum(download.text(published.checksums, first=server not in self.met), published)
        self.met.add(server)
        if target.is_file() and sha256_of(target) == wanted:
            return target
        part = target.with_name(f"{target.name}.part")
        started_before = part.exists()
        self.say(f"fetching {published.url}")
        download.receive(published.url, part)
        if sha256_of(part) != wanted and started_before:  # its first half may be of another file
            part.unlink()
            download.receive(published.url, part)
        if (found := sha256_of(part)) != wanted:
            raise Mismatch(
                f"{published.url} is not what {published.checksums} says: its SHA-256 is {found}, and {wanted} was published",
                hint="nothing of it was kept; ask whoever runs that server, or take another one with --mirror URL",
            )
        part.rename(target)
        return target


def place_of(version: str) -> Path:
    """Return where the cache keeps the release ``version`` (with or without its v), there or not."""
    found = VERSION.fullmatch(version)
    if found is None:
        raise InventoryError(f"{version!r} is no version of Kubernetes", hint="write it as 1.36.2")
    return cache() / "releases" / f"v{found[1]}-{architecture()}-cni-{release_sources.CNI_VERSION}"


def architecture() -> str:
    """Return the word for this machine in the names of published files."""
    word = release_sources.ARCHITECTURES.get(os.uname().machine)
    if word is None:
        raise PrecheckError(
            f"no release of Kubernetes is fetched for {os.uname().machine}", hint="--kubernetes DIR takes your own programs"
        )
    return word


def fetched(version: str, sources: Sources, say: Say) -> Path:
    """Return the directory with the programs of ``version`` (with or without its v), as `--kubernetes DIR` takes it.

    Errors leave what was fetched and checked so far to the next call; a wrong checksum leaves nothing. DiskError when it cannot be kept.
    """
    path = place_of(version)
    work = path.with_name(f".new-{path.name}")
    if path.is_dir():
        return path
    try:
        with locked(path.with_name(".lock"), "a release of Kubernetes", say):
            if not path.is_dir():
                forget(path.parent, work)
                work.mkdir(exist_ok=True)
                os.utime(work)
                say(
                    f"Kubernetes {plain(version)} is not in the cache. Fetching up to 0.6 GB from {' and '.join(sources.servers)}"
                )
                fill(Fetch(work, say), sources, plain(version))
                work.rename(path)
                say(f"Kubernetes {plain(version)} is in {path}")
    except Mismatch:
        remove_tree(work)
        raise
    except RunbookError:
        remove_empty(work)
        raise
    except OSError as error:
        raise DiskError(
            f"{error.filename or work}: {error.strerror or error}",
            hint="a release needs 1 GB while it is fetched; HA_LAB_CACHE=DIR keeps the lab's cache in another directory",
        ) from error
    return path


def plain(version: str) -> str:
    """Return ``version`` with its v. Pure."""
    return f"v{version.removeprefix('v')}"


def forget(place: Path, work: Path) -> None:
    """Remove what was half fetched and not asked for in a long time, but not ``work``."""
    for other in place.glob(".new-*"):
        if other != work and time.time() - other.stat().st_mtime > GIVEN_UP_S:
            remove_tree(other)


def fill(fetch: Fetch, sources: Sources, version: str) -> None:
    """Fetch the programs of ``version``, crictl, the CNI plugins, and the etcd that its kubeadm names.

    Something of every server comes first, and the many programs last: a server that does not answer is found early.
    """

    def program(name: str) -> None:
        fetch.get(release_sources.program(sources, version, architecture(), name)).chmod(0o755)

    program("kubeadm")
    tag = etcd_tag(fetch.work, sources, version)
    crictl = release_sources.crictl(sources, version, architecture())
    plugins = release_sources.plugins(sources, architecture())
    etcd = release_sources.etcd(sources, tag, architecture())
    archives = [fetch.get(published) for published in (crictl, plugins, etcd)]
    for name in ("kubelet", "kubectl", "kube-apiserver", "kube-controller-manager", "kube-scheduler", "kube-proxy"):
        program(name)
    remove_tree(fetch.work / PLUGINS)  # of an earlier call
    unpack(fetch.work, crictl, fetch.work, lambda name: name == "crictl", ["crictl"])
    unpack(fetch.work, plugins, fetch.work / PLUGINS, lambda _: True, NEEDED_PLUGINS)
    unpack(fetch.work, etcd, fetch.work, lambda name: name in kube_etcd.PROGRAMS, kube_etcd.PROGRAMS[:2])
    for archive in archives:
        archive.unlink()


def etcd_tag(work: Path, sources: Sources, version: str) -> str:
    """Return the tag of the image etcd that the kubeadm in ``work`` names. PrecheckError when it does not run, or names none."""
    said = ""
    try:
        tag = kube_etcd.tag_of(kube_parts.listed(work, version))
    except CommandError as error:
        tag, said = "", f" {error}"
    if not tag:
        url = release_sources.program(sources, version, architecture(), "kubeadm").url
        raise PrecheckError(f"{url} names no image of etcd, as kubeadm does.{said}", hint=download.OTHERWISE)
    return tag


def unpack(work: Path, published: Published, to: Path, chosen: Callable[[str], bool], needed: Sequence[str]) -> None:
    """Unpack the programs in an archive in ``work`` whose names (without directories) are ``chosen``.

    PrecheckError when it is no whole archive, or a ``needed`` program is missing.
    """
    to.mkdir(exist_ok=True)
    try:
        with tarfile.open(work / published.name, "r:gz") as tar:
            for member in tar:
                name = member.name.rpartition("/")[2]
                good = member.isfile() and member.mode & 0o100 and PROGRAM.fullmatch(name) and chosen(name)
                source = tar.extractfile(member) if good else None
                if source is None:
                    continue
                target = to / name
                with source, target.open("wb") as file:
                    while chunk := source.read(download.CHUNK):
                        file.write(chunk)
                target.chmod(0o755)
    except (tarfile.TarError, BadGzipFile, zlib.error, EOFError, ValueError) as error:
        raise PrecheckError(
            f"{published.url} is no whole archive (tar, gzip), though its checksum is the published one: {error}",
            hint="ask whoever runs that server, or take another one with --mirror URL",
        ) from error
    if missing := [name for name in needed if not (to / name).is_file()]:
        raise PrecheckError(f"{published.url} has no program {', '.join(missing)}", hint=download.OTHERWISE)


def checksum(text: str, published: Published) -> str:
    """Return the SHA-256 of ``published`` in the ``text`` of its file of checksums; PrecheckError when it is not in there. Pure."""
    lines = [line.split() for line in text.splitlines() if line.strip()]
    for words in lines:
        named = (len(words) == 1 and len(lines) == 1) or words[-1].lstrip("*").rpartition("/")[2] == published.name
        if named and re.fullmatch(r"[0-9a-fA-F]{64}", words[0]):
            return words[0].lower()
    raise PrecheckError(
        f"{published.checksums} has no checksum of {published.name}. It begins with {text.strip()[:60]!r}",
        hint=download.OTHERWISE,
    )


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file."""
    with path.open("rb") as file:
        return file_digest(file, "sha256").hexdigest()
