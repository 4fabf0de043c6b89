"""The journal of a run: what it writes, and what a later run may resume from it."""

import json
import stat
from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runbooks.engine import journal
from runbooks.engine.journal import RunJournal, finished_steps, interrupted_inputs, new_run_id, past, prune, summaries
from runbooks.engine.steps import Procedure, Step
from runbooks.errors import InventoryError

pytestmark = pytest.mark.unit

STEPS = tuple(Step(name) for name in ("stop", "restore", "start"))


def procedure(**inputs) -> Procedure:
    return Procedure("recover.quorum", "Restore etcd", STEPS, inputs)


def begun(directory, run="20260107T101112Z-a1b2", of=None, done=(), finished=frozenset()) -> RunJournal:
    records = RunJournal(directory, run, of or procedure(), finished)
    for title in done:
        records.record(title, "changed", 0.5)
    return records


def lines(directory, run="20260107T101112Z-a1b2") -> list[dict]:
    return [json.loads(line) for line in (directory / f"{run}.jsonl").read_text().splitlines()]


# ---- what is written


def test_begin_steps_end(tmp_path):
    records = begun(tmp_path, of=procedure(snapshot="s.db"))
    records.record("stop", "changed", 1.23456)
    records.record("restore", "nothing to do", 0)
    records.end("failed", "lb1: it exited 1")
    begin, *steps, end = lines(tmp_path)
    datetime.fromisoformat(begin.pop("at"))
    assert begin == {
        "event": "begin",
        "run": "20260107T101112Z-a1b2",
        "procedure": "recover.quorum",
        "title": "Restore etcd",
        "digest": journal.digest(procedure(snapshot="s.db")),
        "inputs": {"snapshot": "s.db"},
        "steps": ["stop", "restore", "start"],
    }
    assert [(one["event"], one["step"], one["outcome"], one["seconds"]) for one in steps] == [
        ("step", "stop", "changed", 1.235),
        ("step", "restore", "nothing to do", 0),
    ]
    assert (end["event"], end["outcome"], end["error"]) == ("end", "failed", "lb1: it exited 1")


def test_every_line_can_be_read_before_the_next_step(tmp_path):
    records = begun(tmp_path)
    assert len(lines(tmp_path)) == 1
    records.record("stop", "changed", 1)
    assert lines(tmp_path)[-1]["step"] == "stop"


def test_only_the_owner_may_read(tmp_path):
    directory = tmp_path / "site" / "runs"
    records = begun(directory)
    assert stat.S_IMODE(records.path.stat().st_mode) == 0o600
    assert stat.S_IMODE(directory.stat().st_mode) == 0o700


def test_a_run_never_writes_into_another_ones_journal(tmp_path):
    begun(tmp_path)
    with pytest.raises(FileExistsError):
        begun(tmp_path)


def test_run_ids_sort_by_time_and_differ():
    at = datetime(2026, 1, 7, 10, 11, 12, tzinfo=UTC)
    assert new_run_id(at).startswith("20260107T101112000Z-")
    assert len({new_run_id(at) for _ in range(20)}) > 1
    assert new_run_id(at) < new_run_id(at.replace(microsecond=1000)) < new_run_id(at.replace(minute=12))


# ---- what can be resumed


def test_the_newest_unfinished_run_is_resumed(tmp_path):
    begun(tmp_path, "20260101T000000Z-0000", done=["stop", "restore"]).end("failed")
    begun(tmp_path, "20260102T000000Z-0000", done=["stop"]).end("interrupted")
    assert finished_steps(tmp_path, procedure(), "") == {"stop"}


def test_a_run_can_be_named(tmp_path):
    begun(tmp_path, "20260101T000000Z-0000", done=["stop", "restore"]).end("failed")
    begun(tmp_path, "20260102T000000Z-0000", done=["stop"]).end("interrupted")
    assert finished_steps(tmp_path, procedure(), "20260101T000000Z-0000") == {"stop", "restore"}


def test_a_killed_run_has_no_end_and_can_be_resumed(tmp_path):
    begun(tmp_path, done=["stop"])
    assert finished_steps(tmp_path, procedure(), "") == {"stop"}


