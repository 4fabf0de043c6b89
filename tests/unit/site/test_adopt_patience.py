"""An API server that was just started is waited for, up to a limit."""

from __future__ import annotations

import pytest

from runbooks.site.adopt import patience

pytestmark = pytest.mark.unit


@pytest.fixture(autouse=True)
def clock(monkeypatch):
    """Let the time pass only while somebody waits."""
    now = [0.0]
    monkeypatch.setattr(patience.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(patience.time, "sleep", lambda seconds: now.__setitem__(0, now[0] + seconds))
    return now


def test_what_is_missing_is_said_once_until_it_is_there(capsys, clock):
    answers = iter(["refused", "refused", "no etcd", ""])
    assert patience.patiently(lambda: next(answers), lambda said: said, "m1") == ""
    assert capsys.readouterr().out.splitlines() == ["m1: waiting up to 120 s: refused", "m1: waiting up to 120 s: no etcd"]
    assert clock[0] == 3 * patience.POLL_S


def test_in_the_end_the_last_answer_counts(clock):
    assert patience.patiently(lambda: f"silent at {clock[0]:g}", lambda said: said, "m1") == "silent at 122"
