"""The schedule of an upgrade in time."""

from datetime import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runbooks.upgrade.rules import schedule as rules
from runbooks.upgrade.rules.schedule import (
    APPLY,
    BACKUP,
    DEFAULTS,
    DRAIN,
    LB_IN,
    NODE,
    PREPARING,
    UNKNOWN,
    Part,
    Spread,
    schedule,
    stages,
    stages_left,
    takes,
)
from tests.unit.upgrade.clusters import MASTERS, WORKERS

pytestmark = pytest.mark.unit

seconds = st.lists(st.floats(0, 5000), min_size=1, max_size=30)


def test_every_step_of_the_order_has_a_default():
    names = {part.name for stage in stages(MASTERS, WORKERS) for lane in stage for part in lane}
    assert names == {each.name for each in DEFAULTS}
    assert all(
        each.takes.low <= each.takes.typical <= each.takes.high and each.takes.source.startswith("no past run")
        for each in DEFAULTS
    )


def test_a_step_that_nobody_has_measured_is_said_so():
    assert takes(Part("something else", "m1"), {}) == UNKNOWN


def test_past_runs_of_the_host_come_before_those_of_others():
    past = {"m1: drain": (10, 20, 30), "m2: drain": (100,), "drain": (1,)}
    assert takes(Part(DRAIN, "m1"), past) == Spread(10, 20, 30, "3 past runs of this host")
    assert takes(Part(DRAIN, "m3"), past) == Spread(1, 20, 100, "5 past runs of other hosts")
    assert takes(Part(BACKUP), {"backup": (4.0,)}) == Spread(4 * 0.7, 4.0, 4 * 1.6, "1 past run")


@given(seconds)
def test_a_spread_holds_all_that_was_seen(those):
    found = takes(Part(DRAIN, "m1"), {"m1: drain": tuple(those)})
    assert found.low <= min(those) <= found.typical <= max(those) <= found.high


@given(
    st.lists(st.sampled_from(MASTERS), min_size=1, max_size=5, unique=True),
    st.lists(st.integers(0, 99), max_size=12, unique=True),
    st.integers(1, 5),
)
def test_every_node_is_there_once_and_in_order(masters, numbers, at_once):
    workers = [f"w{number}" for number in numbers]
    plan = schedule(stages(masters, workers, at_once=at_once), {})
    names = [(each.part.host, each.part.name) for each in plan.steps]
    assert len(set(names)) == len(names)
    assert [host for host, name in names if name == DRAIN] == [*masters, *workers]
    kubeadm = [number for number, (_, name) in enumerate(names) if name in {APPLY, NODE}]
    assert max(kubeadm) < min(
        number for number, (_, name) in enumerate(names) if name == DRAIN
    )  # no kubelet before the last API server
    assert [name for _, name in names].count(APPLY) == 1
    assert all(each.begins.low <= each.begins.typical <= each.begins.high for each in plan.steps)
    assert plan.total.high == max(each.ends.high for each in plan.steps)
    alone = [each for each in plan.steps if workers and each.part == Part(DRAIN, workers[0])]
    others = [each for each in plan.steps if each.part.host in workers[1:] and each.part.name not in PREPARING]
    assert all(other.begins.typical >= each.ends.typical for each in alone for other in others)


def test_workers_at_the_same_time_take_as_long_as_the_slowest():
    past = {f"{name}: drain": (seconds,) * 3 for name, seconds in (("w1", 10), ("w2", 20), ("w3", 300))}
    one, many = (schedule(stages(MASTERS, ("w1", "w2", "w3"), at_once=number), past) for number in (1, 2))
    assert one.total.typical - many.total.typical == pytest.approx(
        sum(each.takes.typical for each in many.steps if each.part.host == "w2" and each.part.name not in PREPARING)
    )


def test_when_a_drain_begins():
    plan = schedule(stages(MASTERS, WORKERS, backup=False), {"m1: kubeadm upgrade apply": (100, 100, 100)})
    first = plan.begins("m1", DRAIN)
    assert first is not None
    assert first == next(each.ends for each in plan.steps if each.part == Part(LB_IN, MASTERS[-1]))
    assert plan.begins("m9", DRAIN) is None
    assert plan.begun_within(60) == ("m1",)
    assert plan.begun_within(1e9) == (*MASTERS, *WORKERS)
    assert APPLY not in plan.assumed()
    assert NODE in plan.assumed()


def test_words():
    plan = schedule(stages(MASTERS, WORKERS), {})
    assert rules.span(plan.total) == "4 to 63 min, most likely 11 min"
    assert (
        rules.window(Spread(0, 0, 86400), datetime(2026, 11, 28, 1, 0))
        == "begun at 01:00, it ends between 01:00 and 01:00 (+1 day), most likely at 01:00"
    )


def test_what_is_left_has_only_the_hosts_that_are_left():
    left = schedule(stages_left(["m3"], [["m3"], ["w2"]], masters=MASTERS, backup=False, applied=True), {})
    assert {each.part.host for each in left.steps} == {"m3", "w2"}
    assert {each.part.name for each in left.steps} >= {NODE, DRAIN}
    assert APPLY not in {each.part.name for each in left.steps}
    assert schedule(stages_left([], [], masters=MASTERS, backup=False), {}).total == Spread(0, 0, 0)


def test_what_is_foreseen_of_a_step_comes_after_its_own_past_and_before_that_of_others():
    foreseen = {"m1: drain": Spread(1, 2, 3, "foreseen")}
    assert takes(Part(DRAIN, "m1"), {}, foreseen) == foreseen["m1: drain"]
    assert takes(Part(DRAIN, "m1"), {"m2: drain": (9, 9, 9)}, foreseen) == foreseen["m1: drain"]
    assert takes(Part(DRAIN, "m1"), {"m1: drain": (9, 9, 9)}, foreseen).typical == 9
    assert takes(Part(DRAIN, "m2"), {}, foreseen).source.startswith("no past run")
