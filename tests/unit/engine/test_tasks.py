"""The command line: flags in, exit codes out. Everything runs inside Invoke's own program, as `inv` does it."""

import json
import subprocess
import sys

import pytest
from invoke.collection import Collection
from invoke.program import Program

import tasks as shipped
from runbooks.engine import session as engine_session
from runbooks.engine.session import Options
from runbooks.engine.tasks import ProcedureTask, RunbookTask, SessionTask, procedure, query, remainder, runbook
from runbooks.errors import HostErrors, InventoryError, PrecheckError, RunbookError, UnreachableError
from tests.support import ROOT

pytestmark = pytest.mark.unit

RAN: list[tuple] = []


@pytest.fixture(autouse=True)
def ran(monkeypatch):
    RAN.clear()
    yield RAN
    RAN.clear()


@pytest.fixture
def opened(monkeypatch):
    """Sessions that open nothing: what they were asked for."""
    seen = []

    class Nothing:
        def __init__(self, options):
            self.options = options
            seen.append(options)

        def close(self, **_):
            pass

    monkeypatch.setattr(engine_session, "Session", Nothing)
    return seen


def chapter(*tasks, name="lb") -> Collection:
    return Collection(name, *tasks)


def inv(*words: str, **chapters: Collection) -> int:
    """Exit status of `inv WORDS`, with these chapters or the shipped ones."""
    namespace = shipped.ns
    if chapters:
        namespace = Collection()
        for name, one in chapters.items():
            namespace.add_collection(one, name=name)
    try:
        Program(name="inv", binary="inv", namespace=namespace, version="0").run(["inv", *words])
    except SystemExit as end:
        return end.code or 0
    return 0


@runbook()
def greet(_, host: str, loud: bool = False) -> None:
    """Greet a host."""
    RAN.append((host, loud))


@query
def status(session, backend_name: str = "") -> None:
    """Look."""
    RAN.append((session.options, backend_name))


@procedure(help={"to": "where"})
def move(session, to: str) -> None:
    """Move something."""
    RAN.append((session.options, to))


def failing(error: BaseException, mark=runbook):
    @mark(name="fail")
    def fail(_):
        """Fail."""
        raise error

    return chapter(fail)


# ---- flags


def test_a_word_after_the_name_never_becomes_an_argument(capsys):
    assert inv("lb.greet", "lb1", lb=chapter(greet)) != 0
    assert RAN == []


@pytest.mark.parametrize("words", [("lb.greet", "--help"), ("--help", "lb.greet"), ("lb.greet", "-h")])
def test_asking_for_help_runs_nothing(words, capsys):
    assert inv(*words, lb=chapter(greet)) == 0
    assert "Greet a host." in capsys.readouterr().out
    assert RAN == []


def test_a_missing_flag_is_told_and_nothing_runs(capsys):
    assert inv("lb.greet", lb=chapter(greet)) == 2
    assert capsys.readouterr().err == "error: greet needs --host\n"
    assert RAN == []


def test_a_missing_flag_of_a_session_command_opens_no_session(opened, capsys):
    assert inv("lb.move", lb=chapter(move)) == 2
    assert "--to" in capsys.readouterr().err
    assert opened == []


def test_flags_have_hyphens_and_no_short_forms(opened):
    assert inv("lb.status", "--backend-name", "x", lb=chapter(status)) == 0
    assert [name for _, name in RAN] == ["x"]
    inv("lb.greet", "-l", "--host", "lb1", lb=chapter(greet))  # Invoke's own --list, not --loud
    assert len(RAN) == 1


def test_flags_reach_the_function():
    assert inv("lb.greet", "--host", "lb1", "--loud", lb=chapter(greet)) == 0
    assert inv("lb.greet", "--host=lb2", lb=chapter(greet)) == 0
    assert RAN == [("lb1", True), ("lb2", False)]


@pytest.mark.parametrize(
    ("words", "options"),
    [
        ((), Options()),
        (("--json",), Options(json=True)),
        (("--plan",), Options(plan=True)),
        (("--plan", "--json"), Options(plan=True, json=True)),
        (("--diff",), Options(diff=True)),
        (("--resume",), Options(resume="")),
        (("--resume", "20260107T101112Z-a1b2"), Options(resume="20260107T101112Z-a1b2")),
        (("--resume=20260107T101112Z-a1b2", "--json"), Options(resume="20260107T101112Z-a1b2", json=True)),
        (("--resume", "--json"), Options(resume="", json=True)),
    ],
)
def test_what_comes_for_free_with_a_procedure(words, options, opened):
    assert inv("lb.move", "--to", "lb2", *words, lb=chapter(move)) == 0
    assert opened == [options]
    ((seen, to),) = RAN
    assert (seen, to) == (options, "lb2")


