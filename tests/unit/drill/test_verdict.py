"""What a drill has shown. What was not seen is never held."""

from __future__ import annotations

from dataclasses import replace

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from runbooks.drill.course import Course
from runbooks.drill.rules.facts import Facts
from runbooks.drill.rules.scenarios import ALL, BY_NAME, named, scenarios
from runbooks.drill.rules.verdict import UNKNOWN, judge, overall
from runbooks.inventory.model import LabTwin
from runbooks.measure.rules.gaps import Gap
from runbooks.measure.rules.result import Result
from tests.support.fakes import site
from tests.unit.drill.course import AWAY, BEGIN, ETCD, FACTS, LIMITS, RESULT, result, sample

pytestmark = pytest.mark.unit


def words(facts: Facts = FACTS, measured: Result | None = RESULT, limits=LIMITS, scenario=ETCD) -> dict[str, str]:
    return {each.objective: each.word for each in judge(scenario, limits, facts, measured)}


def one(objective: str, facts: Facts = FACTS, measured: Result | None = RESULT, limits=LIMITS):
    return next(each for each in judge(ETCD, limits, facts, measured) if each.objective == objective)


def test_a_drill_that_went_well_holds_every_objective_and_says_what_was_left():
    found = judge(ETCD, LIMITS, FACTS, RESULT)
    assert [each.objective for each in found] == [
        "fault",
        "outage, new connections",
        "outage, reused connection",
        "data",
        "recovery",
        "alert",
    ]
    assert overall(found) == "held"
    assert {each.objective: each.margin for each in found if each.margin} == {
        "outage, new connections": "3.1 s left",
        "outage, reused connection": "12.5 s left",
        "recovery": "2 min left",
        "alert": "5.0 s left",
    }


def test_nothing_at_all_is_could_not_tell():
    found = judge(ETCD, LIMITS, Facts(scenario="etcd", host="master1"), None)
    assert {each.word for each in found} == {UNKNOWN}
    assert overall(found) == UNKNOWN
    assert overall(()) == UNKNOWN


def test_without_an_objective_for_alerts_they_are_not_judged():
    assert "alert" not in words(limits=LIMITS.__class__())


def test_a_violated_outage_says_by_how_much():
    gap = Gap(begin_s=BEGIN + 1, ms=7300)
    found = one("outage, new connections", measured=result("vip", longest_gap_ms=7300, gaps=(gap,)))
    assert (found.word, found.over, found.margin) == ("violated", 2300, "2.3 s too long")


def test_a_gap_that_this_machine_may_have_caused_is_neither_held_nor_violated():
    gap = Gap(begin_s=BEGIN + 1, ms=7300, own_ms=3000)
    found = one("outage, new connections", measured=result("vip", longest_gap_ms=7300, gaps=(gap,)))
    assert found.word == UNKNOWN
    certain = replace(gap, own_ms=1000)
    assert one("outage, new connections", measured=result("vip", longest_gap_ms=7300, gaps=(certain,))).word == "violated"


@pytest.mark.parametrize(
    "facts",
    [
        replace(FACTS, injected_s=None),
        replace(FACTS, healing_s=None),
        replace(FACTS, healed_s=None),
        replace(FACTS, held_s=None),
        replace(FACTS, held_s=BEGIN + 40),
        replace(FACTS, samples=(sample(30, there=False), *FACTS.samples)),
    ],
)
def test_a_fault_that_was_not_there_to_the_end_proves_nothing(facts):
    assert "held" not in words(facts).values()


def test_a_fault_without_its_effect_proves_nothing():
    here = {name: replace(each, gaps=()) for name, each in RESULT.servers.items()}
    assert set(words(measured=result(servers=here)).values()) == {UNKNOWN}
    early = {**RESULT.servers, "master1": replace(RESULT.servers["master1"], gaps=(replace(AWAY, begin_s=BEGIN - 100, ms=5000),))}
    assert words(measured=result(servers=early))["fault"] == UNKNOWN


def test_what_is_violated_stays_so_without_a_proof_of_the_fault():
    gap = Gap(begin_s=BEGIN + 1, ms=7300)
    found = words(replace(FACTS, held_s=None), result("vip", longest_gap_ms=7300, gaps=(gap,)))
    assert (found["fault"], found["outage, new connections"], found["data"]) == (UNKNOWN, "violated", UNKNOWN)


def test_each_effect_is_asked_for():
    haproxy, kubelet = BY_NAME["haproxy"], BY_NAME["kubelet"]
    assert words(replace(FACTS, host="lb1"), scenario=haproxy)["fault"] == UNKNOWN
    facts = replace(FACTS, host="lb1", samples=(sample(5, holders=("lb2",)),))
    assert words(facts, scenario=haproxy)["fault"] == "held"
    blind = replace(facts, samples=(sample(5, holders=None),))
    assert words(blind, scenario=haproxy)["fault"] == UNKNOWN
    assert words(scenario=kubelet)["fault"] == UNKNOWN
    down = replace(FACTS, samples=(sample(5, not_ready=("master1",)),))
    assert words(down, scenario=kubelet)["fault"] == "held"


@pytest.mark.parametrize(
    ("syncs", "word"),
    [
        (((1000, 10), (1040, 45)), "held"),
        (((1000, 10), None, (1040, 30)), "held"),
        (((1000, 10), (1400, 45)), UNKNOWN),
        (((1000, 10),), UNKNOWN),
        (((1000, 10), (1000, 10)), UNKNOWN),
        ((None, None), UNKNOWN),
        (((1000, 900), (20, 19)), UNKNOWN),  # started again meanwhile: it counts from 0
        (((1000, 900), (20, 0), (60, 38)), "held"),
    ],
)
def test_a_slow_disk_counts_only_when_etcd_itself_says_that_it_is_slow(syncs, word):
    facts = replace(FACTS, samples=tuple(sample(5 + number, syncs=each) for number, each in enumerate(syncs)))
    assert words(facts, scenario=BY_NAME["slow-disk"])["fault"] == word