def test_what_an_interrupted_run_was_built_from_is_known(tmp_path):
    """A procedure whose steps depend on what was seen at its beginning is built from that again."""
    begun(tmp_path, "20260101T000000Z-0000", of=procedure(case="REJOIN"), done=["stop"])
    begun(tmp_path, "20260102T000000Z-0000", of=Procedure("lb.setup", "t", STEPS, {"case": "x"}))
    assert interrupted_inputs(tmp_path, "recover.quorum", "") == {"case": "REJOIN"}
    assert interrupted_inputs(tmp_path, "recover.quorum", "20260101T000000Z-0000") == {"case": "REJOIN"}
    begun(tmp_path, "20260103T000000Z-0000", of=procedure(case="START")).end("ok")
    with pytest.raises(InventoryError, match=r"no interrupted run of recover\.quorum"):
        interrupted_inputs(tmp_path, "recover.quorum", "")


def test_runs_of_other_commands_do_not_count(tmp_path):
    begun(tmp_path, "20260101T000000Z-0000", done=["stop"])
    begun(tmp_path, "20260102T000000Z-0000", of=Procedure("lb.setup", "t", STEPS), done=["restore"])
    assert finished_steps(tmp_path, procedure(), "") == {"stop"}


@pytest.mark.parametrize("name", ["", "20260107T101112Z-a1b2", "nonsense"])
def test_nothing_to_resume_without_any_run(name, tmp_path):
    with pytest.raises(InventoryError, match=r"there is no interrupted run of recover\.quorum to resume"):
        finished_steps(tmp_path / "never made", procedure(), name)


def test_a_run_that_ended_well_is_not_resumed_nor_any_before_it(tmp_path):
    begun(tmp_path, "20260101T000000Z-0000", done=["stop"]).end("failed")
    begun(tmp_path, "20260102T000000Z-0000", done=["stop", "restore", "start"]).end("ok")
    for name in ("", "20260102T000000Z-0000"):
        with pytest.raises(InventoryError, match="no interrupted run"):
            finished_steps(tmp_path, procedure(), name)


@pytest.mark.parametrize(
    "now",
    [procedure(snapshot="other.db"), Procedure("recover.quorum", "Restore etcd", (*STEPS, Step("more")), {"snapshot": "s.db"})],
    ids=["other arguments", "other steps"],
)
def test_a_run_of_something_else_is_refused_with_the_way_out(now, tmp_path):
    begun(tmp_path, of=procedure(snapshot="s.db"), done=["stop"])
    with pytest.raises(InventoryError, match="have changed since") as error:
        finished_steps(tmp_path, now, "")
    assert error.value.hint == "run `inv recover.quorum` without --resume; it checks every step again"


def test_steps_that_a_resumed_run_skipped_still_count_for_the_next_one(tmp_path):
    begun(tmp_path, "20260101T000000Z-0000", done=["stop"]).end("failed")
    begun(tmp_path, "20260102T000000Z-0000", finished=frozenset({"stop"}), done=["restore"]).end("failed")
    assert finished_steps(tmp_path, procedure(), "") == {"stop", "restore"}


def test_a_run_knows_what_the_one_before_it_finished(tmp_path):
    records = begun(tmp_path, finished=frozenset({"stop"}))
    assert records.finished("stop")
    assert not records.finished("restore")


def test_the_digest_depends_on_every_input_and_not_on_their_order():
    one, other = procedure(a=1, b="x"), procedure(b="x", a=1)
    assert journal.digest(one) == journal.digest(other)
    assert journal.digest(procedure(a=1, b="y")) != journal.digest(one)
    assert journal.digest(Procedure("recover.member", "Restore etcd", STEPS, {"a": 1, "b": "x"})) != journal.digest(one)


# ---- after a power cut


