"""A drill in which everything went as it should, and parts of it that went otherwise."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from runbooks.drill.rules.facts import Facts, Sample
from runbooks.drill.rules.scenarios import BY_NAME
from runbooks.inventory.settings import Drills
from runbooks.measure.rules.gaps import Gap
from runbooks.measure.rules.result import Data, NewConnections, Result, Reused, Watch

BEGIN = 1_767_780_600.0
ETCD = BY_NAME["etcd"]
LIMITS = Drills(outage_ms=5000, reused_ms=15_000, recovery_s=180, alert_s=50, hold_s=60)


def sample(after_s: float, **more: Any) -> Sample:
    said: dict[str, Any] = {"there": True, "holders": ("lb1",), "leader": "master2", "term": 5, "not_ready": (), "alerts": ()}
    return Sample(at_s=BEGIN + after_s, **(said | more))


FACTS = Facts(
    scenario="etcd",
    host="master1",
    injecting_s=BEGIN,
    injected_s=BEGIN + 2,
    held_s=BEGIN + 60,
    healing_s=BEGIN + 62,
    healed_s=BEGIN + 70,
    unwell_s=BEGIN + 90,
    recovered_s=BEGIN + 95,
    fired_before=(),
    samples=(sample(5), sample(30), sample(45, alerts=("HAProxyServerDown",)), sample(60, alerts=("HAProxyServerDown",))),
)
AWAY = Gap(begin_s=BEGIN + 1, ms=70_000, reason="HTTP 500")
RESULT = Result(
    began_s=BEGIN - 20,
    ended_s=BEGIN + 100,
    every_ms=100,
    timeout_s=10,
    complete=True,
    vip=NewConnections(
        requests=1200, failed=9, longest_gap_ms=1900, gaps=(Gap(begin_s=BEGIN + 1, ms=1900, reason="reset"),), gaps_in_all=1
    ),
    servers={
        "master1": NewConnections(requests=120, failed=70, longest_gap_ms=70_000, gaps=(AWAY,)),
        "master2": NewConnections(requests=120, longest_gap_ms=40),
    },
    reused=Reused(requests=2400, cut=1, longest_silence_ms=2500, silences=(Gap(begin_s=BEGIN + 1, ms=2500),)),
    watch=Watch(events=1200, resumed=1, longest_resume_ms=200, longest_silence_ms=2500),
    data=Data(acknowledged=1200, known=1200, attempted=1200, reads=2400, final={"VIP": 1200, "master1": 1200}),
)


def result(part: str = "", **changes: Any) -> Result:
    """RESULT with other values, in one of its parts or in itself."""
    return replace(RESULT, **({part: replace(getattr(RESULT, part), **changes)} if part else changes))
