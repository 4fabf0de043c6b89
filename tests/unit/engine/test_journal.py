"""The journal of a run: what it writes, and what a later run may resume from it."""

import json
import os
import socket
import stat
import subprocess
import sys
from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runbooks.engine import history, journal
from runbooks.engine.history import newest
from runbooks.engine.journal import RunJournal, finished_steps, interrupted_inputs, new_run_id, prune
from runbooks.engine.loop import carry_out
from runbooks.engine.past import Past, past
from runbooks.engine.steps import Procedure, Step, Together
from runbooks.errors import CommandError, DiskError, InventoryError, PrecheckError
from tests.support import ROOT
from tests.support.fakes import FakeHosts, Fault, lb, run_on, setting, toy
from tests.support.waiting import eventually

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


def test_begin_steps_end(tmp_path, monkeypatch):
    monkeypatch.setenv("SUDO_USER", "kim")
    monkeypatch.setenv("SSH_CONNECTION", "10.9.9.9 50022 10.9.0.2 22")
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
        "command": "inv recover.quorum",
        "user": "kim",
        "machine": socket.gethostname(),
        "pid": os.getpid(),
        "client": "10.9.9.9",
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


def test_what_is_noted_belongs_to_its_step_also_when_several_are_at_work(tmp_path):
    steps = tuple(setting(lb(number), "a") for number in (1, 2))
    procedure = toy(Together(steps), setting(lb(1), "b"))
    records = RunJournal(tmp_path, "1", procedure)
    carry_out(run_on(FakeHosts(), journal=records), procedure)
    found = [(each["event"], each.get("host"), each["step"]) for each in lines(tmp_path, "1")[1:]]
    for number in (1, 2):
        title = f"lb{number}: set a"
        assert [each for each in found if each[2] == title] == [
            ("start", None, title),
            ("change", f"lb{number}", title),
            ("step", None, title),
        ]


def test_a_step_that_fails_is_in_it_with_its_time(tmp_path):
    procedure = toy(setting(lb(1), "a"), setting(lb(2), "a"))
    hosts = FakeHosts(faults=[Fault("lb2 put a", lambda: CommandError("lb2: it exited 1", exited=1))])
    with pytest.raises(CommandError):
        carry_out(run_on(hosts, journal=RunJournal(tmp_path, "1", procedure)), procedure)
    found = [(each["step"], each["outcome"]) for each in lines(tmp_path, "1") if each["event"] == "step"]
    assert found == [("lb1: set a", "changed"), ("lb2: set a", "failed")]
    assert finished_steps(tmp_path, procedure, "1") == {"lb1: set a"}


def test_a_resumed_run_names_each_step_once(tmp_path):
    procedure = toy(setting(lb(1), "a"), setting(lb(2), "a"))
    records = RunJournal(tmp_path, "1", procedure, frozenset({"lb1: set a"}))
    carry_out(run_on(FakeHosts(), journal=records), procedure)
    found = [(each["event"], each["step"]) for each in lines(tmp_path, "1")[1:] if each["event"] in {"start", "step"}]
    assert found == [("step", "lb1: set a"), ("start", "lb2: set a"), ("step", "lb2: set a")]


def test_a_change_is_on_disk_before_it_is_made_and_after_it_was(tmp_path, monkeypatch):
    """What fsync has seen of the file is what a power cut leaves."""
    procedure = toy(setting(lb(1), "a"), setting(lb(2), "a"))
    safe, before = [""], []
    records = RunJournal(tmp_path, "1", procedure)

    def fsync(_):
        safe[0] = records.path.read_text()

    monkeypatch.setattr(journal.os, "fsync", fsync)
    hosts = FakeHosts(before=lambda host, command: before.append((f"{host} {command.program}", safe[0])))
    carry_out(run_on(hosts, journal=records), procedure)
    for line, text in [(line, text) for line, text in before if " put " in line]:
        assert line.split(" ", 1)[1] in text, line
    assert '"lb2: set a", "outcome": "changed"' in safe[0]
    records.end("ok")
    assert json.loads(safe[0].splitlines()[-1])["event"] == "end"


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
    assert len(list(newest(directory))) == (1 if whole_lines else 0)


def test_a_line_that_was_cut_off_in_the_middle_costs_only_itself(tmp_path):
    records = begun(tmp_path, done=["stop"])
    with records.path.open("a") as file:
        file.write('{"at": "2026-01-07T10:11:13.000+00:00", "event": "no\n\0\0\n[1]\n7\n{"event": NaN}\n')
        file.write('{"event": "step", "step": "restore", "outcome": "changed", "seconds": 1}\n')
    assert finished_steps(tmp_path, procedure(), "") == {"stop", "restore"}


