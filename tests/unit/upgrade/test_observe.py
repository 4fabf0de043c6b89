"""A look at the cluster is repeated until it is good; what counts is the whole reading, not the short look before it."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from runbooks.rules.finding import Finding
from runbooks.upgrade import observe

BAD = Finding("fail", topic="API by VIP", seen="livez: context deadline exceeded")


@pytest.mark.parametrize(
    ("plan", "readings", "looks", "expected"),
    [
        (False, ["well"], [], "well"),
        (False, ["bad", "well 2"], ["well"], "well 2"),
        (False, ["bad", "bad 2", "well 3"], ["bad", "well", "well"], "well 3"),  # bad again after a short look that was good
        (False, ["bad", "bad 2"], [], "bad 2"),  # the time is over: what is wrong now
        (True, ["bad"], [], "bad"),  # a plan does not wait
    ],
)
def test_what_counts_is_a_whole_reading_in_which_nothing_is_wrong(
    monkeypatch: pytest.MonkeyPatch, plan: bool, readings: list[str], looks: list[str], expected: str
) -> None:
    left, short = iter(readings), iter(looks)
    monkeypatch.setattr(observe, "begin", lambda _: SimpleNamespace(health=next(left)))
    monkeypatch.setattr(observe.health, "look", lambda _: next(short, "bad"))
    run: Any = SimpleNamespace(plan=plan)

    def wrong(seen: Any) -> list[Finding]:
        return [BAD] if seen.startswith("bad") else []

    first = observe.settled(run, wrong, within=20 if looks else 0.1)
    assert first.health == expected  # type: ignore[comparison-overlap]
    assert next(left, None) is None
    assert next(short, None) is None
