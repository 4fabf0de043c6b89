"""Clocks that are read beside something else."""

from types import SimpleNamespace
from typing import Any

import pytest

from runbooks.commands.base import Probe, cmd
from runbooks.errors import UnreachableError
from runbooks.rules.preflight_peers import Clock
from runbooks.view import clock
from tests.unit.cluster.test_verify import M1, M2, SITE

pytestmark = pytest.mark.unit


def test_what_is_read_between_two_looks_at_the_clock_does_not_widen_its_bounds(monkeypatch):
    """Sent at 100, read at 100.2 and, after 9 s of other work, at 109.2, answered at 109.5: 0.5 s, not 9.5."""
    times = iter([100.0, 109.5])
    monkeypatch.setattr(clock, "time", lambda: next(times))
    said: dict[Any, Any] = {M1: (100.2, "a load", 109.2), M2: UnreachableError("master2: no answer")}
    run: Any = SimpleNamespace(site=SITE, read_each=lambda probes, fresh: {host: said[host] for host in probes})
    found = clock.clocks_and(run, [M1, M2], Probe(cmd("true"), lambda answer: "a load"))
    assert found.keys() == {M1}
    seen, load = found[M1]
    assert (round(seen.low, 3), round(seen.high, 3), load) == (-0.3, 0.2, "a load")
    assert seen.apart(Clock(0.0, 0.0)) == 0


def test_a_host_tells_its_clock_before_and_after_and_the_rest_may_fail():
    asked = {}

    def read_each(probes, fresh):
        asked.update(probes)
        return {}

    run: Any = SimpleNamespace(site=SITE, read_each=read_each)
    assert clock.clocks_and(run, [M1], Probe(cmd("false"), lambda answer: 1)) == {}
    first, other, last = asked[M1].parts
    assert first.command == last.command
    assert 1 in other.command.expect
