"""Alerting rules and recording rules as data. Pure.

https://prometheus.io/docs/prometheus/latest/configuration/alerting_rules/
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Literal

from runbooks.text import DAY, HOUR, MINUTE

# critical: the API fails, data is at risk, or the next single failure does one of these. Somebody is woken up.
# warning: something is wrong or will be, and clients do not notice it yet. Today, not at night.
# info: good to know beside another alert. none: always firing, to prove that alerts arrive.
AlertSeverity = Literal["critical", "warning", "info", "none"]
UNITS: Final = (("d", DAY), ("h", HOUR), ("m", MINUTE), ("s", 1))


def span(seconds: int) -> str:
    """Return a duration as Prometheus writes it itself.

    >>> span(300), span(90), span(86400), span(0)
    ('5m', '1m30s', '1d', '0s')
    """
    found, left = "", seconds
    for unit, size in UNITS:
        if left >= size and (unit != "d" or left % size == 0):
            number, left = divmod(left, size)
            found += f"{number}{unit}"
    return found or "0s"


@dataclass(frozen=True, slots=True, kw_only=True)
class Alert:
    """One alerting rule. Several of a name differ in their severity, the less severe one first.

    for_s        how long the condition holds before somebody is told, in seconds.
    summary      one line: what is wrong. May use Prometheus' templates, as ``description``.
    description  what was measured, and what it means for clients.
    command      the first command of this tool to run.
    then         what to do after it, for the page of the alerts; Markdown, with links relative to docs/runbooks.
    labels       more labels than severity and site, where two rules of a name have one severity.
    rare         for series that are absent on sites where all is well: when they are there. Without them the alert cannot fire.
    """

    name: str
    expr: str
    severity: AlertSeverity
    for_s: int = 0
    summary: str
    description: str
    command: str
    then: str
    labels: Mapping[str, str] = field(default_factory=dict)
    rare: Mapping[str, str] = field(default_factory=dict)

    @property
    def key(self) -> tuple[str, ...]:
        """What tells it from every other rule of a site."""
        return (self.name, self.severity, *self.labels.values())


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """One recording rule: the series ``name`` is ``expr``, with ``labels``."""

    name: str
    expr: str
    labels: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """Rules that are evaluated together, the records first. ``title`` is a heading for people."""

    name: str
    title: str
    alerts: tuple[Alert, ...]
    records: tuple[Record, ...] = ()

    @property
    def rules(self) -> tuple[Record | Alert, ...]:
        """All of them, in the order of their evaluation."""
        return (*self.records, *self.alerts)
