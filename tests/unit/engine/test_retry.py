"""Which errors are tried again, and how long something is waited for."""

import itertools

import pytest

from runbooks.engine.retry import again, transient, until
from runbooks.engine.steps import Unmet
from runbooks.errors import CommandError, ConnectionLost, HostErrors, OutcomeError, PrecheckError, UnreachableError

pytestmark = pytest.mark.unit


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (ConnectionLost("x"), True),
        (CommandError("x", exited=75), True),
        (CommandError("x", exited=1), False),
        (CommandError("x"), False),
        (UnreachableError("x"), False),
        (PrecheckError("x"), False),
        (HostErrors({"a": ConnectionLost("x"), "b": CommandError("x", exited=75)}, 2), True),
        (HostErrors({"a": ConnectionLost("x"), "b": PrecheckError("x")}, 2), False),
        (KeyboardInterrupt(), False),
        (ValueError(), False),
        (OSError(), False),
    ],
)
def test_transient(error, expected):
    assert transient(error) is expected


def failing(*errors):
    left = list(errors)

    def call(word):
        if left:
            raise left.pop(0)
        return word

    return call


def test_again_gives_the_first_good_answer(slept):
    assert again(failing(), "x") == "x"
    assert slept == []
    assert again(failing(ConnectionLost("1"), ConnectionLost("2"), ConnectionLost("3")), "x") == "x"


def test_every_attempt_that_is_followed_by_another_is_told(slept):
    told = []
    again(failing(ConnectionLost("1"), ConnectionLost("2")), "x", told=lambda error, number: told.append((str(error), number)))
    assert told == [("1", 1), ("2", 2)]


def test_again_raises_the_last_error_after_four_attempts(slept):
    errors = [ConnectionLost(str(number)) for number in range(1, 6)]
    with pytest.raises(ConnectionLost, match=r"^4$"):
        again(failing(*errors), "x")


def test_again_stops_at_the_first_error_that_is_not_transient(slept):
    with pytest.raises(PrecheckError):
        again(failing(ConnectionLost("1"), PrecheckError("no")), "x")


def test_until_does_not_wait_for_what_is_so(slept):
    until(lambda: True, within=60, poll=1)
    assert slept == []


def test_until_asks_at_the_given_pace_and_less_often_after_a_while(slept):
    seen = iter([False, Unmet("not yet"), *[False] * 40, True])
    until(lambda: next(seen), within=600, poll=0.5)
    assert next(seen, "all asked") == "all asked"
    assert slept[0] == 0.5
    assert slept == sorted(slept)
    assert slept[-1] == 2


def test_until_pauses_as_long_as_it_took_to_find_out(slept, monkeypatch):
    clock = itertools.count(step=3)
    monkeypatch.setattr("runbooks.engine.retry.time.monotonic", lambda: next(clock))
    seen = iter([False, False, False, True])
    until(lambda: next(seen), within=600, poll=0.5)
    assert set(slept) == {3}


@pytest.mark.parametrize(
    ("seen", "text"),
    [
        (Unmet("it is off"), "the expected state was not reached in 0 s: it is off"),
        (False, "the expected state was not reached in 0 s"),
    ],
)
def test_until_says_what_was_seen_last(seen, text, slept):
    with pytest.raises(OutcomeError) as error:
        until(lambda: seen, within=0, poll=1)
    assert str(error.value) == text
    assert error.value.__cause__ is None


@pytest.mark.parametrize("position", [0, 1, 2])
def test_a_broken_session_counts_as_not_yet(position, slept):
    answers = [Unmet("not yet"), Unmet("not yet"), Unmet("not yet"), True]
    answers[position] = ConnectionLost("gone")
    left = iter(answers)

    def observe():
        answer = next(left)
        if isinstance(answer, Exception):
            raise answer
        return answer

    until(observe, within=60, poll=1)


def test_a_session_that_stays_broken_is_the_error(slept):
    def observe():
        raise ConnectionLost("gone for good")

    with pytest.raises(ConnectionLost, match="gone for good"):
        until(observe, within=0, poll=1)


def test_anything_else_ends_the_wait_at_once(slept):
    calls = []

    def observe():
        calls.append(1)
        if len(calls) == 2:
            raise PrecheckError("it will never be so")
        return False

    with pytest.raises(PrecheckError):
        until(observe, within=60, poll=1)
    assert len(calls) == 2
