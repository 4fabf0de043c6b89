"""In which order the hosts are upgraded. Pure.

The control plane comes first, one host at a time: etcd's leader last, so that the leadership moves only once. Then every kubelet: those of
the control plane in the same order, one worker alone (the canary), then the other workers in groups.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from itertools import groupby
from typing import TypeVar

from runbooks.inventory.model import Host

T = TypeVar("T")


def control_plane_order(hosts: Sequence[Host], leader: Host | None, begun: Collection[str] = ()) -> tuple[Host, ...]:
    """Return the control plane hosts in the order in which they are upgraded: etcd's followers as in ``hosts``, its leader last.

    ``leader`` is None when it is not known, or etcd is external: then the order is that of ``hosts``. ``begun`` are the names of hosts on
    which an upgrade has begun or is done (`standing.Standing`): they come first, so that it is finished where it began.
    """
    return tuple(sorted(hosts, key=lambda host: (host.name not in begun, host == leader)))


def workers(hosts: Sequence[Host], begun: Collection[str] = ()) -> tuple[Host, ...]:
    """Return the nodes of ``hosts`` that are no control plane hosts, in the order in which they are upgraded; the first one is the canary.

    ``begun`` as for `control_plane_order`.
    """
    return tuple(sorted((host for host in hosts if not host.is_control_plane), key=lambda host: host.name not in begun))


def groups(hosts: Sequence[T], at_once: int, *, canary: bool = True) -> tuple[tuple[T, ...], ...]:
    """Return the groups of workers that are upgraded at the same time: the first worker alone, then ``at_once`` at a time.

    Without ``canary`` (another worker is at the target already) the first one is in a group like the others.

    >>> [len(group) for group in groups(["a", "b", "c", "d"], 2)], [len(group) for group in groups(["a", "b", "c"], 2, canary=False)]
    ([1, 2, 1], [2, 1])
    """
    first = 1 if canary else 0
    rest = hosts[first:]
    return tuple(
        tuple(group) for group in (hosts[:first], *(rest[at : at + at_once] for at in range(0, len(rest), at_once))) if group
    )


def turns(hosts: Sequence[Host], at_once: int) -> tuple[tuple[Host, ...], ...]:
    """Return ``hosts`` in the groups that are out of service at the same time: control plane hosts alone, workers that follow each other as `groups`."""
    found: list[tuple[Host, ...]] = []
    for control_plane, each in groupby(hosts, key=lambda host: host.is_control_plane):
        found += groups(list(each), 1 if control_plane else at_once)
    return tuple(found)
