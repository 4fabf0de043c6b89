"""What of the API the procedure broke: kinds and versions that the set's objects use, and that the twin no longer serves. Pure.

https://kubernetes.io/docs/reference/using-api/deprecation-guide/
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Final

LAST: Final = "kubectl.kubernetes.io/last-applied-configuration"
ABSENT: Final = "(NotFound)"  # as kubectl tells a status of the API server
Versions = Mapping[str, frozenset[str]]  # the plurals that are served, by group and version ("v1", "apps/v1")


@dataclass(frozen=True, slots=True)
class Used:
    """What the objects of a set use: how many objects there are by (version, plural); by (version, plural, who), how many were written so."""

    kinds: Mapping[tuple[str, str], int] = field(default_factory=dict)
    written: Mapping[tuple[str, str, str], int] = field(default_factory=dict)

    @property
    def versions(self) -> frozenset[str]:
        """All versions of groups that are used."""
        return frozenset({version for version, _ in self.kinds} | {version for version, _, _ in self.written})


def place(path: str) -> tuple[str, str]:
    """Return version and plural of the API path of a list.

    >>> place("/api/v1/configmaps"), place("/apis/apps/v1/deployments")
    (('v1', 'configmaps'), ('apps/v1', 'deployments'))
    """
    parts = path.strip("/").split("/")
    return "/".join(parts[1:-1]), parts[-1]


def plurals(said: str, error: str) -> frozenset[str] | None:
    """Return what `kubectl get --raw` says is served in one version: nothing only when the API server said so, None when it did not answer.

    >>> plurals("", "Error from server (NotFound): the server could not find the requested resource")
    frozenset()
    >>> plurals("", "The connection to the server was refused")
    >>> plurals('{"resources": [{"name": "pods"}]}', "")
    frozenset({'pods'})
    """
    if ABSENT in error:
        return frozenset()
    with suppress(ValueError, KeyError, TypeError):
        return frozenset(each["name"] for each in json.loads(said)["resources"])
    return None


def writers(plural: str, found: Mapping[str, Any]) -> Iterable[tuple[str, str, str]]:
    """Yield (version, plural, who) for every version of the API that somebody wrote this object with, each once."""
    metadata = found.get("metadata") or {}
    said = {(each.get("apiVersion", ""), each.get("manager", "?")) for each in metadata.get("managedFields") or ()}
    if last := (metadata.get("annotations") or {}).get(LAST):
        with suppress(ValueError, AttributeError):
            said.add((json.loads(last).get("apiVersion", ""), "kubectl apply"))
    return [(version, plural, who) for version, who in sorted(said) if version]


def used(kinds: Mapping[tuple[str, str], int], written: Counter[tuple[str, str, str]]) -> Used:
    """Return both as one."""
    return Used({key: count for key, count in kinds.items() if count}, dict(written))


def broken(wanted: Used, before: Versions, after: Versions) -> list[str]:
    """Return what was served before the procedure and is not served after it, with how many objects of the set that concerns."""
    rows = []
    for (version, plural), count in sorted(wanted.kinds.items()):
        if served(before, version, plural) and not served(after, version, plural):
            rows.append(f"{plural} in {version} are no longer served: {count} of them in the set")
    for (version, plural, who), count in sorted(wanted.written.items()):
        if served(before, version, plural) and not served(after, version, plural):
            rows.append(f"{plural} in {version} are no longer served: {who} has written {count} of the set's objects so")
    return rows


def absent(wanted: Used, before: Versions) -> list[str]:
    """Return the kinds of the set that the twin does not serve from the beginning, such as those of an aggregated API."""
    return [f"{plural} in {version}" for version, plural in sorted(wanted.kinds) if not served(before, version, plural)]


def served(versions: Versions, version: str, plural: str) -> bool:
    """Whether ``plural`` is served in ``version``."""
    return plural in versions.get(version, frozenset())
