"""Moving etcd's leadership waits for a leader that does not answer once: an election, or a busy host."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

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
    monkeypatch.setattr(steps, "LEADER_WITHIN_S", 5 if later else 0.1)
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
