"""What people and machines see of a run."""

import io
import json
import re

import pytest

from runbooks.commands.base import Secret, cmd
from runbooks.commands.files import File, Found
from runbooks.engine.console import JsonLines, Live, Plain, console
from runbooks.engine.loop import carry_out
from runbooks.engine.steps import Failed, Run, Step, Together
from runbooks.errors import CommandError, OutcomeError
from tests.support.fakes import FakeHosts, FakeLease, Fault, get, lb, put, run_on, setting, site, toy

pytestmark = pytest.mark.unit


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True

    @property
    def text(self) -> str:
        """What was written, without colours and cursor movements."""
        return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", self.getvalue())


def carried_out(display, *steps, hosts=None, plan=False) -> None:
    run = Run(site(), hosts or FakeHosts(), run_on(FakeHosts()).journal, display, FakeLease(), plan=plan, poll=0)
    carry_out(run, toy(*steps))
    display.finish(display.summary())


def plain(*steps, diff=False, **how) -> str:
    out = io.StringIO()
    carried_out(Plain(out, diff=diff), *steps, **how)
    return re.sub(r"[0-9.]+ s\b", "T s", out.getvalue())


def test_a_step_that_failed_without_stopping_the_run_is_not_called_changed():
    over = []
    step = Step("copy", done=lambda _: bool(over), do=lambda _: over.append(1) or Failed())
    said = plain(step, setting(lb(1), "a"))
    assert "! 1/2 copy  [failed, T s]\n* 2/2 lb1: set a  [changed, T s]\n" in said
    assert said.endswith("done: 1 changed, 0 unchanged, 1 failed, T s\n")


# ---- choosing


def test_the_display_that_fits():
    assert type(console(as_json=True, out=Terminal())) is JsonLines
    assert type(console(as_json=False, out=Terminal())) is Live
    assert type(console(as_json=False, out=io.StringIO())) is Plain


@pytest.mark.parametrize("out", [Terminal(), io.StringIO()])
def test_diffs_are_for_whoever_asks(out):
    for diff in (False, True):
        assert console(as_json=False, diff=diff, out=out)._diff is diff


def test_standard_output_is_the_one_of_now(monkeypatch):
    out = io.StringIO()
    monkeypatch.setattr("sys.stdout", out)
    console(as_json=False).say("hello")
    assert out.getvalue() == "hello\n"


# ---- plain lines


@pytest.mark.parametrize("diff", [False, True])
def test_a_line_for_each_step_and_what_it_changed_when_asked_for(diff):
    hosts = FakeHosts({("lb1", "a"): "on"})
    assert plain(setting(lb(1), "a"), setting(lb(2), "a"), hosts=hosts, diff=diff).splitlines() == [
        "toy.run: A toy",
        "  1/2 lb1: set a  [nothing to do, T s]",
        "* 2/2 lb2: set a  [changed, T s]",
        *(["      | ran on lb2: put a on"] if diff else []),
        "done: 1 changed, 1 unchanged, T s",
    ]


def test_nothing_to_do():
    hosts = FakeHosts({("lb1", "a"): "on"})
    assert plain(setting(lb(1), "a"), hosts=hosts).splitlines()[-1] == "nothing to do: 1 step checked in T s"


def test_a_plan_says_that_it_is_one():
    lines = plain(setting(lb(1), "a"), setting(lb(2), "a"), plan=True).splitlines()
    assert lines[0] == "toy.run: A toy  (plan: nothing is touched)"
    assert "      | would run on lb1: put a on" in lines
    assert lines[-1] == "plan: 2 of 2 steps would change something; nothing was touched"


def test_a_plan_with_nothing_to_change_but_something_amiss_does_not_say_that_all_is_well():
    gate = Step("serves", lb(1), done=lambda run: run.read(lb(1), get("a")) == "on", within=0)
    text = plain(setting(lb(1), "b", ""), gate, plan=True)
    assert "? 2/2 lb1: serves  [would wait, T s]" in text.splitlines()
    assert "nothing to do" not in text.splitlines()[-1]


