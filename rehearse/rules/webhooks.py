"""Which webhooks of a set have to be taken away on the twin, and which refuse writes on the real site already. Pure.

https://kubernetes.io/docs/reference/access-authn-authz/extensible-admission-controllers/#failure-policy
"""

from __future__ import annotations

from typing import Final

from runbooks.commands.drain_objects import Cluster, Hook
from runbooks.commands.selectors import matches

KINDS: Final = {"V": "validatingwebhookconfiguration", "M": "mutatingwebhookconfiguration"}


def answers(cluster: Cluster, hook: Hook) -> bool:
    """Whether a ready Pod answered for the webhook when the set was made."""
    selector = cluster.services.get(hook.service)
    namespace = hook.service.partition("/")[0]
    return selector is not None and any(
        pod.ready and pod.namespace == namespace and matches(selector, pod.labels) for pod in cluster.pods
    )


def answered(cluster: Cluster) -> list[tuple[str, str]]:
    """Return (kind, name) of the configurations whose webhooks were answered: on the twin nobody would, and that would be no finding."""
    found = {(KINDS[hook.kind[:1]], hook.configuration): True for hook in cluster.hooks}
    for hook in cluster.hooks:
        found[KINDS[hook.kind[:1]], hook.configuration] &= answers(cluster, hook)
    return sorted(key for key, good in found.items() if good)


def unanswered(cluster: Cluster) -> list[Hook]:
    """Return the webhooks for which nobody answered when the set was made: they refuse writes on the real site, and so on the twin."""
    return [hook for hook in cluster.hooks if not answers(cluster, hook)]


def told(hook: Hook) -> str:
    """Return a webhook in words: its configuration, its name, and the Service that should answer."""
    return f"{hook.configuration}: {hook.name} (service {hook.service})"
