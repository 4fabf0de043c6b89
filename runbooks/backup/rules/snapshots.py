"""Which snapshots of etcd belong in a backup set, and how much disk space a set needs. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

MARGIN = 64 << 20  # bytes that must stay free on the operator's disk beside the expected size


@dataclass(frozen=True, slots=True)
class ProvenSnapshot:
    """A snapshot that arrived whole and was restored once as a test. ``cluster`` is etcd's cluster ID, in hexadecimal."""

    cluster: str
    revision: int


@dataclass(frozen=True, slots=True)
class Selection:
    """``kept`` are the hosts whose snapshots belong in the set; ``refused`` says of each other host why not."""

    kept: tuple[str, ...]
    refused: Mapping[str, str]


def select(taken: Mapping[str, ProvenSnapshot], last: ProvenSnapshot | None, *, accept_older: bool = False) -> Selection:
    """Select the snapshots, by host, that belong in the set.

    Never keeps snapshots of two clusters: those of the cluster of most members are kept, and none at a tie. Never keeps a snapshot
    with a lower revision than ``last``, the newest snapshot of the previous set of the same cluster, unless ``accept_older``: that
    member lost data or was cut off, and the set would look newer than the data in it.
    """
    if not taken:
        return Selection((), {})
    clusters = Counter(each.cluster for each in taken.values())
    (cluster, most), *others = clusters.most_common()
    refused: dict[str, str] = {}
    for host, each in taken.items():
        if others and others[0][1] == most:
            refused[host] = (
                f"the members belong to different clusters, as many to {cluster} as to {others[0][0]}: inv etcd.status"
            )
        elif each.cluster != cluster:
            refused[host] = f"its member belongs to another cluster ({each.cluster}) than most members ({cluster})"
        elif last and last.cluster == cluster and each.revision < last.revision and not accept_older:
            refused[host] = f"its revision {each.revision} is older than {last.revision}, which the last set has"
    return Selection(tuple(host for host in taken if host not in refused), refused)


def bytes_needed(sizes: Sequence[int], in_use: int) -> int:
    """Return how many bytes a set takes at most: the snapshot of every member, and all objects once more, compressed."""
    return sum(sizes) + in_use // 2 + MARGIN
