"""Selectors of the Kubernetes API: of labels (Services, budgets, affinity between Pods) and of nodes.

https://kubernetes.io/docs/concepts/overview/working-with-objects/labels/#label-selectors
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

NAME_FIELD = "field:metadata.name"  # a node's name, beside its labels: matchFields


@dataclass(frozen=True, slots=True)
class Requirement:
    """One requirement. ``operator``: In, NotIn, Exists, DoesNotExist, Gt or Lt."""

    key: str
    operator: str
    values: frozenset[str] = frozenset()

    def matches(self, labels: Mapping[str, str]) -> bool:
        """Return whether these labels meet it. An operator that is not known is never met."""
        value = labels.get(self.key)
        if self.operator == "In":
            return value in self.values
        if self.operator in {"NotIn", "DoesNotExist"}:
            return value is None or (self.operator == "NotIn" and value not in self.values)
        if value is None:
            return False
        return self.operator == "Exists" or self._compares(value)

    def _compares(self, value: str) -> bool:
        if self.operator not in {"Gt", "Lt"} or len(self.values) != 1:
            return False
        try:
            mine, limit = int(value), int(next(iter(self.values)))
        except ValueError:
            return False
        return mine > limit if self.operator == "Gt" else mine < limit


Selector = tuple[
    Requirement, ...
]  # all must be met: () is met by everything. Where None stands for a selector, it is met by nothing


def matches(selector: Selector | None, labels: Mapping[str, str]) -> bool:
    """Return whether these labels meet the selector.

    >>> wanted = label_selector({"matchLabels": {"app": "a"}, "matchExpressions": [{"key": "old", "operator": "DoesNotExist"}]})
    >>> matches(wanted, {"app": "a"}), matches(wanted, {"app": "a", "old": ""}), matches((), {}), matches(None, {})
    (True, False, True, False)
    """
    if selector is None:
        return False
    for each in selector:  # noqa: SIM110 - asked millions of times: all() would take twice as long
        if not each.matches(labels):
            return False
    return True


def of_labels(labels: Mapping[str, str] | None) -> Selector:
    """Return the selector for exactly these labels: a nodeSelector, the selector of a Service."""
    return tuple(Requirement(key, "In", frozenset({value})) for key, value in sorted((labels or {}).items()))


def expressions(found: list[dict[str, Any]] | None, prefix: str = "") -> Selector:
    """Return the selector for matchExpressions; with ``prefix`` before each key. Raises KeyError or TypeError for anything else."""
    return tuple(Requirement(prefix + one["key"], one["operator"], frozenset(one.get("values") or ())) for one in found or ())


def label_selector(found: dict[str, Any] | None) -> Selector | None:
    """Return a LabelSelector. Raises KeyError or TypeError for anything else."""
    return None if found is None else of_labels(found.get("matchLabels")) + expressions(found.get("matchExpressions"))


def node_selector(found: dict[str, Any] | None) -> tuple[Selector, ...] | None:
    """Return the terms of a NodeSelector, of which one has to be met; None: there is none. An empty term is met by no node."""
    if found is None:
        return None
    terms = (
        expressions(term.get("matchExpressions")) + expressions(term.get("matchFields"), "field:")
        for term in found.get("nodeSelectorTerms") or ()
    )
    return tuple(term for term in terms if term)