ENDLESS = """
import sys
from pathlib import Path
from runbooks.engine.journal import RunJournal
from runbooks.engine.steps import Procedure, Step
records = RunJournal(Path(sys.argv[1]), "1", Procedure("toy.run", "t", [Step("one")]))
records.start("one")
for number in range(10**9):
    records.note("note", "lb1", f"{number} " + "x" * 20000)
"""


def test_a_run_that_is_killed_leaves_whole_lines_and_looks_as_what_it_is(tmp_path):
    path = tmp_path / "1.jsonl"

    def outcome() -> str:
        run = history.of(path)
        return run.outcome if run else ""

    process = subprocess.Popen([sys.executable, "-c", ENDLESS, tmp_path], cwd=ROOT)
    try:
        eventually(lambda: path.exists() and path.stat().st_size > 1_000_000, True, 60)
        assert outcome() == "running"
    finally:
        process.kill()
        process.wait()
    assert outcome() == "not ended"
    run = history.of(path)
    assert run
    (step,) = run.steps
    assert step.outcome == "at work"
    assert [int(line.text.split()[0]) for line in step.lines] == list(range(len(step.lines)))


def test_junk_beside_the_journals_does_no_harm(tmp_path):
    begun(tmp_path, "20260101T000000Z-0000", done=["stop"])
    (tmp_path / "zz.jsonl").write_bytes(b"\x00\xff not json\n")
    (tmp_path / "zw.jsonl").write_text("[]\n{}\nnull\n")
    (tmp_path / "zv.jsonl").mkdir()
    (tmp_path / "zy.jsonl").write_text("")
    (tmp_path / "zx.txt").write_text("{}")
    assert finished_steps(tmp_path, procedure(), "") == {"stop"}
    assert [each.run for each in newest(tmp_path)] == ["20260101T000000Z-0000"]


# ---- a full disk


@pytest.fixture
def tiny(tmp_path):
    """Run a program on a file system of its own, which is in memory, `size` bytes large, and seen by nobody else."""

    def tiny(size: str, program: str) -> dict:
        """Return what the program has put into ``said``; it finds the file system at ``TOP``."""
        top = tmp_path / "tiny"
        top.mkdir(exist_ok=True)
        whole = f"{TINY}\nTOP = Path({str(top)!r})\nsaid = {{}}\n{program}\nprint(json.dumps(said))"
        mounted = f'mount -t tmpfs -o size={size},mode=700 tiny "$1" && exec "$2" -c "$3"'
        command = ["unshare", "--mount", "--propagation", "private", "sh", "-c", mounted, "sh", top, sys.executable, whole]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=60)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    return tiny


TINY = """
import json
from pathlib import Path
from runbooks.engine.journal import RunJournal, finished_steps, read
from runbooks.engine.loop import carry_out
from runbooks.engine.steps import Procedure, Step
from runbooks.errors import RunbookError
from tests.support.fakes import FakeHosts, lb, run_on, setting, toy

def fill():
    with (TOP / "filler").open("ab", buffering=0) as file:
        try:
            while True:
                file.write(bytes(4096))
        except OSError:
            pass
"""
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to mount a file system")


@needs_root
@pytest.mark.parametrize(
    ("size", "expected"),
    [("8m", "TOP/runs: 8.0 MiB are free, but the report of a run may take 16.0 MiB"),
     ("32m,nr_inodes=2", "the report TOP/runs/1.jsonl cannot be written: No space left on device; nothing was started")],
    ids=["no room", "no more files"],
)  # fmt: skip
def test_a_run_is_refused_where_its_report_has_no_room(tiny, size, expected):
    said = tiny(
        size,
        """
try:
    RunJournal(TOP / "runs", "1", toy(setting(lb(1), "a")))
except RunbookError as error:
    said = {"error": str(error).replace(str(TOP), "TOP"), "exit": error.exit_code, "hint": error.hint.replace(str(TOP), "TOP")}
said["left"] = [str(path) for path in TOP.rglob("*.jsonl")]
""",
    )
    assert said == {"error": expected, "exit": 3, "hint": "make room on the disk of TOP/runs", "left": []}


