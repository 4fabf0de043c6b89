"""A member or a leader that does not answer once is asked again: an election, or a busy host."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from runbooks.engine.steps import Unmet
from runbooks.errors import PrecheckError
from runbooks.etcd import steps


def view(*leads: bool) -> Any:
    return SimpleNamespace(statuses={f"m{number}": SimpleNamespace(leads=each) for number, each in enumerate(leads, start=1)})


@pytest.mark.parametrize(
    ("plan", "seen", "later", "expected"),
    [
        (False, view(False, True), [], "m2"),
        (
            False,
            view(False),
            [view(False, False), view(True, False)],
            "m1",
        ),  # its host did not answer, then an election, then a leader
        (False, view(False), [], ""),
        (True, view(False), [], ""),  # a plan does not wait
    ],
)
def test_the_leaders_own_host_is_asked_once_there_is_one(
    monkeypatch: pytest.MonkeyPatch, plan: bool, seen: Any, later: list[Any], expected: str
) -> None:
    left = iter(later)
    asked: list[str] = []
    monkeypatch.setattr(steps, "view", lambda _: next(left, view(False)))
    monkeypatch.setattr(steps, "ANSWER_WITHIN_S", 5 if later else 0.1)
    run: Any = SimpleNamespace(
        plan=plan, poll=0.01, look_anew=lambda: None, change=lambda host, command: asked.append(f"{host} {command.shown}")
    )
    target: Any = SimpleNamespace(id="abc")
    if expected:
        steps.transfer(run, seen, target)
    else:
        with pytest.raises(PrecheckError, match="the leader of etcd does not answer"):
            steps.transfer(run, seen, target)
    assert [words.split()[0] for words in asked] == ([expected] if expected else [])
    assert next(left, None) is None


@pytest.mark.parametrize(
    ("plan", "later", "there"),
    [(False, [view(), view(False)], True), (False, [view()], False), (True, [view(), view(False)], False)],
    ids=["it was busy", "it stays away", "a plan does not wait"],
)
def test_a_member_that_does_not_answer_once_is_asked_again(
    monkeypatch: pytest.MonkeyPatch, plan: bool, later: list[Any], there: bool
) -> None:
    left = iter(later)
    monkeypatch.setattr(steps, "view", lambda _: next(left, later[-1]))
    monkeypatch.setattr(steps, "ANSWER_WITHIN_S", 5 if there else 0.1)
    run: Any = SimpleNamespace(plan=plan, poll=0.01, look_anew=lambda: None)
    host: Any = "m1"
    assert ("m1" in steps.answering(run, host).statuses) is there


def test_a_member_that_does_not_answer_is_not_taken_for_one_that_needs_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(steps, "answering", lambda *_: view())
    monkeypatch.setattr(steps.rules, "why_unhealthy", lambda *_: "no answer in time")
    nothing: Any = SimpleNamespace()
    host: Any = "m1"
    assert isinstance(steps.MemberDefrag(host=host, policy=nothing).needless(nothing), Unmet)


@pytest.mark.parametrize(
    ("plan", "leads", "voters", "did"),
    [
        (False, False, 3, ["defrag"]),
        (False, True, 3, ["move-leader", "defrag"]),
        (False, True, 1, ["defrag"]),  # nobody else can lead
        (True, True, 3, ["defrag"]),  # a plan begins with what is seen, and the leader has a step of its own
    ],
    ids=["it follows", "it has become the leader", "it is alone", "a plan"],
)
def test_a_member_that_has_become_the_leader_hands_that_on_before_it_stops_answering(
    monkeypatch: pytest.MonkeyPatch, plan: bool, leads: bool, voters: int, did: list[str]
) -> None:
    leading = [leads]
    done: list[str] = []

    def seen(*_: Any) -> Any:
        status = SimpleNamespace(leads=leading[0], member="a", leader="a" if leading[0] else "b", size=1, in_use=1)
        return SimpleNamespace(statuses={"m1": status}, members=[])

    def change(_: Any, command: Any) -> Any:
        done.append(command.shown.split()[1])
        leading[0] = leading[0] and done[-1] != "move-leader"
        return None if plan else "done"

    monkeypatch.setattr(steps, "view", seen)
    monkeypatch.setattr(steps.rules, "voters", lambda _: range(voters))
    monkeypatch.setattr(steps, "next_leader", lambda *_: SimpleNamespace(id="b"))
    monkeypatch.setattr(steps, "leader_of", lambda found: found.statuses["m1"].leader)
    run: Any = SimpleNamespace(plan=plan, poll=0.01, change=change, note=lambda *_: None, look_anew=lambda: None)
    policy: Any = SimpleNamespace(reason=lambda _: "too large", refuse=lambda *_: None)
    host: Any = "m1"
    steps.MemberDefrag(host=host, policy=policy).do(run)
    assert done == did
