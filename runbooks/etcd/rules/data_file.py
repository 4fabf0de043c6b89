"""Decisions about etcd's data file: when it is worth defragmenting, and in which order."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import TypeVar

from runbooks.commands.etcd import Status
from runbooks.text import MIB, percent, size_text

K = TypeVar("K", bound=Hashable)
# A data file is fragmented: the limits of etcd's own alert etcdDatabaseHighFragmentationRatio (contrib/mixin).
WORTH_SIZE = 100 * MIB
WORTH_RATIO = 0.5
NEAR_QUOTA = 0.8  # from here on a file is worth defragmenting when this share of it is free, and 1 MiB at least:
WORTH_FREE = 0.1


def sizes_text(status: Status) -> str:
    """Write the size of the data file, and how much of it holds data."""
    return f"{size_text(status.size)}, {size_text(status.in_use)} in use ({percent(status.in_use, status.size)})"


def defrag_worthwhile(status: Status) -> str:
    """Return why the data file is worth defragmenting, or "" when it is not.

    The member does not answer meanwhile (about 1 s for 100 MiB). It is worth that when less than half of a data file of over
    100 MiB holds data, or when the file nears its quota and a tenth of it (1 MiB at least) is free.
    """
    size, in_use, quota = status.size, status.in_use, status.quota or 0
    free = size - in_use
    if size > WORTH_SIZE and in_use / size < WORTH_RATIO:
        return f"only {percent(in_use, size)} of {size_text(size)} hold data"
    if quota and size >= NEAR_QUOTA * quota and free >= max(WORTH_FREE * size, MIB):
        return f"{size_text(size)} are {percent(size, quota)} of the quota, and {size_text(free)} of that are free pages"
    return ""


def no_room(size: int, quota: int) -> str:
    """Return why the file is still too near its quota (both in bytes), or "". Near it, the next writes raise the alarm again."""
    if not quota or size < NEAR_QUOTA * quota:
        return ""
    return f"{size_text(size)} are still {percent(size, quota)} of the quota of {size_text(quota)}"


def defrag_order(statuses: Mapping[K, Status]) -> list[K]:
    """Return the keys in the order to defragment: the followers first, the leader last."""
    return sorted(statuses, key=lambda key: statuses[key].leads)