def test_a_disk_that_was_slow_at_another_time_proves_nothing():
    early = tuple(sample(after, syncs=(1000 + number * 50, number * 50)) for number, after in enumerate((-20, -10, 80, 90)))
    assert words(replace(FACTS, samples=early), scenario=BY_NAME["slow-disk"])["fault"] == UNKNOWN


def test_recovery_is_violated_only_when_something_was_missing_after_the_limit():
    late = replace(FACTS, unwell_s=BEGIN + 62 + 190, recovered_s=BEGIN + 62 + 200, missing="m1 is not Ready")
    assert (one("recovery", late).word, one("recovery", late).margin) == ("violated", "10.0 s too long")
    between = replace(FACTS, unwell_s=BEGIN + 62 + 170, recovered_s=BEGIN + 62 + 190)
    assert one("recovery", between).word == UNKNOWN
    never = replace(FACTS, unwell_s=BEGIN + 62 + 400, recovered_s=None, missing="m1 is not Ready")
    assert one("recovery", never).word == "violated"
    assert "m1 is not Ready" in one("recovery", never).seen
    assert one("recovery", replace(FACTS, recovered_s=None)).word == UNKNOWN
    assert one("recovery", replace(FACTS, unwell_s=None, recovered_s=BEGIN)).word == UNKNOWN  # the clock was set back


def test_times_by_a_clock_that_was_set_cannot_be_told():
    result = replace(RESULT, itself=replace(RESULT.itself, clock_jumps=1))
    words = {each.objective: each.word for each in judge(ETCD, LIMITS, FACTS, result)}
    assert (words["recovery"], words["alert"]) == (UNKNOWN, UNKNOWN)


def test_alerts_are_judged_by_what_prometheus_said_and_when():
    quiet = replace(FACTS, samples=(sample(5), sample(30), sample(51)))
    assert one("alert", quiet).word == "violated"
    assert one("alert", replace(FACTS, samples=(sample(5), sample(30)))).word == UNKNOWN  # not asked until the limit
    late = replace(FACTS, samples=(sample(5), sample(52), sample(58, alerts=("TargetDown",))))
    assert (one("alert", late).word, one("alert", late).margin) == ("violated", "8.0 s too long")
    unsure = replace(FACTS, samples=(sample(5), sample(45), sample(58, alerts=("TargetDown",))))
    assert one("alert", unsure).word == UNKNOWN
    again = replace(FACTS, fired_before=("HAProxyServerDown",))  # of another host: samples have only what the injection brought
    assert one("alert", again).word == "held"
    hidden = replace(quiet, fired_before=("HAProxyServerDown",))
    assert one("alert", hidden).word == UNKNOWN
    assert one("alert", replace(FACTS, fired_before=None)).word == UNKNOWN


@given(
    gap_ms=st.floats(min_value=0, max_value=60_000),
    own=st.floats(min_value=0, max_value=1),
    complete=st.booleans(),
    requests=st.integers(min_value=0, max_value=10),
    jumps=st.integers(min_value=0, max_value=1),
)
def test_held_means_seen(gap_ms, own, complete, requests, jumps):
    """An outage is held only if the measurement was complete, undisturbed, and its longest gap within the limit."""
    gap = Gap(begin_s=BEGIN + 1, ms=gap_ms, own_ms=gap_ms * own)
    measured = replace(
        result("vip", requests=requests, longest_gap_ms=gap_ms, gaps=(gap,)),
        complete=complete,
        itself=replace(RESULT.itself, clock_jumps=jumps),
    )
    word = one("outage, new connections", measured=measured).word
    assert (word == "held") == (complete and requests > 0 and not jumps and gap_ms <= LIMITS.outage_ms)
    if word == "violated":
        assert gap_ms > LIMITS.outage_ms


@given(
    st.sets(
        st.sampled_from(
            ["injecting_s", "injected_s", "held_s", "healing_s", "healed_s", "recovered_s", "fired_before", "samples"]
        )
    )
)
def test_less_evidence_never_makes_anything_held(missing):
    """Whatever is taken away from a drill: nothing becomes held that was not, and the whole is not held when anything that counts is gone."""
    facts = replace(FACTS, **{name: () if name == "samples" else None for name in missing})
    for measured in (RESULT, None):
        found = judge(ETCD, LIMITS, facts, measured)
        if missing - {"samples"} or measured is None:
            assert overall(found) != "held"
        assert all(each.word != "held" for each in found) or "injected_s" not in missing


def test_scenarios_are_told_apart_and_name_alerts_that_exist():
    assert len({each.name for each in ALL}) == len(ALL)
    assert all(each.alerts and each.expected and each.not_tested for each in ALL)


def test_on_a_twin_a_control_plane_host_falls_silent_instead_of_being_stopped():
    """Everything that is kept of a drill says which of the two it was."""
    real, twin = site(), msgspec.structs.replace(site(), lab=LabTwin(namespace="ha-lab-x"))
    for at, kind in ((real, "drill-master"), (twin, "drill-cut")):
        assert [each.name for each in scenarios(at)] == [each.name for each in ALL]
        (scenario,) = (each for each in scenarios(at) if each.name == "master")
        assert scenario.fault(at, at.control_plane[1]).kind == kind
        assert scenario.fault(at, at.control_plane[1]).scenario == "master"
        assert scenario.is_cut is (at is twin)
        facts = Course(at, scenario, at.control_plane[1]).facts()
        assert named(facts.scenario, lab=facts.lab) is scenario
