"""Answers of Prometheus' HTTP API: targets, rules, alerts, and which series there are. Asks nothing itself.

https://prometheus.io/docs/prometheus/latest/querying/api/
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

TARGETS: Final = "/api/v1/targets?state=active"
RULES: Final = "/api/v1/rules"
ALERTS: Final = "/api/v1/alerts"
ALERTMANAGERS: Final = "/api/v1/alertmanagers"
QUERY: Final = "/api/v1/query?query="


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """One target that Prometheus scrapes. ``health`` is "up", "down" or "unknown" (not scraped yet); ``error`` says why it is down."""

    job: str
    instance: str
    url: str
    health: str
    error: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One rule that Prometheus evaluates. ``alerting``: an alert, not a record. ``for_s`` in seconds; ``error`` of the last evaluation."""

    name: str
    query: str
    alerting: bool
    for_s: int = 0
    labels: Mapping[str, str] = field(default_factory=dict)
    annotations: Mapping[str, str] = field(default_factory=dict)
    error: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Firing:
    """One alert that is firing or pending. ``active_s``: since when its expression is true, by Prometheus' clock, in seconds since 1970."""

    name: str
    state: str
    labels: Mapping[str, str]
    annotations: Mapping[str, str]
    active_s: float = 0.0


def targets(text: str) -> tuple[Target, ...]:
    """Parse the answer to `TARGETS`. Raises ValueError when it is none."""
    return tuple(_target(each) for each in _list(_data(text), "activeTargets"))


def _target(each: Mapping[str, Any]) -> Target:
    labels = _texts(each, "labels")
    return Target(
        job=labels.get("job", ""),
        instance=labels.get("instance", ""),
        url=str(each.get("scrapeUrl", "")),
        health=str(each.get("health", "unknown")),
        error=str(each.get("lastError", "")),
        labels=labels,
    )


def rules(text: str) -> tuple[Rule, ...]:
    """Parse the answer to `RULES`. Raises ValueError when it is none."""
    return tuple(_rule(each) for group in _list(_data(text), "groups") for each in _list(group, "rules"))


def _rule(each: Mapping[str, Any]) -> Rule:
    error = str(each.get("lastError", ""))
    return Rule(
        name=str(each.get("name", "")),
        query=str(each.get("query", "")),
        alerting=each.get("type") == "alerting",
        for_s=int(_number(each.get("duration", 0))),
        labels=_texts(each, "labels"),
        annotations=_texts(each, "annotations"),
        error=error or ("its last evaluation failed" if each.get("health") == "err" else ""),
    )


def alerts(text: str) -> tuple[Firing, ...]:
    """Parse the answer to `ALERTS`. Raises ValueError when it is none."""
    found = []
    for each in _list(_data(text), "alerts"):
        labels = _texts(each, "labels")
        name, state = labels.get("alertname", ""), str(each.get("state", ""))
        active_s = _seconds(str(each.get("activeAt", "")))
        found.append(Firing(name=name, state=state, labels=labels, annotations=_texts(each, "annotations"), active_s=active_s))
    return tuple(found)


def _seconds(stamp: str) -> float:
    """Return a time of RFC 3339 with up to nanoseconds in seconds since 1970; 0 when it is none.

    >>> _seconds("2026-11-29T18:20:00.123456789Z"), _seconds("2026-11-29T20:20:00+02:00"), _seconds("")
    (1795976400.123456, 1795976400.0, 0.0)
    """
    whole = re.sub(r"(\.\d{1,6})\d*", r"\1", stamp)
    try:
        return datetime.fromisoformat(whole).timestamp()
    except ValueError:
        return 0.0


def alertmanagers(text: str) -> tuple[str, ...]:
    """Parse the answer to `ALERTMANAGERS`: the URLs of those that get the alerts. Raises ValueError when it is none."""
    return tuple(str(each.get("url", "")) for each in _list(_data(text), "activeAlertmanagers"))


def counts(text: str) -> dict[tuple[str, str], int]:
    """Parse the answer to a query such as `count by (__name__, job) (...)`: how many series there are, by metric and job.

    Raises ValueError when it is none.
    """
    found: dict[tuple[str, str], int] = {}
    for each in _list(_data(text), "result"):
        labels, value = _texts(each, "metric"), each.get("value")
        if not isinstance(value, Sequence) or len(value) != 2:
            raise ValueError(f"{value!r} is not a sample")
        found[labels.get("__name__", ""), labels.get("job", "")] = int(_number(value[1]))
    return found


def _data(text: str) -> Mapping[str, Any]:
    """Return ``data`` of an answer. Raises ValueError with what Prometheus says is wrong."""
    try:
        answer = json.loads(text)
    except ValueError:
        raise ValueError("this is not an answer of Prometheus (no JSON)") from None
    match answer:
        case {"status": "success", "data": dict() as data}:
            return data
        case {"status": "error"}:
            raise ValueError(f"Prometheus says: {answer.get('error', 'an error')}")
    raise ValueError("this is not an answer of Prometheus (no status and data)")


def _list(inside: Mapping[str, Any], key: str) -> list[Mapping[str, Any]]:
    found = inside.get(key)
    if found is None:
        return []
    if not isinstance(found, list) or not all(isinstance(each, dict) for each in found):
        raise ValueError(f"{key} is not a list of objects")
    return found


def _texts(inside: Mapping[str, Any], key: str) -> dict[str, str]:
    found = inside.get(key)
    if found is not None and not isinstance(found, dict):
        raise ValueError(f"{key} is not an object")
    return {str(name): str(value) for name, value in (found or {}).items()}


def _number(value: object) -> float:
    try:
        number = float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        raise ValueError(f"{value!r} is not a number") from None
    if number != number or number in {float("inf"), float("-inf")}:  # noqa: PLR0124 - NaN
        raise ValueError(f"{value!r} is not a number")
    return number