@pytest.mark.parametrize("flag", ["--plan", "--diff", "--resume"])
def test_a_command_that_only_looks_has_no_use_for(flag, opened, capsys):
    assert inv("lb.status", flag, lb=chapter(status)) != 0
    assert opened == []


def test_a_command_that_looks_can_speak_json(opened):
    assert inv("lb.status", "--json", lb=chapter(status)) == 0
    assert opened == [Options(json=True)]


def test_a_command_without_a_session_has_no_common_flags(opened):
    assert inv("lb.greet", "--host", "x", "--json", lb=chapter(greet)) != 0
    assert RAN == []


# ---- errors


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (RunbookError("it broke"), 1),
        (InventoryError("it broke"), 2),
        (PrecheckError("it broke"), 3),
        (UnreachableError("it broke"), 4),
        (HostErrors({"lb1": UnreachableError("it broke"), "lb2": UnreachableError("it broke")}, 2), 4),
    ],
)
@pytest.mark.parametrize("mark", [runbook, query, procedure])
def test_an_error_is_one_text_and_an_exit_code(error, code, mark, opened, capsys):
    error.add_note("stopped at step 1 of 2: look")
    error.hint = "fix it"
    assert inv("lb.fail", lb=failing(error, mark)) == code
    out, err = capsys.readouterr()
    assert out == ""
    assert err.splitlines()[0].startswith("error: ")
    assert "it broke" in err
    assert err.splitlines()[-2:] == ["stopped at step 1 of 2: look", "next:  fix it"]
    assert "Traceback" not in err


def test_an_error_with_json_is_an_event_on_standard_output(opened, capsys):
    assert inv("lb.fail", "--json", lb=failing(PrecheckError("it broke", hint="fix it"), query)) == 3
    out, err = capsys.readouterr()
    assert json.loads(out) == {"event": "error", "exit": 3, "error": "it broke", "next": "fix it"}
    assert err == "error: it broke\nnext:  fix it\n"
    error = PrecheckError("it broke")
    error.add_note("stopped at step 1 of 2: look")
    inv("lb.fail", "--json", lb=failing(error, query))
    assert json.loads(capsys.readouterr().out)["notes"] == ["stopped at step 1 of 2: look"]


def test_ctrl_c(opened, capsys):
    assert inv("lb.fail", lb=failing(KeyboardInterrupt(), procedure)) == 130
    assert capsys.readouterr().err == "interrupted; run the same command again to continue\n"


def test_a_bug_keeps_its_traceback(opened):
    with pytest.raises(ZeroDivisionError):
        inv("lb.fail", lb=failing(ZeroDivisionError(), procedure))


def test_the_first_failure_ends_the_line(opened, capsys):
    assert inv("lb.fail", "lb.greet", "--host", "x", lb=chapter(failing(PrecheckError("no"))["fail"], greet)) == 3
    assert RAN == []


# ---- Invoke's trap: tasks that look alike to it are run only once


def test_equally_named_tasks_of_two_chapters_both_run(opened):
    @query(name="status")
    def other(_):
        """Look."""
        RAN.append(("etcd",))

    @query(name="status")
    def another(_):
        """Look."""
        RAN.append(("lb",))

    assert inv("lb.status", "etcd.status", lb=chapter(another), etcd=chapter(other, name="etcd")) == 0
    assert RAN == [("lb",), ("etcd",)]


def test_every_shipped_command_differs_from_every_other_to_invoke():
    names = shipped.ns.task_names
    every = [shipped.ns[name] for name in names]
    assert len(every) > 10
    for number, one in enumerate(every):
        assert [names_of for names_of, other in zip(names, every, strict=True) if other == one] == [list(names)[number]]


# ---- what is shipped


def test_every_shipped_command_is_one_of_ours_with_a_title_that_fits():
    every = {name: shipped.ns[name] for name in shipped.ns.task_names}
    assert [name for name, task in every.items() if not isinstance(task, RunbookTask)] == []
    titles = {name: (task.__doc__ or "").strip().split("\n", 1)[0] for name, task in every.items()}
    assert {name: title for name, title in titles.items() if not title.endswith(".") or len(title) > 50} == {}


