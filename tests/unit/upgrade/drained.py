"""Small clusters to drain, and all ways in which their drains could go."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from runbooks.commands.drain_objects import Budget, Cluster, Near, Node, Pod
from runbooks.commands.quantity import amounts
from runbooks.commands.selectors import of_labels
from runbooks.upgrade.rules.evictions import budgets_of, evictable, lets_go
from runbooks.upgrade.rules.scheduling import Picture


def node(name: str, cpu: str = "4", **changes: Any) -> Node:
    labels = {"kubernetes.io/hostname": name, **changes.pop("labels", {})}
    room = amounts({"cpu": cpu, "memory": "8Gi", "ephemeral-storage": "50Gi", "pods": "110", **changes.pop("room", {})})
    return Node(**{"name": name, "labels": labels, "taints": (), "cordoned": False, "marked": False, "ready": True,
                   "allocatable": room, **changes})  # fmt: skip


def pod(name: str, on: str, app: str = "web", cpu: str = "1", **changes: Any) -> Pod:
    """A Pod of a Deployment ``app``, ready on the node ``on``."""
    given: dict[str, Any] = {
        "namespace": "shop",
        "name": name,
        "uid": f"uid-{name}",
        "node": on,
        "labels": {"app": app, "pod-template-hash": "1a"},
        "owner": ("ReplicaSet", f"{app}-1a"),
        "requests": amounts({"cpu": cpu, "pods": 1}),
    }
    return Pod(**(given | changes))


def budget(app: str, desired: int, pods: Sequence[Pod], **changes: Any) -> Budget:
    """A budget that wants ``desired`` healthy Pods of ``app``; its status fits ``pods``."""
    mine = [each for each in pods if each.labels.get("app") == app]
    healthy = sum(each.ready for each in mine)
    return Budget(**{"namespace": "shop", "name": app, "selector": of_labels({"app": app}), "healthy": healthy, "desired": desired,
                     "expected": len(mine), "allowed": max(0, healthy - desired), **changes})  # fmt: skip


def cluster(nodes: Sequence[Node], pods: Sequence[Pod], budgets: Sequence[Budget] = (), **more: Any) -> Cluster:
    return Cluster(nodes={each.name: each for each in nodes}, pods=tuple(pods), budgets=tuple(budgets), version="v1.33.1", **more)


def apart(app: str, topology: str = "kubernetes.io/hostname") -> tuple[Near, ...]:
    return (Near(of_labels({"app": app}), topology, frozenset({"shop"}), None),)


def grown(the: Cluster, name: str, cpu: str) -> Cluster:
    """The same cluster, with more room on one node."""
    old = the.nodes[name]
    room = {key: number + amounts({"cpu": cpu})["cpu"] * (key == "cpu") for key, number in old.allocatable.items()}
    return replace(the, nodes={**the.nodes, name: replace(old, allocatable=room)})


# ---- every order of evictions and every choice of the scheduler

State = tuple[
    frozenset[tuple[str, str]], frozenset[str], frozenset[str]
]  # where Pods are, which wait, which are still to be evicted


def ways(the: Cluster, order: Sequence[Sequence[str]]) -> set[bool]:
    """Return how the drains can end: {True}: never blocked, {False}: always, or both. By trying everything."""
    keys, seen = budgets_of(the), {each.key: each for each in the.pods}
    start = frozenset((each.key, each.node) for each in the.pods)
    ends: set[bool] = set()
    stages = {(start, frozenset[str]())}
    for group in order:
        after = set()
        for placed, waiting in stages:
            nodes = frozenset(group)
            left = frozenset(key for key, on in placed if on in nodes and evictable(seen[key]))
            for done, (at, pending) in _drained(the, keys, (placed, waiting, left), nodes):
                if not done:
                    ends.add(False)
                else:
                    after |= set(_settled(the, at, pending))
        stages = after
    return ends | ({True} if stages else set())


def _picture(the: Cluster, placed: frozenset[tuple[str, str]], cordoned: frozenset[str]) -> Picture:
    seen = {each.key: each for each in the.pods}
    found = {name for name, each in the.nodes.items() if each.cordoned}
    return Picture(the, (replace(seen[key], node=on) for key, on in sorted(placed)), found | cordoned)


def _drained(
    the: Cluster, keys: dict[str, tuple[str, ...]], start: State, nodes: frozenset[str]
) -> Iterator[tuple[bool, tuple[frozenset[tuple[str, str]], frozenset[str]]]]:
    todo, known = [start], {start}
    while todo:
        placed, waiting, left = todo.pop()
        if not left:
            yield True, (placed, waiting)
        steps = list(_steps(the, keys, (placed, waiting, left), nodes))
        if left and not steps:
            yield False, (placed, waiting)
        for state in steps:
            if state not in known:
                known.add(state)
                todo.append(state)


def _steps(the: Cluster, keys: dict[str, tuple[str, ...]], state: State, nodes: frozenset[str]) -> Iterator[State]:
    placed, waiting, left = state
    seen, where = {each.key: each for each in the.pods}, dict(placed)
    by_key = {each.key: each for each in the.budgets}
    for key in left:
        mine = keys.get(key, ())
        if len(mine) > 1:
            continue
        lost = {other for other, those in keys.items() if those == mine and seen[other].ready and other not in where}
        if not mine or lets_go(by_key[mine[0]], by_key[mine[0]].healthy - len(lost), seen[key]):
            back = waiting | {key} if seen[key].owner[0] else waiting
            yield placed - {(key, where[key])}, back, left - {key}
    picture = _picture(the, placed, nodes)
    for key in waiting:
        for name in picture.candidates(seen[key]):
            yield placed | {(key, name)}, waiting - {key}, left


def _settled(
    the: Cluster, placed: frozenset[tuple[str, str]], waiting: frozenset[str]
) -> Iterator[tuple[frozenset[tuple[str, str]], frozenset[str]]]:
    """All ways in which those that wait find places once the group takes Pods again, until nobody else finds one."""
    picture = _picture(the, placed, frozenset())
    seen = {each.key: each for each in the.pods}
    moves = [(key, name) for key in waiting for name in picture.candidates(seen[key])]
    if not moves:
        yield placed, waiting
    for key, name in moves:
        yield from _settled(the, placed | {(key, name)}, waiting - {key})
