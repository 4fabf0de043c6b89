"""A state of containerd that has every image, made once, and every host's own copy of it: links that cost neither time nor space."""

from __future__ import annotations

import stat
from pathlib import Path
from typing import TYPE_CHECKING

from lab.mounts import Mount, mounts, remove_tree
from lab.process import run

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

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


def only_here(path: Path) -> bool:
    """Whether the file is in no other state of containerd: a database, or of a container's own layer, which it may still write to."""
    return is_database(path) or path.lstat().st_nlink == 1


def give(golden: Path, target: Path, own: Callable[[Path], bool] = is_database) -> None:
    """Make ``target`` a copy of ``golden``: hard links where both are on one file system, but real copies of the files that are its ``own``.

    containerd writes blobs and the layers of images once and only ever reads them afterwards; the databases it writes in place.
    """
    fresh = target.with_name(f"{target.name}.new")
    remove_tree(fresh)
    linked = golden.stat().st_dev == target.parent.stat().st_dev
    mine = [path for path in golden.rglob("*") if own(path) and stat.S_ISREG(path.lstat().st_mode)] if linked else []
    run(["cp", "--archive", *(["--link"] if linked else []), str(golden), str(fresh)], timeout_s=300)
    for path in mine:
        copy = fresh / path.relative_to(golden)
        copy.unlink()
        run(["cp", "--archive", "--sparse=always", str(path), str(copy)])
    if target.exists():
        target.rmdir()
    fresh.rename(target)
