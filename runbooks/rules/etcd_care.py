"""Decisions about etcd's data file and its leadership. Pure: what the members said in, words out."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import TypeVar

from runbooks.commands.etcd import Member, Status
from runbooks.errors import PrecheckError
from runbooks.inventory.model import Host
from runbooks.rules import etcd as rules
from runbooks.rules.etcd import View
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


def heir(view: View, leader: Host | None, text: str = "", member: Member | None = None) -> Member:
    """Return the voter to lead next: the one that was asked for, else the healthy one that is furthest.

    Raises PrecheckError when it is a learner or not healthy, or when there is no other.
    """
    well = rules.healthy_ids(view)
    if member:
        if member.learner:
            raise PrecheckError(f"{text}: {member} is a learner; only a voter can lead", hint="inv etcd.status")
        if member.id not in well:
            host = view.host_of(member)
            reason = (rules.not_well(view, host) if host else "") or "it runs on no control plane"
            raise PrecheckError(f"{text}: {member} is not healthy: {reason}", hint="inv etcd.status")
        return member
    behind = rules.lag(view.statuses)
    able = [
        (behind[host], str(host), found)
        for host in view.statuses
        if host != leader and (found := view.member_of(host)) and found.id in well and not found.learner
    ]
    if not able:
        raise PrecheckError("there is no other healthy voter to lead", hint="inv etcd.status")
    return min(able, key=lambda each: each[:2])[2]