def test_what_is_waited_for_is_said_once_per_observation():
    out = io.StringIO()
    display, step = Plain(out), setting(lb(1), "a")
    for seen in ("it is off", "it is off", "it starts", "it is off"):
        display.waiting(step, seen)
    assert [line.strip() for line in out.getvalue().splitlines()] == [
        "waiting: it is off",
        "waiting: it starts",
        "waiting: it is off",
    ]


def test_a_failed_step_is_marked():
    out = io.StringIO()
    hosts = FakeHosts(faults=[Fault("put a", lambda: CommandError("it exited 1", exited=1))])
    with pytest.raises(CommandError):
        carried_out(Plain(out), setting(lb(1), "a"), hosts=hosts)
    assert re.search(r"^! 1/1 lb1: set a  \[failed, [0-9.]+ s\]$", out.getvalue(), re.MULTILINE)
    assert "ran on lb1: put a on" in out.getvalue()


def test_details_of_steps_that_run_together_stand_under_their_own_step():
    hosts = [lb(1), lb(2)]
    lines = plain(Together(tuple(setting(host, "a") for host in hosts)), diff=True).splitlines()
    for host in hosts:
        (at,) = [number for number, line in enumerate(lines) if f" {host}: set a  [" in line]
        assert lines[at + 1] == f"      | ran on {host}: put a on"


def test_a_note_stands_under_its_step():
    step = Step("measure", lb(1), check=lambda run: run.note(lb(1), "no gap at all"))
    assert "      | no gap at all" in plain(step).splitlines()


def placing() -> Step:
    """A step that writes a file with a secret in it."""
    file = File("/etc/a.conf", "auth_pass hunter2\nport 2\n", mode="0600", secret=Secret("hunter2"))
    old = Found("auth_pass hunter2\nport 1\n", "0600", "root:root")
    return Step(
        "write it",
        lb(1),
        done=lambda run: run.changed and not run.plan,
        do=lambda run: run.place(lb(1), [file], {file.path: old}, put("a", "on")),
    )


@pytest.mark.parametrize(
    ("how", "shown"), [({}, False), ({"diff": True}, True), ({"plan": True}, True), ({"plan": True, "diff": True}, True)]
)
def test_a_diff_is_shown_in_a_plan_or_when_asked_for_with_its_secret_masked(how, shown):
    text = plain(placing(), **how)
    assert ("      | +port 2" in text.splitlines()) is shown
    assert ("/etc/a.conf" in text) is shown
    assert ("***" in text) is shown
    assert "hunter2" not in text


def test_a_failed_step_shows_its_commands_and_leaves_the_diff_to_the_report():
    out = io.StringIO()
    with pytest.raises(CommandError):
        carried_out(Plain(out), placing(), hosts=FakeHosts(faults=[Fault("put a", lambda: CommandError("no", exited=1))]))
    assert "      | ran on lb1: put a on" in out.getvalue().splitlines()
    assert "port 2" not in out.getvalue()


@pytest.mark.parametrize("text", ["/etc/x: 0644 root:root -> 0600 root:root\n", "", "\n" * 50, "x\n" * 50])
def test_whatever_a_diff_is_it_can_be_shown(text):
    out = io.StringIO()
    display = Plain(out, diff=True)
    display.diff(lb(1), text, plan=False)
    display.outcome(1, setting(lb(1), "a"), "changed", 1)
    assert out.getvalue().count("      | ") == len(text.splitlines())


# ---- JSON


def events(*steps, **how) -> list[dict]:
    out = io.StringIO()
    carried_out(JsonLines(out), *steps, **how)
    return [json.loads(line) for line in out.getvalue().splitlines()]


def test_every_line_is_an_object_with_its_event():
    gate = Step("a is on", lb(1), done=lambda run: run.read(lb(1), get("a")) == "on")
    found = events(setting(lb(1), "a"), gate, Step("note it", check=lambda run: run.note(lb(2), "fine")))
    assert {each["event"] for each in found} <= {"begin", "change", "diff", "note", "waiting", "step", "end"}
    assert found[0] == {
        "event": "begin",
        "procedure": "toy.run",
        "title": "A toy",
        "plan": False,
        "steps": ["lb1: set a", "lb1: a is on", "note it"],
    }
    steps = [(each["number"], each["step"], each["host"], each["outcome"]) for each in found if each["event"] == "step"]
    assert steps == [(1, "lb1: set a", "lb1", "changed"), (2, "lb1: a is on", "lb1", "ok"), (3, "note it", None, "ok")]
    assert {"event": "change", "host": "lb1", "command": "put a on", "plan": False} in found
    assert {"event": "note", "host": "lb2", "note": "fine"} in found
    assert (found[-1]["event"], found[-1]["outcome"]) == ("end", "ok")


