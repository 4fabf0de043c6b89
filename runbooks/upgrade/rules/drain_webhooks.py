"""Webhooks that refuse writes while nobody answers for them, because all that answer are on the nodes that are being drained. Pure.

https://kubernetes.io/docs/reference/access-authn-authz/extensible-admission-controllers/#failure-policy
"""

from __future__ import annotations

from collections.abc import Callable

from runbooks.commands.drain_objects import Cluster, Hook, Pod
from runbooks.commands.selectors import matches
from runbooks.upgrade.rules.evictions import evictable
from runbooks.upgrade.rules.scheduling import Picture


def backends(cluster: Cluster, hook: Hook, picture: Picture) -> list[Pod]:
    """Return the ready Pods that answer for the webhook; none when its Service has no selector or is not known."""
    selector = cluster.services.get(hook.service)
    namespace = hook.service.partition("/")[0]
    if selector is None:
        return []
    return [
        pod
        for those in picture.on.values()
        for pod in those.values()
        if pod.ready and pod.namespace == namespace and matches(selector, pod.labels)
    ]


def silenced(cluster: Cluster, picture: Picture, nodes: frozenset[str], guarded: Callable[[Pod], bool]) -> tuple[Hook, ...]:
    """Return the webhooks for which nobody answers for a while when ``nodes`` are drained.

    ``guarded``: a budget keeps one of the Pods of this kind running at any moment; then the webhook is not silenced, or the budget blocks.
    """
    found = []
    for hook in cluster.hooks:
        answering = backends(cluster, hook, picture)
        leave = all(picture.where(pod) in nodes and evictable(pod) for pod in answering)
        if answering and leave and not any(map(guarded, answering)):
            found.append(hook)
    return tuple(found)


def judges(hook: Hook, operation: str, resource: str) -> bool:
    """Return whether the webhook is asked about this operation on "GROUP/RESOURCE" ("/pods", "apps/deployments", "/pods/eviction")."""
    group, _, name = resource.partition("/")
    kind, _, part = name.partition("/")
    others = {"*/*", f"{kind}/*", f"*/{part}"} if part else {"*", "*/*"}
    names = {f"{one}/{other}" for one in (group, "*") for other in {name, *others}}
    return any(operations & {operation, "*"} and resources & names for operations, resources in hook.rules)


def locks_itself_out(cluster: Cluster, hook: Hook) -> bool:
    """Return whether the webhook is asked about the Pods that answer for it: then none of them can be created while none of them runs.

    With matchConditions it may be that it is not asked: False.
    """
    namespace = hook.service.partition("/")[0]
    selector = cluster.services.get(hook.service)
    if (
        hook.conditions
        or not judges(hook, "CREATE", "/pods")
        or not matches(hook.namespaces, cluster.namespaces.get(namespace, {}))
    ):
        return False
    return any(
        pod.namespace == namespace and matches(selector, pod.labels) and matches(hook.objects, pod.labels) for pod in cluster.pods
    )
