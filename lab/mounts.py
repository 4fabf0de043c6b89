"""Mounts of this machine: which there are, and taking them away."""

import os
import re
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from lab.process import run
from runbooks.errors import OutcomeError

MOUNTINFO = Path("/proc/self/mountinfo")


class Mount(NamedTuple):
    """One line of mountinfo. ``root`` is what part of its file system is mounted at ``point``; ``device`` is MAJOR:MINOR."""

    point: Path
    root: str
    fstype: str
    device: str
    options: str


def parse(mountinfo: str) -> list[Mount]:
    """Return the mounts in ``mountinfo`` (proc(5)), oldest first."""
    found = []
    for line in mountinfo.splitlines():
        left, _, right = line.partition(" - ")
        fields, (fstype, _, options) = left.split(" "), right.split(" ", 2)
        found.append(Mount(Path(plain(fields[4])), plain(fields[3]), fstype, fields[2], plain(options)))
    return found


def plain(text: str) -> str:
    r"""Undo the kernel's escapes: ``\040`` is a space."""
    return re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), text)


def mounts() -> list[Mount]:
    """Return this process's mounts, oldest first."""
    return parse(MOUNTINFO.read_text())


def holding(path: Path, found: Sequence[Mount]) -> Mount | None:
    """Return which of the mounts ``found`` the resolved ``path`` lies on. Pure."""
    above = [each for each in found if path.is_relative_to(each.point)]
    return max(reversed(above), key=lambda each: len(each.point.parts), default=None)


def is_mounted(path: Path) -> bool:
    """Whether something is mounted exactly at ``path``."""
    return any(mount.point == path for mount in mounts())


def mount(fstype: str, source: str, point: Path, options: str) -> None:
    """Mount a new file system."""
    run(["mount", "-t", fstype, "-o", options, source, str(point)])


def unmount_below(path: Path) -> None:
    """Unmount everything at or below ``path``, newest first. A busy mount is detached and goes when its last user does."""
    for found in reversed(mounts()):
        if (found.point == path or path in found.point.parents) and run(["umount", str(found.point)], check=False).returncode:
            run(["umount", "--lazy", str(found.point)])


def remove_tree(path: Path) -> None:
    """Remove ``path`` and all below it, mounts first. Never reaches into a mounted file system: that could be the machine's own."""
    unmount_below(path)
    left = [str(found.point) for found in mounts() if found.point == path or path in found.point.parents]
    if left:
        raise OutcomeError(f"{path} stays, because there are mounts below it: {', '.join(left)}", hint=f"umount {left[-1]}")
    if path.exists():
        shutil.rmtree(path)


def remove_empty(path: Path) -> None:
    """Remove the directory ``path`` if it is there and empty."""
    try:
        path.rmdir()
    except OSError:
        if os.path.lexists(path) and not any(path.iterdir()):
            raise
