"""Which Pods a drain evicts, which ones kubectl refuses to evict, and which budgets judge them. Pure.

https://kubernetes.io/docs/reference/kubectl/generated/kubectl_drain/
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from runbooks.commands.drain_objects import Budget, Cluster, Pod
from runbooks.commands.selectors import matches

Refusal = Literal["no controller", "local storage"]
EVERY = "*"


@dataclass(frozen=True, slots=True)
class Named:
    """The Pods that the operator has named, as "NAMESPACE/NAME" of the Pod or of its workload.

    force       bare Pods that may be deleted for good: --force-pods.
    empty_dirs  Pods whose emptyDir data may be deleted: --delete-emptydir-data; "*" stands for all.
    """

    force: frozenset[str] = frozenset()
    empty_dirs: frozenset[str] = frozenset()

    def lets(self, pod: Pod) -> bool:
        """Return whether the operator lets this Pod go as far as kubectl would refuse it. Both flags may be needed for one Pod."""
        names = {pod.key, pod.workload}
        return all(
            bool(names & self.force) if kind == "no controller" else bool((names | {EVERY}) & self.empty_dirs)
            for kind in refusals(pod)
        )


def evictable(pod: Pod) -> bool:
    """Return whether a drain evicts the Pod: not those of DaemonSets, not static Pods, not those that are being deleted already."""
    return not (pod.mirror or pod.leaving or pod.owner[0] in {"DaemonSet", "Node"})


def refusals(pod: Pod) -> tuple[Refusal, ...]:
    """Return why `kubectl drain` without --force and --delete-emptydir-data refuses the whole node because of this Pod."""
    local: tuple[Refusal, ...] = ("local storage",) if pod.empty_dirs else ()
    return local if pod.owner[0] else (*local, "no controller")


def one_by_one(pods: tuple[Pod, ...], named: Named) -> tuple[Pod, ...]:
    """Return the Pods to evict by name before the drain of their node: kubectl would refuse them, and the operator has named them.

    Pods that only lose emptyDir data are left to the drain when the operator has let all of them go. Never returns a Pod that a drain
    would not evict, or that was not named.
    """
    return tuple(
        pod
        for pod in pods
        if evictable(pod)
        and refusals(pod)
        and named.lets(pod)
        and not (EVERY in named.empty_dirs and refusals(pod) == ("local storage",))
    )


def budgets_of(cluster: Cluster) -> dict[str, tuple[str, ...]]:
    """Return the keys of the budgets that judge each Pod, for the Pods that have any."""
    by_namespace: dict[str, list[Budget]] = {}
    for each in cluster.budgets:
        by_namespace.setdefault(each.namespace, []).append(each)
    found = {
        pod.key: tuple(each.key for each in by_namespace.get(pod.namespace, ()) if matches(each.selector, pod.labels))
        for pod in cluster.pods
    }
    return {key: budgets for key, budgets in found.items() if budgets}


def allowed(budget: Budget, healthy: int) -> int:
    """Return how many disruptions a budget allows when ``healthy`` of its Pods are healthy; never less than 0."""
    return max(0, healthy - budget.desired) if budget.expected > 0 and not budget.stale else 0


def lets_go(budget: Budget, healthy: int, pod: Pod) -> bool:
    """Return whether the API evicts the Pod when ``healthy`` of the budget's Pods are healthy; a Pod that is not ready costs nothing."""
    if budget.stale:
        return False
    free = not pod.ready and (budget.always or healthy >= budget.desired > 0)
    return free or allowed(budget, healthy) > 0
