"""A state of containerd that has every image, made once, and every host's own copy of it: links that cost neither time nor space."""

from __future__ import annotations

import stat
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from lab.mounts import Mount, mounts, remove_tree
from lab.process import DIES, run

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from lab.kube_build import Job

STACKABLE = {"ext4", "ext3", "xfs", "btrfs", "f2fs", "zfs"}  # what an overlay's upper directory and hard links can be on


def make(job: Job, target: Path) -> None:
    """Import the archive ``job.work``/images.tar with the hosts' own containerd; its state becomes ``target``."""
    tmpfs = "" if stackable(target.parent, mounts()) else "yes"
    job.run("golden.sh", job.work, LAB_TMPFS=tmpfs, LAB_TARGET=str(target))


def stackable(directory: Path, found: Sequence[Mount]) -> bool:
    """Whether an overlay can be mounted with its upper directory in ``directory``. Pure. Not so in most containers' own root."""
    above = [mount for mount in found if mount.point == directory or mount.point in directory.parents]
    nearest = max(above, key=lambda mount: len(mount.point.parts), default=None)
    return nearest is not None and nearest.fstype in STACKABLE


def is_database(path: Path) -> bool:
    """Whether containerd writes to the file in place."""
    return path.suffix == ".db"


def not_of(golden: Path) -> Callable[[Path], bool]:
    """Return whether a file is one that its owner may still write to: a database, or any that does not come from ``golden``.

    What a container or a build wrote into a layer of its own may have several names too, so that counting names says nothing.
    """
    shared = inodes(golden)

    def own(path: Path) -> bool:
        found = path.lstat()
        return is_database(path) or (found.st_dev, found.st_ino) not in shared

    return own


def give(golden: Path, target: Path, own: Callable[[Path], bool] = is_database) -> None:
    """Make ``target`` a copy of ``golden``: hard links where both are on one file system, but real copies of the files that are its ``own``.

    containerd writes blobs and the layers of images once and only ever reads them afterwards; the databases it writes in place.
    """
    fresh = target.with_name(f"{target.name}.new")
    remove_tree(fresh)
    linked = golden.stat().st_dev == target.parent.stat().st_dev
    mine = [path.relative_to(golden) for path in files(golden) if own(path)] if linked else []
    run([*DIES, "cp", "--archive", *(["--link"] if linked else []), str(golden), str(fresh)], timeout_s=300)
    for path in mine:
        (fresh / path).unlink()
    for some in batched(mine, 500):  # files with several names stay one file within each call
        words = ["cp", "--archive", "--sparse=always", "--parents", "--target-directory", str(fresh), "--", *map(str, some)]
        run([*DIES, "env", f"--chdir={golden}", *words], timeout_s=300)
    if target.exists():
        target.rmdir()
    fresh.rename(target)


@cache
def inodes(golden: Path) -> frozenset[tuple[int, int]]:
    """Return the device and inode of every file below ``golden``, which nobody changes."""
    return frozenset((found.st_dev, found.st_ino) for path in files(golden) if (found := path.lstat()))


def files(directory: Path) -> Iterator[Path]:
    """Return every plain file below ``directory``."""
    return (path for path in directory.rglob("*") if stat.S_ISREG(path.lstat().st_mode))


def batched(some: Sequence[Path], size: int) -> Iterator[Sequence[Path]]:
    """Return ``some`` in slices of at most ``size``."""
    return (some[start : start + size] for start in range(0, len(some), size))
