"""What every drain of an upgrade will do, in the order of the run: each Pod of each node in turn, with the capacity that is left. Pure.

A dry run on the server cannot tell this. The eviction handler judges a dry run by the budget as it stands and returns before it writes
the decrement (pkg/registry/core/pod/storage/eviction.go, checkAndDecrement), so two Pods that share one remaining disruption both pass;
it also knows nothing of the nodes that come later. A plan built on dry runs would promise too much.

The model of a drain: the nodes of one group are cordoned together, then evictions are tried in rounds, as kubectl tries them again
every 5 s. In a round every Pod that its budget lets go is evicted; at its end the replacements are placed where the scheduler could put
them, and those that find a place are ready and count for their budgets again. When a round evicts nothing, the rest is blocked. Then
the group takes Pods again, and Pods that found no place come back. A node that was found cordoned never takes Pods. Budgets are
judged as the API does: two budgets for one Pod are always refused, Pods that are only Pending are evicted without asking.

The scheduler may choose other nodes than this model. So a stop that follows only from where Pods were placed is marked as not certain;
`certain` ones come whatever the scheduler does (`drains_certain`). A replacement that finds a place is taken for ready if its
predecessor was: images that cannot be pulled, and Pods that do not start, are not foreseen.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from runbooks.commands.drain_objects import Cluster, Hook, Pod
from runbooks.upgrade.rules.drain_webhooks import silenced
from runbooks.upgrade.rules.drains_certain import Certain
from runbooks.upgrade.rules.evictions import Named, Refusal, budgets_of, evictable, lets_go, refusals
from runbooks.upgrade.rules.scheduling import Picture

Kind = Literal["budget", "two budgets"] | Refusal
RETRY_S = 5  # kubectl tries a refused eviction again after this
POLL_S = 1  # and asks whether a Pod is gone
READY_S = (2, 60)  # how long a replacement takes to be ready: at least, at most
LEAST_TIMEOUT_S = 300
SPARE_S = 60  # what a timeout has beyond the longest drain that is foreseen


@dataclass(frozen=True, slots=True)
class Eviction:
    """One eviction.

    to    the node of the replacement; "" when no node takes it while the group is drained; None when nothing recreates the Pod.
    left  how many healthy Pods its budget then has more than it wants: the disruptions that are left; None without a budget. Below 0
          only after the eviction of a Pod that was not ready.
    """

    pod: Pod
    node: str
    round: int
    to: str | None
    left: int | None


@dataclass(frozen=True, slots=True)
class Block:
    """A Pod that stops the drain of ``node``, by these budgets; ``after``: how many Pods of the group were evicted before."""

    kind: Kind
    pod: Pod
    node: str
    budgets: tuple[str, ...]
    after: int
    certain: bool


@dataclass(frozen=True, slots=True)
class Homeless:
    """A Pod that stays Pending: no other node takes it. ``returns``: it is placed when the group takes Pods again."""

    pod: Pod
    node: str
    why: str
    certain: bool
    returns: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Drain:
    """The drain of one group of nodes. ``place``: its place in the order, from 1. ``graces``: the longest grace period of each round."""

    place: int
    nodes: tuple[str, ...]
    evictions: tuple[Eviction, ...]
    blocks: tuple[Block, ...]
    homeless: tuple[Homeless, ...]
    graces: tuple[int, ...]
    silenced: tuple[Hook, ...]

    def seconds(self, ready_s: tuple[float, float] = READY_S) -> tuple[float, float]:
        """Return how long the drain takes, at least and at most. A Pod may end at once, or use all of its grace period."""
        rounds = len(self.graces)
        waits = max(0, rounds - 1)
        least = rounds * POLL_S + waits * max(RETRY_S, ready_s[0])
        return least, sum(self.graces) + rounds * POLL_S + waits * (RETRY_S + ready_s[1])

    @property
    def timeout_s(self) -> int:
        """Return the timeout for `kubectl drain`: longer than the longest drain that is foreseen, and never none."""
        return max(LEAST_TIMEOUT_S, int(self.seconds()[1]) + SPARE_S)


@dataclass(frozen=True, slots=True)
class Forecast:
    """All drains in their order. After a stop it goes on as if the operator had let the Pods go, so that all stops are told at once."""

    drains: tuple[Drain, ...]

    @property
    def stop(self) -> Drain | None:
        """The first drain that is blocked: the run stops there."""
        return next((each for each in self.drains if each.blocks), None)

    def seconds_before(self, place: int, ready_s: tuple[float, float] = READY_S) -> tuple[float, float]:
        """Return how long the drains before the one at ``place`` take, at least and at most; without what is done between them."""
        times = [each.seconds(ready_s) for each in self.drains if each.place < place]
        return sum(least for least, _ in times), sum(most for _, most in times)


def simulate(cluster: Cluster, order: Sequence[Sequence[str]], named: Named | None = None, *, stay: bool = False) -> Forecast:
    """Return what happens when the nodes are drained in this order; nodes of one group at the same time.

    The forecast is for a run that drains in just these groups. ``stay``: nodes stay cordoned after their turn. Names that are no nodes are left out (`drain_findings` tells them).
    """
    world = _World(cluster, named or Named(), stay=stay)
    groups = (tuple(name for name in group if name in cluster.nodes) for group in order)
    return Forecast(tuple(world.drain(place, group) for place, group in enumerate(groups, 1)))


@dataclass(slots=True)
class _Round:
    """What the rounds of one drain have come to."""

    evicted: list[tuple[Pod, str, int, int | None]] = field(default_factory=list)
    graces: list[int] = field(default_factory=list)
    left: list[Pod] = field(default_factory=list)


class _World:
    def __init__(self, cluster: Cluster, named: Named, *, stay: bool) -> None:
        self._cluster, self._named, self._stay = cluster, named, stay
        self._found_cordoned = {node.name for node in cluster.nodes.values() if node.cordoned and not node.marked}
        self._picture = Picture(cluster, (pod for pod in cluster.pods if not pod.leaving), self._found_cordoned)
        self._by_key = {each.key: each for each in cluster.budgets}
        self._healthy = {each.key: each.healthy for each in cluster.budgets}
        self._budgets = budgets_of(cluster)
        self._waiting: dict[str, Pod] = {}
        self._refused: set[str] = set()
        self._certain = Certain(cluster, self._budgets)

    def drain(self, place: int, group: tuple[str, ...]) -> Drain:
        nodes = frozenset(group)
        hooks = silenced(self._cluster, self._picture, nodes, self._is_guarded)
        self._picture.cordoned |= nodes
        known = self._certain.of(nodes)
        here = sorted(
            (pod for name in nodes for pod in self._picture.on[name].values() if evictable(pod)), key=lambda pod: pod.key
        )
        refused = [block for pod in here for block in self._refusals(pod)]
        done = self._evict_all(here)
        nowhere = dict(self._waiting)
        whys = {key: self._picture.why_nowhere(pod, nodes) for key, pod in nowhere.items()}
        came_from = {pod.key: node for pod, node, _, _ in done.evicted}
        placed = {pod.key: self._picture.where(pod) for pod, *_ in done.evicted}
        if not self._stay:
            self._picture.cordoned -= nodes - self._found_cordoned
        self._place_waiting()
        blocks = [self._block(pod, len(done.evicted), known.budgets) for pod in done.left]
        homeless = (
            Homeless(pod, came_from[key], whys[key], key in known.homeless, key not in self._waiting)
            for key, pod in nowhere.items()
            if key in came_from
        )
        return Drain(
            place=place,
            nodes=group,
            evictions=tuple(
                Eviction(pod, node, number, placed[pod.key] if _recreated(pod) else None, left)
                for pod, node, number, left in done.evicted
            ),
            blocks=(*refused, *blocks),
            homeless=tuple(homeless),
            graces=tuple(done.graces),
            silenced=hooks,
        )

    # ---- evictions

    def _evict_all(self, here: list[Pod]) -> _Round:
        done = _Round(left=here)
        while done.left:
            before = len(done.evicted)
            waits = []
            for pod in done.left:
                if self._lets(pod):
                    done.evicted.append((pod, self._evict(pod), len(done.graces) + 1, self._spare(pod)))
                else:
                    waits.append(pod)
            if len(done.evicted) == before:
                break
            done.left = waits
            done.graces.append(max(pod.grace_s for pod, *_ in done.evicted[before:]))
            self._place_waiting()
        return done

    def _lets(self, pod: Pod) -> bool:
        """Return whether the API lets the Pod go now, and count it."""
        keys = self._budgets.get(pod.key, ())
        if not pod.running or not keys:
            return True
        if len(keys) > 1 or not lets_go(self._by_key[keys[0]], self._healthy[keys[0]], pod):
            return False
        if pod.ready:
            self._healthy[keys[0]] -= 1
        return True

    def _spare(self, pod: Pod) -> int | None:
        keys = self._budgets.get(pod.key)
        return self._healthy[keys[0]] - self._by_key[keys[0]].desired if keys else None

    def _evict(self, pod: Pod) -> str:
        node = self._picture.where(pod)
        self._picture.take(pod)
        if _recreated(pod):
            self._waiting[pod.key] = pod
        return node

    def _place_waiting(self) -> None:
        """Place those that wait, by priority and then by age, as the scheduler's queue does; who finds a place is healthy again."""
        for pod in sorted(self._waiting.values(), key=lambda pod: -pod.priority):
            if found := self._picture.candidates(pod):
                self._picture.put(pod, found[0])
                del self._waiting[pod.key]
                if pod.ready:
                    self._count(pod)

    def _count(self, pod: Pod) -> None:
        keys = self._budgets.get(pod.key, ())
        if len(keys) == 1 and pod.running:
            self._healthy[keys[0]] += 1

    # ---- what stops it

    def _refusals(self, pod: Pod) -> list[Block]:
        """Return why kubectl refuses to drain the node of this Pod at all, unless the operator has named it; each Pod is told once."""
        if self._named.lets(pod) or pod.key in self._refused:
            return []
        self._refused.add(pod.key)
        return [Block(kind, pod, self._picture.where(pod), (), 0, certain=True) for kind in refusals(pod)]

    def _block(self, pod: Pod, after: int, sure: frozenset[str]) -> Block:
        keys = self._budgets.get(pod.key, ())
        kind: Kind = "two budgets" if len(keys) > 1 else "budget"
        return Block(kind, pod, self._picture.where(pod), keys, after, certain=kind == "two budgets" or keys[0] in sure)

    def _is_guarded(self, pod: Pod) -> bool:
        """Return whether a budget keeps one of the Pods of this kind alive at any moment of a drain."""
        return any(self._by_key[key].desired > 0 for key in self._budgets.get(pod.key, ()))


def _recreated(pod: Pod) -> bool:
    return bool(pod.owner[0])
