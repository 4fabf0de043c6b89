"""The record of a journey, the page that is written from records, and what is refused before anything is booted."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
from contextlib import nullcontext
from pathlib import Path

import pytest

from lab import kube_release, names
from lab.kubernetes import PROGRAMS, Kubernetes
from runbooks.errors import InventoryError, PrecheckError
from tests.rehearsal import __main__ as command
from tests.rehearsal import journey, page, record, stages
from tests.rehearsal.journey import Journey, reason
from tests.rehearsal.record import FAILED, GOOD, NOT_RUN, Outcome, Record
from tests.rehearsal.stages import STAGES, Stage
from tests.support import ROOT
from tests.support.waiting import eventually

pytestmark = pytest.mark.unit


@pytest.fixture
def short(monkeypatch):
    """A journey of three stages."""
    for module in (record, page):
        monkeypatch.setattr(module, "TITLES", ("lb.setup", "recover.certs", "doctor"))


NEW = Record(
    version="1.36.3",
    date="2026-11-28",
    etcd="3.6.8",
    containerd="1.6.20",
    cgroups="v1",
    seconds=612.4,
    outcomes=[
        Outcome(stage="lb.setup", outcome=GOOD, seconds=12.34),
        Outcome(stage="recover.certs", outcome=FAILED, seconds=3.0, why="exit status 1: error: a | b"),
        Outcome(stage="doctor", outcome=NOT_RUN, why="without recover.certs"),
    ],
)
OLD = Record(version="1.9.1", date="2026-11-27", outcomes=[Outcome(stage="lb.setup", outcome=GOOD, seconds=9.0)])


# ---- the page


def test_text_around_the_tables_stays():
    text = f"# Title\n\nbefore\n\n{page.BEGIN}\nold\n{page.END}\n\nafter\n"
    once = page.rewritten(text, [OLD, NEW])
    assert once.startswith("# Title\n\nbefore\n\n")
    assert once.endswith(f"{page.END}\n\nafter\n")
    assert "old" not in once
    assert page.rewritten(once, [OLD, NEW]) == once


@pytest.mark.parametrize(
    "text",
    ["", page.BEGIN, page.END, f"{page.END}\n{page.BEGIN}", f"{page.BEGIN}\n{page.END}\n{page.END}"],
    ids=["nothing", "no end", "no begin", "wrong order", "twice"],
)
def test_a_page_without_a_place_for_them_is_refused(text):
    with pytest.raises(InventoryError, match="no place for the tables"):
        page.rewritten(text, [NEW])


def test_a_failed_step_is_shown_as_what_it_is(short):
    lines = page.tables([OLD, NEW]).splitlines()
    assert lines[2].startswith("| 1.9.1 | ? | ? | ? | 2026-11-27 | 1 of 3 good; stopped before recover.certs |")
    assert lines[3] == (
        "| 1.36.3 | 3.6.8 | 1.6.20 | v1 | 2026-11-28 | 1 of 3 good; **failed**: recover.certs; not run: doctor | 612 |"
    )
    assert "| lb.setup | 9.0 | 12.3 |" in lines
    assert "| recover.certs |  | **failed** (3.0) |" in lines
    assert "| doctor |  | not run |" in lines
    assert lines[-1] == "- 1.36.3, recover.certs: exit status 1: error: a | b"


def test_the_page_is_what_the_records_say():
    """Nobody edits the tables, or claims a version that was not rehearsed."""
    text = command.PAGE.read_text()
    assert page.rewritten(text, record.read_all()) == text


def test_the_readme_claims_no_other_version():
    claimed = set(re.findall(r"\b1\.(?:[2-9]\d)\.\d+\b", (ROOT / "README.md").read_text().partition("## Versions")[2]))
    assert claimed == {each.version for each in record.read_all() if each.well}


# ---- records


def test_a_record_comes_back_as_it_was_written(tmp_path):
    record.write(NEW, tmp_path / "1.36.3.json")
    record.write(OLD, tmp_path / "1.9.1.json")
    assert record.read_all(tmp_path) == [OLD, NEW]


def good(*titles: str) -> list[Outcome]:
    return [Outcome(stage=title, outcome=GOOD) for title in titles]


def test_a_stage_that_is_repeated_replaces_its_outcome(monkeypatch):
    monkeypatch.setattr(record, "TITLES", ("a",))
    found = Record(version="1.36.3", date="", outcomes=[Outcome(stage="a", outcome=FAILED)])
    assert not found.well
    found.put(*good("a"))
    assert found.well
    assert page.result(found).startswith("all ")


def test_a_failure_that_was_repeated_and_the_sittings_are_shown(short, tmp_path):
    found = Record(version="1.36.3", date="2026-11-28", last="2026-11-29", sittings=3)
    for outcome in (FAILED, FAILED, NOT_RUN, GOOD):
        found.put(Outcome(stage="lb.setup", outcome=outcome, why=f"{outcome}!" if outcome != GOOD else ""))
    for each in good("recover.certs", "doctor"):
        found.put(each)
    record.write(found, tmp_path / "1.36.3.json")
    lines = page.tables(record.read_all(tmp_path)).splitlines()
    assert "| 2026-11-28 to 2026-11-29 | all 3 good; failed before, and repeated: lb.setup; in 3 sittings |" in lines[2]
    assert lines[-2:] == ["- 1.36.3, lb.setup, before it was repeated: failed!"] * 2


def test_an_interruption_is_no_failure(short):
    found = Record(version="1.36.3", date="", sittings=2, outcomes=good("lb.setup", "recover.certs", "doctor"))
    assert page.result(found) == "all 3 good; in 2 sittings"


def test_a_record_from_before_failures_were_kept_is_still_read(tmp_path):
    (tmp_path / "1.36.3.json").write_text('{"version": "1.36.3", "date": "2026-11-28", "sittings": 2, "outcomes": []}')
    assert record.read_all(tmp_path)[0].sittings == 2


def test_good_is_only_what_holds_exactly_the_stages_of_the_journey():
    titles = [stage.title for stage in STAGES]
    whole = Record(version="1.36.3", date="", outcomes=good(*titles))
    assert whole.well
    assert page.result(whole).startswith(f"all {len(STAGES)} good")
    for wrong in ([], titles[:-1], titles[1:], [*titles, "another"], [*titles[:-1], "another"]):
        assert not Record(version="1.36.3", date="", outcomes=good(*wrong)).well


def test_a_reason_is_the_commands_own_error():
    done = subprocess.CompletedProcess([], 3, "1/2 step\n", "warning\nerror: it is\n  master2: so\nnext:  do this\n")
    assert reason(done) == "exit status 3: it is master2: so"
    assert reason(subprocess.CompletedProcess([], 1, "fail  disk\n\n", "")) == "exit status 1: fail disk"


# ---- the journey


class Hosts:
    """An operator for whom some commands fail; ``said`` is what was asked for."""

    def __init__(self, *failing: str) -> None:
        self.failing, self.said = failing, list[str]()
        self.lab = self
        self.hosts = ()

    def site(self) -> Hosts:
        return self

    def on(self, *_: str) -> None:
        pass

    def inv(self, *words: str, timeout_s: float = 0) -> subprocess.CompletedProcess[str]:
        self.said.append(words[0])
        return subprocess.CompletedProcess(
            [], int(words[0] in self.failing), "", "error: no\n" if words[0] in self.failing else ""
        )

    def trouble(self, *words: str) -> str:
        return "error" if self.inv(*words).returncode else ""


def untrue(*_: object) -> None:
    raise AssertionError("it is not so")


TOYS = (
    Stage("one", ("one",)),
    Stage("two", ("two",), proof=lambda *_: None),
    Stage("three", ("three",), needs=("two",)),
    Stage("four", ("four",)),
)


def travelled(monkeypatch, tmp_path, hosts, stages=TOYS, known=None):
    monkeypatch.setattr(journey, "STAGES", stages)
    found = known or Record(version="1.36.3", date="")
    kept = []
    Journey(hosts, found, tmp_path / "log", lambda _: None, lambda each: kept.append(len(each.outcomes))).travel()
    return {each.stage: (each.outcome, each.why) for each in found.outcomes}, kept


def test_after_a_failure_the_rest_goes_on_where_it_makes_sense(monkeypatch, tmp_path):
    found, kept = travelled(monkeypatch, tmp_path, Hosts("two"))
    assert found == {
        "one": (GOOD, ""),
        "two": (FAILED, "exit status 1: no"),
        "three": (NOT_RUN, "without two"),
        "four": (GOOD, ""),
    }
    assert kept == [1, 2, 3, 4]


def test_without_a_cluster_nothing_goes_on(monkeypatch, tmp_path):
    found, _ = travelled(monkeypatch, tmp_path, Hosts("one", "cluster.verify", "cluster.init"))
    assert {stage: outcome for stage, (outcome, _) in found.items()} == {
        "one": FAILED,
        "two": NOT_RUN,
        "three": NOT_RUN,
        "four": NOT_RUN,
    }
    assert found["four"][1] == "no cluster any more: exit status 1: no"


def test_a_command_that_only_says_that_it_is_done_has_failed(monkeypatch, tmp_path):
    found, _ = travelled(monkeypatch, tmp_path, Hosts(), (Stage("one", ("one",), proof=untrue),))
    assert found == {"one": (FAILED, "not proven: it is not so")}
    assert "it is not so" in (tmp_path / "log").read_text()


def hangs(*_: object) -> None:
    raise subprocess.TimeoutExpired("inv", 900)


def answers_nothing(*_: object) -> None:
    "".splitlines()[0]


def has_none(*_: object) -> None:
    next(iter(()))


@pytest.mark.parametrize(
    ("stage", "why"),
    [
        (Stage("one", ("one",), proof=answers_nothing), "not proven: IndexError: list index out of range"),
        (Stage("one", ("one",), proof=has_none), "not proven: StopIteration"),
        (
            Stage("one", ("one",), before=hangs),
            "what comes before it failed: TimeoutExpired: Command 'inv' timed out after 900 seconds",
        ),
    ],
    ids=["no answer", "nothing to choose from", "hangs"],
)
def test_whatever_goes_wrong_is_the_failure_of_its_stage(monkeypatch, tmp_path, stage, why):
    found, _ = travelled(monkeypatch, tmp_path, Hosts(), (stage, TOYS[1]))
    assert found == {"one": (FAILED, why), "two": (GOOD, "")}
    assert "Traceback" in (tmp_path / "log").read_text()


class Lame(Hosts):
    """Hosts that cannot be repaired: after a failure, ``how`` happens in the lab or in the tool."""

    def __init__(self, how: BaseException, where: str) -> None:
        super().__init__("one", "cluster.verify")
        self.how, self.where = how, where

    def on(self, *_: str) -> None:
        if self.where == "on":
            raise self.how

    def inv(self, *words: str, timeout_s: float = 0) -> subprocess.CompletedProcess[str]:
        if words[0] == self.where:
            raise self.how
        return super().inv(*words)


@pytest.mark.parametrize("where", ["on", "cluster.verify", "cluster.init"])
def test_a_failure_is_kept_whatever_happens_after_it(monkeypatch, tmp_path, where):
    found, kept = travelled(monkeypatch, tmp_path, Lame(subprocess.TimeoutExpired("inv", 180), where))
    assert found["one"] == (FAILED, "exit status 1: no")
    assert found["two"] == (NOT_RUN, "no cluster any more: TimeoutExpired: Command 'inv' timed out after 180 seconds")
    assert kept == [1, 2, 3, 4]


@pytest.mark.parametrize("where", ["on", "cluster.verify", "cluster.init"])
def test_interrupted_while_the_cluster_is_brought_back_the_failure_is_kept(monkeypatch, tmp_path, where):
    found = Record(version="1.36.3", date="")
    with pytest.raises(KeyboardInterrupt):
        travelled(monkeypatch, tmp_path, Lame(KeyboardInterrupt(), where), known=found)
    assert [(each.stage, each.outcome) for each in found.failed] == [("one", FAILED)]


class Partly(Hosts):
    """cluster.init ends with 5, done but not all of it; ``enough``: whether cluster.verify is content with that."""

    def __init__(self, enough: bool) -> None:
        super().__init__("one", "cluster.verify")
        self.enough = enough

    def inv(self, *words: str, timeout_s: float = 0) -> subprocess.CompletedProcess[str]:
        done = super().inv(*words)
        return subprocess.CompletedProcess([], 5, "", "") if words[0] == "cluster.init" else done

    def verified(self) -> None:
        if not self.enough:
            raise AssertionError("nodes: worker1 is not there")


def test_a_cluster_that_is_brought_back_in_part_is_judged_by_verify(monkeypatch, tmp_path):
    found, _ = travelled(monkeypatch, tmp_path, Partly(enough=True))
    assert found["two"] == (GOOD, "")
    found, _ = travelled(monkeypatch, tmp_path, Partly(enough=False))
    assert found["two"] == (NOT_RUN, "no cluster any more: nodes: worker1 is not there")


def test_a_journey_goes_on_where_it_stopped(monkeypatch, tmp_path):
    hosts = Hosts()
    known = Record(version="1.36.3", date="", outcomes=[Outcome(stage="one", outcome=GOOD), Outcome(stage="two", outcome=FAILED)])
    found, _ = travelled(monkeypatch, tmp_path, hosts, known=known)
    assert hosts.said == ["two", "three", "four"]
    assert {outcome for outcome, _ in found.values()} == {GOOD}


def test_what_stages_need_comes_before_them():
    titles = [stage.title for stage in STAGES]
    assert len(set(titles)) == len(titles)
    for number, stage in enumerate(STAGES):
        assert set(stage.needs) <= set(titles[:number])


class Answers(Hosts):
    """A cluster with these nodes and members of etcd."""

    def __init__(self, nodes: list[str], members: list[str]) -> None:
        super().__init__()
        self.nodes, self.members = nodes, members

    def console(self, *_: object, **__: object) -> subprocess.CompletedProcess[str]:
        return subprocess.CompletedProcess([], 0, "".join(f"node/{name}\n" for name in self.nodes), "")

    def inv(self, *words: str, timeout_s: float = 0) -> subprocess.CompletedProcess[str]:
        return subprocess.CompletedProcess([], 0, json.dumps([{"name": name} for name in self.members]), "")


@pytest.mark.parametrize(
    ("nodes", "members", "left"),
    [
        (["master2", "worker1"], ["master2"], ""),
        (["master1", "master2"], ["master2"], "master1 is still a node"),
        (["master2"], ["master1", "master2"], "master1 is still a member"),
        ([], [], "master2 is not in the list of nodes"),
    ],
    ids=["gone", "node", "member", "no answer"],
)
def test_a_host_is_removed_when_neither_a_node_nor_a_member_is_left(monkeypatch, nodes, members, left):
    monkeypatch.setattr(stages, "eventually", lambda what, expected, _: eventually(what, expected, 0))
    proof = stages.gone("master1", asked="master2")
    with pytest.raises(AssertionError, match=left) if left else nullcontext():
        proof(Answers(nodes, members), subprocess.CompletedProcess([], 0))


def test_the_page_says_of_every_command_what_is_looked_up():
    text = command.PAGE.read_text().partition(page.BEGIN)[0]
    bare = next(line for line in text.splitlines() if "the exit status has to do" in line)
    assert set(re.findall(r"`(.+?)`", bare)) == {each.words[0] for each in STAGES if each.proof is stages.finished}
    assert {each.words[0] for each in STAGES} <= set(re.findall(r"`([a-z][a-z.-]+)`", text))


# ---- what is refused


def programs(directory: Path, *names: str) -> str:
    directory.mkdir()
    for name in (*names, "etcd", "etcdctl", "etcdutl"):
        (directory / name).write_text("#!/bin/sh\necho v1.36.3\n")
        (directory / name).chmod(0o755)
    (directory / "etcd").write_text("#!/bin/sh\necho etcd Version: 3.6.8\n")
    return str(directory)


def test_every_directory_that_cannot_be_used_is_named(tmp_path, capsys):
    whole = programs(tmp_path / "whole", *PROGRAMS)
    lame = programs(tmp_path / "lame", *(set(PROGRAMS) - {"kubeadm"}))
    assert command.main([whole, lame, "1.31", "debian"]) == 2
    said = capsys.readouterr().err
    assert "1.31: no such directory" in said
    assert f"{lame}: no program kubeadm" in said
    assert whole not in said
    assert "next:  the lab needs kubeadm, " in said


def test_programs_that_are_no_kubernetes_are_refused(tmp_path, capsys):
    odd = programs(tmp_path / "odd", *PROGRAMS)
    (tmp_path / "odd" / "kubeadm").write_text("#!/bin/sh\necho hello\n")
    assert command.main([odd]) == 2
    assert "which is no version" in capsys.readouterr().err


def test_a_release_is_fetched_as_lab_up_does_and_only_when_all_else_is_well(tmp_path, monkeypatch, capsys):
    whole, fetched = Path(programs(tmp_path / "whole", *PROGRAMS)), []
    monkeypatch.setattr(kube_release, "fetched", lambda text, *_: fetched.append(text))
    monkeypatch.setattr(kube_release, "place_of", lambda _: whole)
    assert command.main(["1.36.3", "1.31"]) == 2
    assert (fetched, "1.31: no such directory" in capsys.readouterr().err) == ([], True)
    assert command.wanted(["1.36.3"]) == [Kubernetes(binaries=whole)]
    assert fetched == ["1.36.3"]


def test_good_words(tmp_path):
    whole = programs(tmp_path / "whole", *PROGRAMS)
    assert command.wanted(["debian", whole]) == [Kubernetes(), Kubernetes(binaries=tmp_path / "whole")]


def test_a_lab_that_is_kept_is_one(tmp_path, capsys):
    with pytest.raises(SystemExit):
        command.main(["--keep", "debian", str(tmp_path)])
    assert "give one version" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("outcomes", "written"),
    [
        ([], False),
        (good("a"), False),
        ([*good("a"), Outcome(stage="b", outcome=FAILED)], True),
        (good("a", "b", "c"), True),
    ],
    ids=["nothing yet", "interrupted, all good", "interrupted after a failure", "to its end"],
)
def test_a_failure_replaces_an_older_result_even_when_the_journey_did_not_end(monkeypatch, tmp_path, outcomes, written):
    monkeypatch.setattr(record, "TITLES", ("a", "b", "c"))
    monkeypatch.setattr(record, "RESULTS", tmp_path)
    monkeypatch.setattr(command, "PAGE", tmp_path / "page.md")
    command.PAGE.write_text(f"{page.BEGIN}\n{page.END}\n")
    command.publish(Record(version="1.36.3", date="", outcomes=outcomes))
    assert (tmp_path / "1.36.3.json").exists() == written
    assert ("| 1.36.3 |" in command.PAGE.read_text()) == written


@pytest.fixture
def machine(monkeypatch, tmp_path):
    """A machine of its own, on which no lab is up."""
    monkeypatch.setattr(command, "LOCKS", tmp_path / "locks")
    monkeypatch.setattr(names, "RUN", tmp_path / "run")
    monkeypatch.setenv("HA_LAB_CACHE", str(tmp_path / "cache"))
    return tmp_path


class FakeLab:
    """A lab that somebody takes away; ``interrupts``: so often Ctrl-C comes while that is being done."""

    def __init__(self, interrupts: int = 0) -> None:
        self.downs, self.interrupts = 0, interrupts
        self.instance = names.Instance("mine")

    def exists(self) -> bool:
        return self.instance.state.exists()

    def down(self) -> None:
        self.downs += 1
        if self.downs <= self.interrupts:
            os.kill(os.getpid(), signal.SIGINT)


@pytest.mark.parametrize(
    ("words", "number", "interrupts", "downs"),
    [
        ((), signal.SIGINT, 0, 1),
        ((), signal.SIGTERM, 0, 1),
        ((), signal.SIGTERM, 5, 1),
        ((), None, 1, 2),
        (("--keep",), signal.SIGINT, 0, 0),
    ],
    ids=["Ctrl-C", "ended", "and again meanwhile", "while it is taken away", "kept"],
)
def test_interrupted_it_leaves_no_lab_unless_asked(monkeypatch, machine, words, number, interrupts, downs):
    lab = FakeLab(interrupts)
    monkeypatch.setattr(command, "Lab", lambda *_, **__: lab)
    monkeypatch.setattr(command, "rehearse", lambda *_: os.kill(os.getpid(), number) if number else None)
    assert command.main(["debian", *words]) == 130
    assert lab.downs == downs


@pytest.fixture
def lab(monkeypatch, machine):
    """The lab of the command; a journey on it is always good."""
    found = FakeLab()
    monkeypatch.setattr(command, "Lab", lambda *_, **__: found)
    monkeypatch.setattr(command, "rehearse", lambda *_: Record(version="1.20.2", date="", outcomes=good(*record.TITLES)))
    return found


@pytest.mark.parametrize("words", [(), ("--keep",)], ids=["", "kept"])
def test_the_lab_of_somebody_else_is_left_alone(lab, capsys, words):
    lab.instance.state.mkdir(parents=True)
    assert command.main(["debian", *words]) == 3
    said = capsys.readouterr().err
    assert "error: there is a lab mine already, and it was not made by this command" in said
    assert "RUNBOOKS_LAB=mine inv lab.down" in said
    assert lab.downs == 0


@pytest.mark.parametrize(("version", "status", "downs"), [("1.20.2", 0, 1), ("1.36.3", 3, 0)], ids=["the same", "another"])
def test_a_kept_lab_is_gone_on_with_only_for_the_version_that_is_asked_for(lab, capsys, version, status, downs):
    record.write(Record(version=version, date=""), command.record_in(lab))
    assert (command.main(["debian"]), lab.downs) == (status, downs)
    if status:
        assert "was kept from a journey on Kubernetes 1.36.3, and 1.20.2 is asked for" in capsys.readouterr().err


def test_a_kept_lab_with_other_programs_of_the_same_version_is_refused(lab, tmp_path, capsys):
    record.write(Record(version="1.36.3", date=""), command.record_in(lab))
    entry = tmp_path / "entry"
    entry.mkdir()
    (entry / "about.json").write_text('{"versions": ["v1.36.3"], "etcd": "3.6.8"}')
    lab.instance.kubernetes.write_text(str(entry))
    assert (command.main([programs(tmp_path / "whole", *PROGRAMS)]), lab.downs) == (3, 0)
    said = capsys.readouterr().err
    assert "this is another one" in said
    assert "RUNBOOKS_LAB=mine inv lab.down" in said


def test_one_journey_at_a_time_on_a_lab(lab, capsys):
    with command.alone(lab):
        assert command.main(["debian"]) == 3
    assert "another journey is under way on the lab mine" in capsys.readouterr().err
    assert lab.downs == 0
    assert command.main(["debian"]) == 0


def test_without_a_place_for_the_lock_it_says_what_to_do(lab, capsys):
    command.LOCKS.write_text("")
    assert command.main(["debian"]) == 3
    assert "next:  run this as root" in capsys.readouterr().err


def test_whose_lab_it_is_is_written_before_it_boots_and_a_boot_that_fails_leaves_no_directory(monkeypatch, machine):
    seen = []

    class Dark(FakeLab):
        def up(self, source: Path, kubernetes: Kubernetes) -> None:
            seen.append((record.read(command.record_in(self)).version, source.is_relative_to(self.instance.state)))
            raise PrecheckError("no room")

    lab = Dark()
    monkeypatch.setattr(command, "Lab", lambda *_, **__: lab)
    monkeypatch.setattr(command.tempfile, "mkdtemp", untrue)
    assert (command.main(["debian"]), lab.downs) == (3, 1)
    assert seen == [("1.20.2", True)]
