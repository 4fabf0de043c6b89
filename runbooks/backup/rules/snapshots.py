"""What makes a backup set good, degraded or none. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

MARGIN = 64 << 20  # bytes that the operator's disk must have beside what is expected


@dataclass(frozen=True, slots=True)
class ProvenSnapshot:
    """A snapshot that came whole and was restored once. ``cluster`` is etcd's own ID of it."""

    cluster: str
    revision: int


@dataclass(frozen=True, slots=True)
class Selection:
    """``kept`` are the hosts whose snapshots count; ``refused`` says for each other one why not."""

    kept: tuple[str, ...]
    refused: Mapping[str, str]


def select(taken: Mapping[str, ProvenSnapshot], last: ProvenSnapshot | None, *, accept_older: bool = False) -> Selection:
    """Decide which snapshots count, by host.

    They must be of one cluster (the one that most are of) and no older than ``last``, the newest revision of the set before: a
    member with older data has lost something or was cut off, and a set of it would pass for a newer one.
    """
    if not taken:
        return Selection((), {})
    clusters = Counter(each.cluster for each in taken.values())
    (cluster, most), *others = clusters.most_common()
    refused: dict[str, str] = {}
    for host, each in taken.items():
        if others and others[0][1] == most:
            refused[host] = (
                f"the members are of different clusters, and as many of {cluster} as of {others[0][0]}: inv etcd.status"
            )
        elif each.cluster != cluster:
            refused[host] = f"its member is of another cluster ({each.cluster}) than most ({cluster})"
        elif last and last.cluster == cluster and each.revision < last.revision and not accept_older:
            refused[host] = f"its revision {each.revision} is older than {last.revision}, which the last set has"
    return Selection(tuple(host for host in taken if host not in refused), refused)


def bytes_needed(sizes: Sequence[int], in_use: int) -> int:
    """Return how many bytes a set will take at the most: every member's snapshot, and all objects once more, compressed."""
    return sum(sizes) + in_use // 2 + MARGIN
