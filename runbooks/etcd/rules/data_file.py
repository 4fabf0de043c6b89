"""Decisions about etcd's data file and its leadership. Pure: what the members said in, words out."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import TypeVar

from runbooks.commands.etcd import Status
from runbooks.text import MIB, percent, size_text

K = TypeVar("K", bound=Hashable)
# When etcd's own alerts (contrib/mixin: etcdDatabaseHighFragmentationRatio) call a data file fragmented.
WORTH_SIZE = 100 * MIB
WORTH_RATIO = 0.5
NEAR_QUOTA = 0.8
SMALL_GAIN = 0.1


def sizes_text(status: Status) -> str:
    """The size of the data file, and how much of it holds data."""
    return f"{size_text(status.size)}, {size_text(status.in_use)} in use ({percent(status.in_use, status.size)})"


def defrag_worthwhile(status: Status) -> str:
    """Say why defragmenting pays, or "" when it does not.

    It stops the member for a while (about 1 s for 100 MiB), so it has to be worth it: less than half of a data file of over
    100 MiB holds data; or the file nears its quota, at which etcd refuses every write, and there is something to gain.
    """
    size, in_use, quota = status.size, status.in_use, status.quota or 0
    if size > WORTH_SIZE and in_use / size < WORTH_RATIO:
        return f"only {percent(in_use, size)} of {size_text(size)} hold data"
    if quota and size >= NEAR_QUOTA * quota and not little_to_gain(size, in_use):
        return f"{size_text(size)} are {percent(size, quota)} of the quota, and {size_text(size - in_use)} of that are free pages"
    return ""


def little_to_gain(size: int, in_use: int) -> bool:
    """Whether defragmenting would give back less than a tenth of the file, or less than 1 MiB."""
    return size - in_use < max(SMALL_GAIN * size, MIB)


def no_room(size: int, quota: int) -> str:
    """Say why the file is too big for its quota still, or "". Just below it etcd would raise the alarm again at once."""
    if not quota or size < NEAR_QUOTA * quota:
        return ""
    return f"{size_text(size)} are still {percent(size, quota)} of the quota of {size_text(quota)}"


def defrag_order(statuses: Mapping[K, Status]) -> list[K]:
    """Return in which order to defragment: followers first, the leader last."""
    return sorted(statuses, key=lambda key: statuses[key].leads)
