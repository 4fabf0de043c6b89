"""The history of runs: what is read from journals, however they came about."""

import json
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runbooks.engine import history, journal
from runbooks.engine.history import Line, StepRecord, newest, record
from runbooks.engine.journal import RunJournal
from runbooks.engine.steps import Procedure, Step

pytestmark = pytest.mark.unit

STEPS = tuple(Step(name) for name in ("stop", "restore", "start"))
BEGUN = datetime(2026, 1, 7, 10, 11, 12, tzinfo=UTC)


def at(seconds: float) -> str:
    return (BEGUN + timedelta(seconds=seconds)).isoformat(timespec="milliseconds")


def begin(**more) -> dict:
    return {"at": at(0), "event": "begin", "procedure": "recover.quorum", "steps": ["stop", "restore", "start"]} | more


def written(directory, run="20260107T101112000Z-a1b2", finished=frozenset()) -> RunJournal:
    return RunJournal(directory, run, Procedure("recover.quorum", "Restore etcd", STEPS, {}, "--set x"), finished)


# ---- what the engine writes


def test_what_was_written_comes_back(tmp_path, monkeypatch):
    monkeypatch.setenv("SUDO_USER", "kim")
    monkeypatch.setenv("SSH_CONNECTION", "10.9.9.9 50022 10.9.0.2 22")
    records = written(tmp_path, finished=frozenset({"stop"}))
    records.start("restore")
    records.note("change", "master1", "etcdutl snapshot restore")
    records.note("diff", "master1", "--- /a\n+++ /a\n")
    records.note("note", "here", "it took long")
    records.record("restore", "failed", 0.25)
    records.end("failed", "master1: it exited 1\n  no space")
    (run,) = newest(tmp_path)
    assert (run.run, run.procedure, run.title, run.command) == (
        "20260107T101112000Z-a1b2",
        "recover.quorum",
        "Restore etcd",
        "inv recover.quorum --set x",
    )
    assert (run.user, run.client) == ("kim", "10.9.9.9")
    assert run.machine
    assert run.pid
    assert (run.outcome, run.error, run.detail) == ("failed", "master1: it exited 1\n  no space", "master1: it exited 1")
    assert run.planned == ("stop", "restore", "start")
    before, failed = run.steps
    assert before == StepRecord(title="stop", outcome="done before", begun=None, seconds=0)
    assert (failed.title, failed.outcome, failed.seconds) == ("restore", "failed", 0.25)
    assert [(line.kind, line.host, line.text) for line in failed.lines] == [
        ("change", "master1", "etcdutl snapshot restore"),
        ("diff", "master1", "--- /a\n+++ /a\n"),
        ("note", "here", "it took long"),
    ]
    assert failed.begun
    assert run.begun <= failed.begun <= failed.lines[0].at <= run.ended
    assert run.loose == ()


def test_a_run_is_running_until_its_process_ends_it(tmp_path):
    records = written(tmp_path)
    records.start("stop")
    (run,) = newest(tmp_path)
    assert (run.outcome, run.detail) == ("running", "0 of 3 steps, 0 changed")
    assert [(step.title, step.outcome) for step in run.steps] == [("stop", "at work")]
    records.end("interrupted")
    assert [run.outcome for run in newest(tmp_path)] == ["interrupted"]
    written(tmp_path, "20260108T101112000Z-a1b2")  # its file is closed at once, as when a process is killed
    assert [run.outcome for run in newest(tmp_path)] == ["not ended", "interrupted"]


def test_the_newest_come_first_and_no_more_than_wanted(tmp_path):
    for day in (1, 2, 3):
        written(tmp_path, f"2026010{day}T101112000Z-a1b2").end("ok")
    (tmp_path / "20260109T101112000Z-a1b2.jsonl").write_text("no journal")
    assert [run.run[:8] for run in newest(tmp_path)] == ["20260103", "20260102", "20260101"]
    assert [run.run[:8] for run in newest(tmp_path, 2)] == ["20260103", "20260102"]
    assert list(newest(tmp_path / "none")) == []


# ---- journals of older versions


def test_what_does_not_say_its_step_is_kept_apart():
    events = [
        begin(),
        {"at": at(1), "event": "change", "host": "m1", "text": "stop etcd"},
        {"at": at(3), "event": "step", "step": "stop", "outcome": "changed", "seconds": 2.5},
        {"at": at(4), "event": "change", "host": "m1", "text": "restore"},
    ]
    run = record("x", events)
    assert run
    assert run.steps == (
        StepRecord(
            title="stop",
            outcome="changed",
            begun=BEGUN + timedelta(seconds=0.5),
            seconds=2.5,
        ),
    )
    assert run.loose[0] == Line(at=BEGUN + timedelta(seconds=1), kind="change", host="m1", text="stop etcd")
    assert [line.text for line in run.loose] == ["stop etcd", "restore"]
    assert (run.command, run.user, run.outcome, run.seconds) == ("inv recover.quorum", "", "not ended", 4)


def test_of_a_step_that_is_there_twice_the_last_line_counts():
    skipped = {"at": at(0), "event": "step", "step": "stop", "outcome": "done before", "seconds": 0}
    run = record("x", [begin(), skipped, skipped, {"at": at(2), "event": "end", "outcome": "ok"}])
    assert run
    assert [step.outcome for step in run.steps] == ["done before"]


# ---- anything


@pytest.mark.parametrize(
    "events",
    [
        [],
        [{"event": "end", "outcome": "ok", "at": at(0)}],
        [{"event": "begin", "procedure": "x.y"}],
        [begin(at="yesterday")],
        [begin(at="2026-01-07T10:11:12")],
        [begin(at="0001-01-01T00:00:00+14:00")],
        [begin(at="9999-12-31T23:59:59-14:00")],
        [begin(procedure=None)],
        [begin(steps=[1])],
    ],
)
def test_a_journal_whose_first_line_says_too_little_is_none(events):
    assert record("x", events) is None


SCALARS = st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats() | st.text(max_size=5)
EVENTS = st.fixed_dictionaries(
    {"event": st.sampled_from(["begin", "start", "change", "diff", "note", "step", "end", "other"])},
    optional={
        "at": st.datetimes(timezones=st.just(UTC)).map(datetime.isoformat) | SCALARS,
        "step": st.sampled_from(["stop", "restore", "new"]) | SCALARS,
        "outcome": st.sampled_from(["ok", "failed", "changed", "done before"]) | SCALARS,
        "seconds": st.floats(allow_nan=False) | st.integers() | SCALARS,
        "host": st.sampled_from(["m1", "here"]) | SCALARS,
        "text": SCALARS,
        "error": SCALARS,
        "steps": st.lists(SCALARS, max_size=3) | SCALARS,
    },
)


@given(st.lists(EVENTS, max_size=12), st.booleans())
def test_nothing_that_is_in_a_file_is_an_error(events, running):
    """And what comes out can be reckoned with."""
    lines = [json.dumps(each) for each in [begin(), *events]]
    run = record("x", [event for event in map(journal._event, lines) if event], running=running)
    assert run
    assert run.outcome in history.OUTCOMES
    assert run.seconds >= 0
    assert run.begun.astimezone(UTC) <= run.ended.astimezone(UTC)
    assert len({step.title for step in run.steps}) == len(run.steps)
    for step in run.steps:
        assert step.seconds >= 0
        assert step.begun is None or step.begun.timestamp() + step.seconds >= 0
