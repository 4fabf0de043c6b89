"""Two clients of the same event: when do their figures agree, and how punctual was each?"""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.agreement import Ask, agreement, compared, jitter_ms, longest, other_begins, parsed, pause_ms, percent_of_a_core, quiet

pytestmark = pytest.mark.unit

T = 1_767_780_600.0


def asks(bad_from: float, bad_to: float, *, every: float = 0.05, until: float = 20.0) -> list[Ask]:
    """Requests for 20 s, refused between two times."""
    times = [number * every for number in range(int(until / every))]
    return [
        Ask(T + at, 0.01, "-ConnectionRefusedError" if bad_from <= at < bad_to else "200", 40_000 + n)
        for n, at in enumerate(times)
    ]


def test_the_longest_wait_lasts_until_the_first_good_answer():
    found = longest(asks(5, 8), T, T + 20)
    assert (found.begin_s - T, found.ms) == (pytest.approx(5), pytest.approx(3010))
    assert longest(asks(0, 0), T, T + 20).ms == pytest.approx(10)


def test_one_request_that_hangs_while_others_are_served_is_no_wait():
    some = [*asks(0, 0), Ask(T + 5.01, 10, "-hang", 1)]
    assert longest(sorted(some, key=lambda each: each.start), T, T + 20).ms < 60


def test_a_wait_without_an_end_lasts_until_the_end():
    assert longest(asks(15, 99), T, T + 20).ms == pytest.approx(5000)


def test_what_the_client_prints_is_read_and_nothing_else():
    found, opened = parsed(["syn 2.5 7\n", "ask 2.0 0.5 503 9\n", "ask 1.0 0.5 -hang 0\n", "syn 3.5 7\n"])
    assert [(each.start, each.good, each.port) for each in found] == [(1.0, False, 0), (2.0, False, 9)]
    assert opened == {7: [2.5, 3.5]}
    with pytest.raises(ValueError, match="unexpected"):
        parsed(["Traceback (most recent call last):"])


def test_connections_that_are_not_the_independent_clients_are_the_drills():
    ours = [Ask(T, 0.1, "200", 1), Ask(T + 1, 0.1, "200", 2)]
    opened = {1: [T + 0.001], 2: [T + 1.001, T + 2.001], 3: [T + 0.5, T + 0.5001, T + 1.5], 4: [T + 0.7]}
    assert other_begins(opened, ours) == [T + 0.5, T + 0.7]


def test_beside_a_gap_and_at_both_ends_connections_are_not_regular():
    times = [T, T + 2, T + 5, T + 9, T + 14]
    for outage in ({"ms": 1000, "reason": ""}, {"ms": 300, "reason": "reset"}):
        assert quiet(times, T - 0.5, T + 14.5, [{"begin_s": T + 4, **outage}]) == [T + 2, T + 9]
    assert quiet(times, T - 1, T + 15, []) == times


def test_jitter_is_the_distance_from_regular_times():
    regular = [T + number / 10 for number in range(300)]
    assert jitter_ms(regular, 100) == pytest.approx(0, abs=0.01)
    late = [at + (0.03 if number % 20 == 7 else 0) for number, at in enumerate(regular)]
    assert jitter_ms(late, 100) == pytest.approx(30, abs=0.1)
    assert jitter_ms(late, 100, 90) == pytest.approx(0, abs=0.1)
    skipped = [at for number, at in enumerate(regular) if number % 9]
    assert jitter_ms(skipped, 100) == pytest.approx(0, abs=0.01)
    assert jitter_ms(regular[:49], 100) is None


@given(st.floats(min_value=0, max_value=0.1), st.lists(st.floats(min_value=0, max_value=0.004), min_size=120, max_size=200))
def test_jitter_does_not_depend_on_where_the_times_begin(shift, late):
    times = [T + shift + number / 10 + each for number, each in enumerate(late)]
    assert (jitter_ms(times, 100) or 0) <= 4.1


@pytest.mark.parametrize(
    ("drill", "own", "probe", "paused", "word"),
    [
        (3050, 0, 3000, 50, "yes"),
        (3100, 0, 3000, 50, "yes"),
        (3101, 0, 3000, 50, "no"),
        (2900, 0, 3001, 50, "no"),
        (3900, 850, 3000, 50, "could not tell"),
        (3000, 0, 3900, 850, "could not tell"),
        (5000, 850, 3000, 50, "no"),
    ],
)
def test_they_agree_within_one_interval(drill, own, probe, paused, word):
    assert agreement(drill, own, probe, 100, paused) == word


def test_the_cost_is_told_only_of_what_was_seen_for_a_while():
    assert percent_of_a_core([(10, 1.0), (15, 1.2), (20, 1.5)]) == pytest.approx(5)
    assert percent_of_a_core([(10, 1.0)]) is None
    assert percent_of_a_core([(10, 1.0), (10.5, 1.0)]) is None


def test_the_figures_of_one_event():
    gaps = [{"begin_s": T + 4.98, "ms": 3060.0, "own_ms": 0.0, "reason": "refused"}]
    vip = {"longest_gap_ms": 3060.0, "gaps": gaps, "requests": 200}
    drill = {"began_s": T, "ended_s": T + 20, "every_ms": 100.0, "vip": vip, "itself": {"longest_pause_ms": 21.0}}
    found = compared("etcd", drill, asks(5, 8), {})
    assert (found["differs_ms"], found["begins_differ_ms"], found["agrees"]) == (50.0, -20.0, "yes")
    assert found["jitter_ms"] is None
    assert pause_ms(asks(5, 8)) == pytest.approx(50, abs=0.1)