def test_secrets_are_masked_for_machines_too():
    step = Step(
        "log in",
        lb(1),
        done=lambda run: bool(run.changed),
        do=lambda run: run.change(lb(1), cmd("put", "token", Secret("hunter2"))),
    )
    assert "hunter2" not in json.dumps(events(step))


@pytest.mark.parametrize("plan", [False, True])
def test_a_machine_always_gets_the_diff(plan):
    (diff,) = [each for each in events(placing(), plan=plan) if each["event"] == "diff"]
    assert (diff["host"], diff["plan"]) == ("lb1", plan)
    assert "+port 2" in diff["diff"].splitlines()
    assert "hunter2" not in diff["diff"]


def test_a_failed_step_is_an_event():
    out = io.StringIO()
    with pytest.raises(OutcomeError):
        carried_out(JsonLines(out), Step("never", done=lambda run: False, within=0))
    found = [json.loads(line) for line in out.getvalue().splitlines()]
    assert found[-1]["event"] == "step"
    assert found[-1]["outcome"] == "failed"


# ---- the live display


def live(*steps, diff=False, **how) -> str:
    out = Terminal()
    display = Live(out, diff=diff)
    try:
        carried_out(display, *steps, **how)
    finally:
        display.close()
    return out.text


def test_the_same_lines_above_the_bar():
    text = live(setting(lb(1), "a"), setting(lb(2), "a"), diff=True)
    for line in (
        "toy.run: A toy",
        "* 1/2 lb1: set a  [changed,",
        "      | ran on lb1: put a on",
        "done: 2 changed, 0 unchanged,",
    ):
        assert line in text


def test_without_diff_the_lines_on_a_terminal_are_as_few():
    assert " | " not in live(setting(lb(1), "a"), placing())


def test_the_bar_is_whole_whatever_runs(monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    out = Terminal()
    display = Live(out)
    steps = [Step("install " + "kubeadm, " * 20, host) for host in (lb(1), lb(2))]
    display.begin(toy(*steps), plan=False)
    try:
        for number, step in enumerate(steps, start=1):
            display.step(number, step)
        display._progress.refresh()
        display.waiting(steps[0], "node master3: not Ready " * 20)
        display._progress.refresh()
    finally:
        display.close()
    shown = [line for line in re.split(r"[\r\n]+", out.text) if "install" in line]
    assert shown
    assert all("━" * 12 + " 0/2 0:00:0" in line and len(line) <= 80 for line in shown)


@pytest.mark.parametrize("words", ["[/nope]", "[bold]", "[/]", "[fd00::100]:6443", "[red]x[/red]", "\\[x", "100%", ":smile:"])
def test_words_in_brackets_are_shown_as_they_are(words):
    """Titles and observations are not markup: an address, a path, or a service's own words may stand in brackets."""
    out = Terminal()
    display = Live(out)
    step = Step(f"reach {words}", lb(1))
    display.begin(toy(step), plan=False)
    try:
        display.step(1, step)
        display._progress.refresh()
        display.waiting(step, f"seen {words}")
        display._progress.refresh()
        display.note(lb(1), f"note {words}")
        display.outcome(1, step, "ok", 1)
    finally:
        display.close()
    for text in (f"lb1: reach {words}", f"(seen {words})", f"| note {words}"):
        assert text in out.text


def test_the_bar_is_taken_away_after_a_failure():
    out = Terminal()
    display = Live(out)
    hosts = FakeHosts(faults=[Fault("put a", lambda: CommandError("it exited 1", exited=1))])
    with pytest.raises(CommandError):
        carried_out(display, setting(lb(1), "a"), hosts=hosts)
    display.close()
    display.close()
    assert "\x1b[?25h" in out.getvalue()  # the cursor is back
    assert "[failed," in out.text


def test_closing_what_never_began_is_no_error():
    Live(Terminal()).close()
    Plain(io.StringIO()).close()
