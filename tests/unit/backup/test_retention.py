"""Which sets stay: by table, and what holds for any sets and any policy."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runbooks.backup.rules.retention import Dated, decide, irreplaceable
from runbooks.inventory.settings import Keep

pytestmark = pytest.mark.unit

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)  # a Monday
NONE = {"last": 1, "daily": 0, "weekly": 0, "monthly": 0}


def keep(**more: int) -> Keep:
    return Keep(**{**NONE, **more})


def made(*days_ago: float, bad: tuple[float, ...] = ()) -> list[Dated]:
    """Sets called after how many days before NOON they were made."""
    return [Dated(f"{days:g}", NOON - timedelta(days=days), days not in bad) for days in days_ago]


def survivors(sets: list[Dated], policy: Keep) -> set[str]:
    return {each.id for each in decide(sets, policy) if each.kept}


def why(sets: list[Dated], policy: Keep) -> dict[str, tuple[str, ...]]:
    return {each.id: each.reasons for each in decide(sets, policy)}


def test_the_newest_come_first_whatever_order_they_are_given_in():
    assert [each.id for each in decide(made(2, 0, 1), keep())] == ["0", "1", "2"]


def test_every_reason_is_named():
    sets = made(0, 0.1, 1)
    assert why(sets, Keep(last=2, daily=2, weekly=1, monthly=1)) == {
        "0": ("last 2", "daily 2026-11-23", "weekly 2026-W48", "monthly 2026-11", "newest good"),
        "0.1": ("last 2",),
        "1": ("daily 2026-11-22",),
    }


def test_days_without_sets_do_not_count():
    assert survivors(made(0, 0.1, 20, 20.1, 40, 60), keep(daily=3)) == {"0", "20", "40"}


def test_weeks_are_those_of_the_iso():
    """Sunday belongs to the week of the Monday before; the first days of January may belong to the last week of the year before."""
    new_year = [Dated(str(day), datetime(2027, 1, day, tzinfo=UTC), True) for day in (2, 3, 4, 5)]
    assert why(new_year, keep(weekly=2)) == {
        "5": ("last 1", "weekly 2027-W01", "newest good"),
        "4": (),
        "3": ("weekly 2026-W53",),
        "2": (),
    }


def test_one_of_each_month():
    assert survivors(made(0, 10, 30, 60, 90, 120), keep(monthly=3)) == {"0", "30", "60"}


def test_a_good_set_stands_for_its_day_before_a_newer_degraded_one():
    sets = made(0, 1, 1.1, 1.2, bad=(0, 1))
    assert survivors(sets, keep(daily=2)) == {"0", "1.1"}
    assert survivors(made(0, 1, 1.1, bad=(1, 1.1)), keep(daily=2)) == {"0", "1"}, "no good one: the newest stands for the day"


def test_the_newest_good_set_outlives_any_number_of_degraded_ones():
    sets = made(*range(30), 30, 31, bad=tuple(range(30)))
    assert why(sets, keep(last=3))["30"] == ("newest good",)
    assert survivors(sets, keep(last=3)) == {"0", "1", "2", "30"}


def test_what_cannot_be_read_is_the_operators_to_decide_and_takes_nobodys_place():
    sets = [Dated("broken", None), *made(0, 1, 2)]
    assert why(sets, keep(last=2))["broken"] == ("cannot be read",)
    assert survivors(sets, keep(last=2)) == {"broken", "0", "1"}


def test_which_set_a_restore_would_need():
    assert irreplaceable(made(2, 1, 0, bad=(0,))) == "1"
    assert irreplaceable(made(2, 1, bad=(1, 2))) == "1"
    assert irreplaceable([Dated("broken", None)]) == ""
    assert irreplaceable([]) == ""


# ---- for any input

MOMENTS = st.datetimes(datetime(2024, 12, 20), datetime(2027, 1, 10), timezones=st.just(UTC)) | st.builds(
    lambda hours: NOON - timedelta(hours=hours), st.integers(0, 24 * 60)
)
SETS = st.lists(st.tuples(st.none() | MOMENTS, st.booleans()), max_size=40).map(
    lambda found: [Dated(f"{number:02}", moment, good) for number, (moment, good) in enumerate(found)]
)
KEEPS = st.builds(Keep, st.integers(1, 8), st.integers(0, 8), st.integers(0, 6), st.integers(0, 6))


def ordered(sets: list[Dated]) -> list[Dated]:
    return sorted((each for each in sets if each.made), key=lambda each: (each.made, each.id), reverse=True)


@given(SETS, KEEPS)
def test_every_set_is_decided_about_once(sets, policy):
    assert sorted(each.id for each in decide(sets, policy)) == sorted(each.id for each in sets)


@given(SETS, KEEPS)
def test_the_newest_good_one_and_the_last_ones_always_stay(sets, policy):
    stay = survivors(sets, policy)
    good = [each.id for each in ordered(sets) if each.good]
    assert set(good[:1]) <= stay
    assert {each.id for each in ordered(sets)[: policy.last]} <= stay
    assert {each.id for each in sets if not each.made} <= stay


@given(SETS, KEEPS)
def test_deciding_again_deletes_nothing_more(sets, policy):
    stay = survivors(sets, policy)
    left = [each for each in sets if each.id in stay]
    assert survivors(left, policy) == stay


@given(SETS, KEEPS)
def test_no_more_stay_than_the_policy_says(sets, policy):
    readable = {each.id for each in sets if each.made}
    assert len(survivors(sets, policy) & readable) <= policy.last + policy.daily + policy.weekly + policy.monthly + 1


@given(SETS, KEEPS)
def test_a_day_that_is_kept_is_kept_by_a_good_set_when_it_has_one(sets, policy):
    by_id = {each.id: each for each in sets}
    for decision in decide(sets, policy):
        for reason in decision.reasons:
            if reason.startswith("daily "):
                day = by_id[decision.id].made.date()
                same = [each for each in ordered(sets) if each.made.date() == day]
                assert decision.id == next((each.id for each in same if each.good), same[0].id)


@given(SETS, KEEPS)
def test_the_irreplaceable_one_always_stays(sets, policy):
    chosen = irreplaceable(sets)
    assert (chosen in survivors(sets, policy)) if chosen else not any(each.made for each in sets)
