"""What is waited for in tests gets more time on a busy machine, and never less than on an idle one."""

from __future__ import annotations

import os
import time

import pytest

from tests.support import waiting


@pytest.mark.parametrize(
    ("load", "seconds"),
    [(0.5, 10.0), (2.0, 10.0), (4.0, 20.0), (80.0, 40.0)],
)
def test_time_counts_less_while_the_machine_is_busy(monkeypatch: pytest.MonkeyPatch, load: float, seconds: float) -> None:
    now = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    monkeypatch.setattr(os, "getloadavg", lambda: (load, load, load))
    monkeypatch.setattr(os, "cpu_count", lambda: 2)
    patience = waiting.Patience(10)
    now[0] += seconds - 1
    assert not patience.over()
    now[0] += 2
    assert patience.over()


def test_what_is_there_in_the_end_is_found_and_what_never_comes_is_told() -> None:
    left = iter(["no", "no", "yes"])
    waiting.eventually(lambda: next(left), "yes", seconds=60)
    with pytest.raises(AssertionError, match="still 1 instead of 2"):
        waiting.eventually(lambda: 1, 2, seconds=0.1)
