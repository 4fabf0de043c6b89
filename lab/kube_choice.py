"""Which Kubernetes the flags of `lab.up` ask for. A release among them is fetched, after everything else was found to be right."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from lab import kube_build, kube_release, release_sources
from lab.kubernetes import Kubernetes, complete, speaks_to
from runbooks.errors import InventoryError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lab.building import Say


DEBIAN = "debian"  # in place of a directory: the lab's own, built from Debian's source package


@dataclass(frozen=True, slots=True, kw_only=True)
class Flags:
    """The flags of `lab.up` about Kubernetes, as they were written. ``kubernetes`` and each of ``upgrade`` name a directory or a release."""

    kubernetes: str = ""
    upgrade: tuple[str, ...] = ()
    etcd: str = ""
    containerd: str = ""
    mirror: str = ""
    without: bool = False


def chosen(flags: Flags, say: Say) -> Kubernetes | None:
    """Return what the flags of `lab.up` ask for, and fetch a release that is among them.

    InventoryError when they contradict each other; what can be told without the programs is told before anything is requested.
    """
    given = [f"--{name}" for name in ("kubernetes", "upgrade", "etcd", "containerd", "mirror") if getattr(flags, name)]
    if flags.without and given:
        raise InventoryError(f"--no-kubernetes leaves nothing for {', '.join(given)} to choose")
    if flags.without:
        return None
    texts = [text for text in (flags.kubernetes, *flags.upgrade) if text]
    releases = [text for text in texts if is_release(text)] if flags.kubernetes != DEBIAN else []
    if flags.mirror and not releases:
        raise InventoryError(
            "--mirror has nothing to fetch", hint="--kubernetes 1.36.2 names a release; a directory is taken as it is"
        )
    if flags.kubernetes == DEBIAN:
        return Kubernetes(etcd=flags.etcd, containerd=flags.containerd, stamps=stamps(flags.upgrade))
    upgrades = tuple(path for text in flags.upgrade if (path := directory(text)))
    wanted = Kubernetes(directory(flags.kubernetes), upgrades, flags.etcd, flags.containerd)
    if releases:
        for text in texts:
            if not is_release(text):
                complete(Path(text).expanduser().absolute())
        for text in releases:
            speaks_to(f"v{text.removeprefix('v')}", wanted)
        sources = release_sources.chosen(flags.mirror)
        for text in releases:
            kube_release.fetched(text, sources, say)
    return wanted


def stamps(upgrade: Sequence[str]) -> tuple[str, ...]:
    """Return the versions that Debian's source is built as: its own, then those of ``upgrade``, by default the next patch release. Pure.

    InventoryError for anything but newer patch releases of the same minor version, each once, in their order: it is the same source.
    """
    first = kube_build.STAMPS[0]
    minor, _, patch = first.rpartition(".")
    found = tuple(f"v{text.removeprefix('v')}" for text in upgrade)
    patches = [
        int(patch),
        *(int(one.removeprefix(f"{minor}.")) for one in found if re.fullmatch(rf"{re.escape(minor)}\.\d{{1,4}}", one)),
    ]
    if len(patches) != len(found) + 1 or patches != sorted(set(patches)):
        raise InventoryError(
            f"--kubernetes {DEBIAN} --upgrade {','.join(upgrade)}: Debian has the source of {first}, which the lab can only build once more "
            f"as newer patch releases of {minor}, each once and the oldest first",
            hint=f"--upgrade {kube_build.STAMPS[1].removeprefix('v')}; for other versions name directories or releases with both flags",
        )
    return (first, *found) if found else kube_build.STAMPS


def is_release(text: str) -> bool:
    """Whether ``text`` names a release and no directory: 1.36.2 or v1.36.2."""
    return kube_release.VERSION.fullmatch(text) is not None and not Path(text).is_dir()


def directory(text: str) -> Path | None:
    """Return the directory that a flag names, that of a release in the cache (there or not); None for an empty one."""
    path = Path(text).expanduser().absolute()
    if is_release(text):
        return kube_release.place_of(text)
    if re.fullmatch(r"v?\d[\w.+*-]*", text) and not path.is_dir():
        raise InventoryError(f"{text} is no directory, and no whole version of Kubernetes", hint="write it as 1.36.2")
    return path if text else None