@needs_root
def test_a_disk_that_becomes_full_ends_the_run_after_the_step_that_is_at_work(tiny):
    said = tiny(
        "32m",
        """
def before(host, command):
    if command.program == "put b " + "x" * 9000:
        fill()
        journal.note("note", "lb1", "w" * 9000)

hosts = FakeHosts(before=before)
procedure = toy(setting(lb(1), "a"), setting(lb(1), "b", "x" * 9000), setting(lb(2), "c"))
journal = RunJournal(TOP / "runs", "1", procedure)
run = run_on(hosts, journal=journal)
try:
    carry_out(run, procedure)
except RunbookError as error:
    said = {"error": str(error).replace(str(TOP), "TOP"), "notes": error.__notes__, "hint": error.hint.replace(str(TOP), "TOP")}
fill()
journal.note("note", "lb1", "y" * 9000)
journal.end("failed", "z" * 9000)
said |= {
    "outcomes": run.listener.outcomes,
    "values": {f"{host} {key}": value[:3] for (host, key), value in hosts.values.items()},
    "lost": journal.unwritten,
    "broken": [line for line in journal.path.read_text().splitlines() if not line.endswith("}")],
    "ends": journal.path.read_text()[-1],
    "finished": sorted(finished_steps(TOP / "runs", procedure, "1")),
}
""",
    )
    assert said.pop("error") == "the report TOP/runs/1.jsonl cannot be written: No space left on device"
    assert said.pop("notes") == ["stopped after step 2 of 3, which has ended: lb1: set b"]
    assert said.pop("hint").startswith("make room on the disk of TOP/runs, then run `inv toy.run` again")
    assert said.pop("lost") >= 2
    assert said == {
        "outcomes": {"lb1: set a": "changed", "lb1: set b": "changed"},
        "values": {"lb1 a": "on", "lb1 b": "xxx"},
        "broken": [],
        "ends": "\n",
        "finished": ["lb1: set a"],
    }


@needs_root
def test_what_could_not_be_written_is_written_when_there_is_room_again(tiny):
    said = tiny(
        "32m",
        """
journal = RunJournal(TOP / "runs", "1", toy(setting(lb(1), "a")))
journal.start("lb1: set a")
fill()
for number in range(3):
    journal.note("note", "lb1", f"{number} " + "x" * 9000)
said["lost"] = journal.unwritten
(TOP / "filler").unlink()
journal.record("lb1: set a", "changed", 1)
said["then"] = journal.unwritten
journal.end("ok")
said["events"] = [each["event"] for each in read(journal.path)]
said["texts"] = [each["text"][0] for each in read(journal.path) if each["event"] == "note"]
""",
    )
    assert said == {
        "lost": 3,
        "then": 0,
        "events": ["begin", "start", "note", "note", "note", "step", "end"],
        "texts": ["0", "1", "2"],
    }


def test_a_directory_that_cannot_be_made_is_a_refusal(tmp_path):
    (tmp_path / "runs").write_text("")
    with pytest.raises(PrecheckError, match=r"runs/x\.jsonl cannot be written: File exists; nothing was started"):
        begun(tmp_path / "runs", "x")


def test_the_error_of_a_step_counts_more_than_that_of_its_report(tmp_path, monkeypatch):
    procedure = toy(setting(lb(1), "a"))
    records = RunJournal(tmp_path, "1", procedure)
    hosts = FakeHosts(faults=[Fault("put a", lambda: CommandError("lb1: it exited 1", exited=1))])

    def full(*_, **__):
        raise DiskError("full")

    monkeypatch.setattr(records, "record", full)
    with pytest.raises(CommandError, match="it exited 1"):
        carry_out(run_on(hosts, journal=records), procedure)


# ---- keeping


def test_the_oldest_are_pruned(tmp_path, monkeypatch):
    monkeypatch.setattr(journal, "KEEP", 2)
    for day in range(1, 5):
        begun(tmp_path, f"2026010{day}T000000Z-0000").end("ok")
        if day in {1, 4}:  # what clients saw during an upgrade
            (tmp_path / f"2026010{day}T000000Z-0000.clients.json").write_text("{}")
            (tmp_path / f"2026010{day}T000000Z-0000.html").write_text("")
    (tmp_path / "note.txt").write_text("mine")
    prune(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "20260103T000000Z-0000.jsonl",
        "20260104T000000Z-0000.clients.json",
        "20260104T000000Z-0000.html",
        "20260104T000000Z-0000.jsonl",
        "note.txt",
    ]


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
    assert past(tmp_path, "lb.setup") == Past()
    assert past(tmp_path / "none", "lb.setup") == Past()


def test_a_resumed_run_has_no_total(tmp_path):
    records = begun(tmp_path, finished=frozenset({"stop"}))
    records.record("restore", "changed", 2)
    records.end("ok")
    assert past(tmp_path, "recover.quorum") == Past({"restore": (2.0,)})
