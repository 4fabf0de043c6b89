"""A state of containerd that has every image, made once; `lab.stores` gives every host its own copy."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from lab.mounts import Mount, holding, mounts

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lab.kube_build import Job

STACKABLE = {"ext4", "ext3", "xfs", "btrfs", "f2fs", "zfs"}  # what an overlay's upper directory and hard links can be on


def make(job: Job, target: Path) -> None:
    """Import the archive ``job.work``/images.tar with the hosts' own containerd; its state becomes ``target``."""
    tmpfs = "" if stackable(target.parent, mounts()) else "yes"
    job.run("golden.sh", job.work, LAB_TMPFS=tmpfs, LAB_TARGET=str(target))


def stackable(directory: Path, found: Sequence[Mount]) -> bool:
    """Whether an overlay can be mounted with its upper directory in ``directory``. Pure. Not so in most containers' own root."""
    nearest = holding(directory, found)
    return nearest is not None and nearest.fstype in STACKABLE