def test_each_command_is_one_line_of_a_list_of_80_columns():
    """No line begins with half a word, or with anything but a command. Invoke takes a pipe for a terminal of 80 columns."""
    command = [sys.executable, "-m", "invoke", "--list"]
    lines = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT).stdout.splitlines()[2:]
    assert sorted(line.split()[0] for line in lines if line) == sorted(shipped.ns.task_names)
    assert max(map(len, lines)) <= 80


def test_the_doctor_is_a_command_without_a_chapter():
    assert "doctor" in shipped.ns.tasks
    assert shipped.ns.default is None


@pytest.mark.parametrize("time", ["the first time", "again"])
def test_every_flag_of_every_shipped_command_is_explained(time):
    for name in shipped.ns.task_names:
        for argument in shipped.ns[name].get_arguments():
            assert argument.help, f"{name} --{argument.name}, {time}"


def test_what_changes_the_site_can_be_planned():
    kinds = {name: type(shipped.ns[name]) for name in shipped.ns.task_names}
    for name in ("lb.setup", "lb.failover", "lb.rollback"):
        assert kinds[name] is ProcedureTask
    for name in ("lb.status", "lb.render", "site.check", "runs.list"):
        assert kinds[name] is SessionTask


def test_listing_the_commands_loads_no_library_that_it_does_not_need():
    """Start-up time: `inv --list` and completion must not pay for SSH."""
    program = "import sys, tasks; print(*sorted(sys.modules))"
    loaded = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout.split()
    assert not {"fabric", "paramiko", "rich", "tenacity", "jinja2"} & set(loaded)


def test_a_site_file_with_mistakes_ends_every_command_alike(tmp_path, monkeypatch, capsys):
    path = tmp_path / "hosts.yaml"
    path.write_text("name: [\n")
    monkeypatch.setenv("RUNBOOKS_SITE", str(path))
    for name in ("site.check", "lb.status", "lb.setup"):
        assert inv(name) == 2
        assert f"{path}:" in capsys.readouterr().err


@pytest.mark.parametrize(
    "words",
    [
        ("lb.setup",),
        ("lb.setup", "--plan"),
        ("lb.status",),
        ("lb.failover",),
        ("lb.rollback",),
        ("site.lock",),
        ("site.unlock", "--yes"),
        ("site.trust", "--yes"),
    ],
)
def test_the_shipped_example_is_refused_by_everything_that_connects(words, monkeypatch, capsys):
    monkeypatch.delenv("RUNBOOKS_SITE", raising=False)
    assert inv(*words) == 3
    out, err = capsys.readouterr()
    assert "is the example site" in err
    assert "inv lab.up" in err
    assert out == ""


def test_the_words_after_two_hyphens(monkeypatch):
    monkeypatch.setattr(sys, "argv", ["inv", "lab.exec", "--host", "lb1", "--", "ls", "-l", "--", "x"])
    assert remainder() == ["ls", "-l", "--", "x"]
    monkeypatch.setattr(sys, "argv", ["inv", "lab.exec"])
    assert remainder() == []


# ---- what a command line loads


def loaded(*words: str) -> set[str]:
    return set(shipped.load(shipped.needed(words)).task_names)


def test_only_the_chapters_on_the_command_line_are_loaded():
    every = set(shipped.ns.task_names)
    assert loaded("doctor", "--json") == {"doctor"}
    assert loaded("cluster.verify") == {name for name in every if name.startswith("cluster.")}
    assert loaded("lab.up", "lb.setup", "--plan") == {name for name in every if name.startswith(("lab.", "lb."))}


@pytest.mark.parametrize(
    "words",
    [
        (),
        ("--list",),
        ("--help", "doctor"),
        ("--complete", "--", "inv cl"),
        ("rehearse", "upgrade.run"),
        ("doctor", "rehearse", "recover.lb"),
        ("doktor",),
        ("clutser.verify",),
        ("--dry", "lb.setup"),
    ],
)
def test_every_command_is_there_where_any_may_be_meant(words):
    assert loaded(*words) == set(shipped.ns.task_names)
    assert shipped.load(shipped.needed(words)).tasks["rehearse"].others.keys() >= {"upgrade.run", "doctor"}
