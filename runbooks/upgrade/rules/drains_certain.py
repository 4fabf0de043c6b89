"""What will stop a drain whatever the scheduler does with the Pods that were evicted before. Pure.

Certain is only what follows from Pods that nobody has moved by then: those on nodes that have not been drained yet, those of DaemonSets,
and static Pods. Of all others it is assumed that they are in nobody's way, and that every budget is as it is now or better. So more
capacity never makes a stop certain that was not.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from runbooks.commands.drain_objects import Cluster, Pod
from runbooks.upgrade.rules.evictions import allowed, evictable, lets_go
from runbooks.upgrade.rules.scheduling import Picture


@dataclass(frozen=True, slots=True)
class Known:
    """Of one group: the budgets that will certainly block it, and its own Pods that certainly find no other node."""

    budgets: frozenset[str]
    homeless: frozenset[str]


class Certain:
    """Judges the groups in their order."""

    def __init__(self, cluster: Cluster, budgets: Mapping[str, tuple[str, ...]]) -> None:
        self._cluster, self._budgets = cluster, budgets
        self._by_key = {each.key: each for each in cluster.budgets}
        self._cordoned = {node.name for node in cluster.nodes.values() if node.cordoned and not node.marked}
        self._earlier: set[str] = set()

    def of(self, nodes: frozenset[str]) -> Known:
        """Return what is certain for the next group."""
        moved = self._earlier | nodes
        stay = [pod for pod in self._cluster.pods if not pod.leaving and (pod.node not in moved or not evictable(pod))]
        picture = Picture(self._cluster, stay, self._cordoned | nodes)
        mine = [pod for pod in self._cluster.pods if pod.node in nodes - self._earlier and evictable(pod)]
        self._earlier |= nodes
        stuck = frozenset(pod.key for pod in mine if not picture.fitting(replace(pod, spreads=(), together=())))
        lost = stuck | {pod.key for pod in mine if not pod.owner[0]}
        return Known(frozenset(key for key in self._by_key if self._blocks(key, mine, lost)), stuck)

    def _blocks(self, key: str, mine: list[Pod], lost: frozenset[str]) -> bool:
        """Return whether the budget blocks a Pod of the group even when all others are evicted first, one by one."""
        budget = self._by_key[key]
        held = [pod for pod in mine if pod.running and self._budgets.get(pod.key) == (key,)]
        ready = [pod for pod in held if pod.ready]
        if sum(pod.key in lost for pod in ready) > allowed(budget, budget.healthy):
            return True
        return any(not lets_go(budget, budget.healthy, pod) for pod in held)
