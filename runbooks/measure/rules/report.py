"""The summary of a measurement."""

from __future__ import annotations

from collections.abc import Sequence

from runbooks.measure.rules.result import Result
from runbooks.measure.rules.steps import Span, longest
from runbooks.measure.rules.verdict import Limits, findings
from runbooks.measure.rules.words import at, seconds
from runbooks.rules.finding import SEEN, SEVERITY, TOPIC, shown
from runbooks.text import listed


def lines(result: Result, limits: Limits, steps: Sequence[Span] = ()) -> list[str]:
    """Return what clients saw: the findings, the longest gaps with their steps, when an API server was away, and the method."""
    found = [f"what clients of the VIP saw from {at(result.began_s)} to {at(result.ended_s)} UTC:"]
    found += shown(findings(result, limits), (SEVERITY, TOPIC, SEEN)).splitlines()
    gaps = longest(result, steps)
    found += ["", "the longest gaps:", *(f"  {each}" for each in gaps)] if gaps else []
    away = [f"{name} {seconds(each.longest_gap_ms)}" for name, each in result.servers.items()]
    found += ["", f"away for, each asked directly: {listed(away)}"] if away else []
    versions = listed(f"{name} {version}" for name, version in result.versions.items() if version)
    return [*found, "", f"method: {result.method}", *([f"versions: {versions}"] if versions else [])]