@settings(max_examples=50, deadline=None)
@given(data=st.data())
def test_a_journal_cut_off_anywhere_gives_only_steps_that_were_finished(tmp_path_factory, data):
    directory = tmp_path_factory.mktemp("runs")
    records = begun(directory, done=["stop", "restore"])
    whole = records.path.read_bytes()
    cut = data.draw(st.integers(0, len(whole)))
    records.path.write_bytes(whole[:cut])
    whole_lines = whole[:cut].count(b"\n") + (cut and whole[cut : cut + 1] == b"\n")
    try:
        found = finished_steps(directory, procedure(), "")
    except InventoryError:
        assert whole_lines == 0
    else:
        assert found == set(["stop", "restore"][: whole_lines - 1])
    assert len(summaries(directory, 9)) == (1 if whole_lines else 0)


def test_junk_beside_the_journals_does_no_harm(tmp_path):
    begun(tmp_path, "20260101T000000Z-0000", done=["stop"])
    (tmp_path / "zz.jsonl").write_bytes(b"\x00\xff not json\n")
    (tmp_path / "zy.jsonl").write_text("")
    (tmp_path / "zx.txt").write_text("{}")
    assert finished_steps(tmp_path, procedure(), "") == {"stop"}
    assert [each["run"] for each in summaries(tmp_path, 9)] == ["20260101T000000Z-0000"]


# ---- keeping and listing


def test_the_oldest_are_pruned(tmp_path, monkeypatch):
    monkeypatch.setattr(journal, "KEEP", 2)
    for day in range(1, 5):
        begun(tmp_path, f"2026010{day}T000000Z-0000").end("ok")
        if day in {1, 4}:  # what clients saw during an upgrade
            (tmp_path / f"2026010{day}T000000Z-0000.clients.json").write_text("{}")
    (tmp_path / "note.txt").write_text("mine")
    prune(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "20260103T000000Z-0000.jsonl",
        "20260104T000000Z-0000.clients.json",
        "20260104T000000Z-0000.jsonl",
        "note.txt",
    ]


def test_summaries_newest_first(tmp_path):
    begun(tmp_path, "20260101T000000Z-0000", done=["stop"]).end("failed", "lb1: it exited 1\n  because")
    begun(tmp_path, "20260102T000000Z-0000", done=["stop", "restore"])
    done = begun(tmp_path, "20260103T000000Z-0000", done=["stop"])
    done.record("restore", "nothing to do", 0)
    done.end("ok")
    assert summaries(tmp_path, 2) == [
        {"run": "20260103T000000Z-0000", "procedure": "recover.quorum", "outcome": "ok", "detail": "2 of 3 steps, 1 changed"},
        {
            "run": "20260102T000000Z-0000",
            "procedure": "recover.quorum",
            "outcome": "not ended",
            "detail": "2 of 3 steps, 2 changed",
        },
    ]
    assert summaries(tmp_path, 9)[2]["detail"] == "lb1: it exited 1"
    assert summaries(tmp_path / "never made", 9) == []


# ---- how long it took


def test_seconds_of_past_runs(tmp_path):
    for number, seconds in enumerate((3.0, 5.0, 4.0)):
        records = begun(tmp_path, f"20260107T10111{number}Z-a1b2")
        records.record("stop", "changed", seconds)
        records.record("restore", "nothing to do", 0.1)
        records.record("start", "ok", 1)
        records.end("ok")
    failed = begun(tmp_path, "20260107T101119Z-a1b2")
    failed.record("stop", "changed", 9)
    failed.record("restore", "failed", 77)
    failed.end("failed", "x")
    found = past(tmp_path, "recover.quorum")
    assert found.steps == {"stop": (9.0, 4.0, 5.0, 3.0), "start": (1.0, 1.0, 1.0)}
    assert len(found.totals) == 3
    assert all(0 <= each < 60 for each in found.totals)
    assert past(tmp_path, "recover.quorum", runs=2).steps == {"stop": (9.0, 4.0), "start": (1.0,)}
    assert past(tmp_path, "lb.setup") == journal.Past()
    assert past(tmp_path / "none", "lb.setup") == journal.Past()


def test_a_resumed_run_has_no_total(tmp_path):
    records = begun(tmp_path, finished=frozenset({"stop"}))
    records.record("restore", "changed", 2)
    records.end("ok")
    assert past(tmp_path, "recover.quorum") == journal.Past({"restore": (2.0,)})
