"""Which Kubernetes the flags of `lab.up` ask for. A release among them is fetched, after everything else was found to be right."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from lab import kube_release, release_sources
from lab.kubernetes import Kubernetes, complete, speaks_to
from runbooks.errors import InventoryError

if TYPE_CHECKING:
    from lab.building import Say


@dataclass(frozen=True, slots=True, kw_only=True)
class Flags:
    """The flags of `lab.up` about Kubernetes, as they were written. ``kubernetes`` and ``upgrade`` name a directory or a release."""

    kubernetes: str = ""
    upgrade: str = ""
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
    releases = [text for text in (flags.kubernetes, flags.upgrade) if is_release(text)]
    if flags.mirror and not releases:
        raise InventoryError(
            "--mirror has nothing to fetch", hint="--kubernetes 1.36.2 names a release; a directory is taken as it is"
        )
    wanted = Kubernetes(directory(flags.kubernetes), directory(flags.upgrade), flags.etcd, flags.containerd)
    if releases:
        for text in (flags.kubernetes, flags.upgrade):
            if text and not is_release(text):
                complete(Path(text).expanduser().absolute())
        for text in releases:
            speaks_to(f"v{text.removeprefix('v')}", wanted)
        sources = release_sources.chosen(flags.mirror)
        for text in releases:
            kube_release.fetched(text, sources, say)
    return wanted


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
