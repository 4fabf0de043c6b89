"""For how long nobody was served, from the begins and ends of requests in any order."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runbooks.measure.rules.gaps import KEEP, Durations, Gap, Longest, Own, Pause, Waits, with_pauses

pytestmark = pytest.mark.unit

EVERY = 0.1
# Of each request how long its answer took (0.001 s to 10 s), or None when it failed, after 10 s or at once.
REQUESTS = st.lists(st.one_of(st.none(), st.integers(1, 10_000).map(lambda ms: ms / 1000)), max_size=150)


def waited(requests, slow_failures=True):
    """Feed a `Waits` with requests, one every 0.1 s, in the order in which things happen."""
    waits = Waits(noticed_ms=EVERY * 1000, in_flight=210)
    happens = []
    for number, took in enumerate(requests):
        at = number * EVERY
        happens.append((at, 0, "begun", at))
        happens.append((at + (took or (10 if slow_failures else 0.001)), 1, "failed" if took is None else "answered", at))
    for now, _, what, at in sorted(happens):
        if what == "begun":
            waits.begun(at, 1000)
        elif what == "failed":
            waits.failed(at, "hang")
        else:
            waits.answered(at, now)
    return waits, max((each[0] for each in happens), default=0)


def plainly(requests):
    """Return the same by its definition: of each request, until it or a later one was answered; the longest that ends."""
    begins = [number * EVERY for number in range(len(requests))]
    waits = []
    for number, at in enumerate(begins):
        ends = [begins[later] + took for later, took in enumerate(requests) if later >= number and took is not None]
        if ends:
            waits.append(min(ends) - at)
    return max(waits, default=0.0) * 1000


@given(REQUESTS, st.booleans())
def test_it_is_what_its_definition_says(requests, slow_failures):
    waits, _ = waited(requests, slow_failures)
    assert waits.longest_ms == pytest.approx(plainly(requests), abs=0.1)
    kept = [gap.ms for gap in waits.longest.kept()]
    assert max(kept, default=0) == (waits.longest_ms if waits.longest_ms > 100 else 0)


def test_requests_that_are_all_answered_at_once_make_no_gap():
    waits, now = waited([0.01] * 20)
    assert (waits.longest_until(now), waits.gaps(now)) == (pytest.approx(10), ())


def test_one_that_hangs_beside_others():
    waits, now = waited([0.01] * 5 + [None] + [0.01] * 5)
    assert waits.longest_until(now) == pytest.approx(110)


def test_a_gap_has_the_reason_of_its_first_failure_and_the_time_of_day():
    waits, now = waited([0.01, None, None, None, 0.01], slow_failures=False)
    [gap] = waits.gaps(now)
    assert (gap.begin_s, gap.ms, gap.reason, gap.ended) == (1000.1, pytest.approx(310), "hang", True)


def test_a_gap_that_has_not_ended():
    waits, _ = waited([0.01, None, None], slow_failures=False)
    [gap] = waits.gaps(5.1)
    assert (gap.ms, gap.ended) == (pytest.approx(5000), False)
    assert waits.longest_until(5.1) == gap.ms


def test_a_request_that_never_began_is_taken_back():
    waits = Waits(100, 10)
    for at in (0, 1, 2):
        waits.begun(at, 0)
    waits.forget(0)
    waits.forget(1)
    waits.answered(2, 2.01)
    assert waits.longest_ms == pytest.approx(10)


def test_hours_without_an_answer_take_no_memory():
    waits = Waits(100, 210)
    for number in range(200_000):
        waits.begun(number / 10, 0)
        waits.failed(number / 10, "refused")
    assert len(waits._later) == 210
    waits.begun(20_000.0, 0)
    waits.answered(20_000.0, 20_000.1)
    assert waits.longest_ms == pytest.approx(20_000_100)


@given(st.lists(st.floats(0, 1e6), max_size=200))
def test_the_longest_are_kept(found):
    longest = Longest()
    for number, ms in enumerate(found):
        longest.add(Gap(begin_s=number, ms=ms))
    assert longest.count == len(found)
    assert sorted(each.ms for each in longest.kept()) == sorted(sorted(found, reverse=True)[:KEEP])


@given(st.lists(st.floats(0.1, 20_000), min_size=1, max_size=300))
def test_percentiles_are_rounded_up_by_a_fifth_at_most(found):
    durations = Durations()
    for ms in found:
        durations.add(ms)
    ordered = sorted(found)
    for percent in (50, 99):
        right = ordered[max(-(-len(ordered) * percent // 100) - 1, 0)]
        assert durations.percentile(percent) >= right - 0.06
        assert durations.percentile(percent) <= max(right * 1.21, 1) + 0.06
    assert Durations().percentile(50) == 0


def test_pauses_of_the_measuring_process_are_taken_from_its_gaps():
    gaps = [Gap(begin_s=10, ms=1000), Gap(begin_s=20, ms=1000)]
    first, second = with_pauses(gaps, [Pause(9.5, 10.2), Pause(10.1, 10.4), Pause(30, 31)])
    assert (first.own_ms, second.own_ms) == (400, 0)


def test_a_process_that_is_late_and_a_clock_that_is_set():
    own = Own()
    own.tick(1, 1.001, 1001.001)
    own.tick(2, 2.5, 1002.5)
    assert (own.longest_ms, own.jumps, own.shift) == (pytest.approx(500), 0, 1000)
    [pause] = own.pauses()
    assert (pause.begin_s, pause.end_s) == (1002, pytest.approx(1002.5))
    own.tick(3, 3, 1010)
    assert own.jumps == 1
