"""What `cluster.prepare` leaves as it is on hosts that are in the cluster."""

from __future__ import annotations

from typing import Any

import pytest

from runbooks.cluster import prepare
from runbooks.engine.steps import Step, Together, Unmet
from tests.support.fakes import master

pytestmark = pytest.mark.unit


class Noting:
    """A run that keeps what is noted."""

    def __init__(self) -> None:
        self.notes: list[tuple[str, str]] = []

    def note(self, host: object, text: str) -> None:
        self.notes.append((str(host), text))


@pytest.fixture
def asked() -> list[str]:
    return []


def baseline_step(asked: list[str], number: int) -> Step:
    def done(_: Any) -> Unmet:
        asked.append(f"done {number}")
        return Unmet("time service chrony is not installed")

    return Step("time service (baseline)", master(number), check=lambda _: asked.append(f"check {number}"), done=done)


def test_a_member_keeps_its_baseline_and_is_named_and_a_new_host_gets_it(asked, monkeypatch):
    monkeypatch.setattr(prepare, "_member", lambda _run, host: host == master(1))
    both = prepare._on_new(Together((baseline_step(asked, 1), baseline_step(asked, 2))))
    assert isinstance(both, Together)
    member, new = both.steps
    run: Any = Noting()
    assert (member.check, member.done, new.check, new.done) != (None,) * 4
    member.check(run)
    assert member.done(run) is True
    assert run.notes == [
        (
            "master1",
            "time service chrony is not installed: left as it is, since the host is in the cluster; inv cluster.reconfigure --only hosts",
        )
    ]
    assert asked == ["done 1"]
    new.check(run)
    assert not new.done(run)
    assert asked == ["done 1", "check 2", "done 2"]
