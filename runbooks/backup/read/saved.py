"""One Node object of a set, for a node that was deleted before anything was known of it."""

from __future__ import annotations

from typing import Any

from runbooks.backup.sets import objects
from runbooks.backup.sets.opened import Opened, identity
from runbooks.backup.sets.store import Set, Store
from runbooks.errors import RunbookError
from runbooks.inventory.model import Site

LOOKED_AT = 20  # sets; a set that was made after the Node was deleted has no such Node


def saved_node(site: Site, name: str, cluster: str) -> tuple[dict[str, Any] | None, str]:
    """Return the Node ``name`` from the newest set of this cluster that has it, and the set's ID; or None, and the error of a set.

    ``cluster`` is the ID of the namespace kube-system: a set of an earlier cluster of the same name is not used. A set that cannot be
    read, for example because its key is missing, is passed over.
    """
    if not site.backup:
        return None, ""
    store, unread = Store(site), ""
    for found in store.sets()[:LOOKED_AT]:
        try:
            of_this_one = (
                found.manifest and _named(store, found, "namespaces", "kube-system").get("metadata", {}).get("uid") == cluster
            )
            if of_this_one and (node := _named(store, found, "nodes", name)):
                return node, found.id
        except RunbookError as error:
            unread = unread or str(error)
    return None, unread


def _named(store: Store, found: Set, kind: str, name: str) -> dict[str, Any]:
    """Return the object of this kind and name in a set, or {}. Raises RunbookError when the set cannot be read."""
    opened = Opened(found, identity(store))
    if kind not in opened.manifest.kinds:
        return {}
    those = [each for page in objects.pages(opened.chunks(opened.manifest.kinds[kind].file)) for each in objects.items(page)]
    return next((each for each in those if each["metadata"]["name"] == name), {})
