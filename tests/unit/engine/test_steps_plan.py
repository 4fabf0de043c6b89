"""The promise of --plan: it looks for real, says what would be changed, touches nothing, and claims nothing that it cannot know."""

import pytest

from runbooks.commands.base import Secret, cmd
from runbooks.commands.files import File, Found
from runbooks.engine.journal import NullJournal
from runbooks.engine.loop import carry_out
from runbooks.engine.steps import Step, Together
from runbooks.errors import PrecheckError
from tests.support.fakes import FakeHosts, get, lb, master, put, run_on, setting, toy

pytestmark = pytest.mark.unit


def plan(hosts: FakeHosts, *steps):
    run = run_on(hosts, plan=True)
    carry_out(run, toy(*steps))
    return run


def test_a_plan_sends_nothing_and_shows_every_command():
    hosts = FakeHosts()
    run = plan(hosts, setting(lb(1), "a"), Together((setting(lb(1), "b"), setting(lb(2), "b"))), setting(lb(2), "c"))
    assert hosts.sent == []
    assert sorted(run.listener.of("would change")) == ["lb1 put a on", "lb1 put b on", "lb2 put b on", "lb2 put c on"]
    assert run.listener.of("change") == []
    assert set(run.listener.outcomes.values()) == {"would change"}


def test_a_plan_of_what_is_so_already_says_that_nothing_is_to_be_done():
    hosts = FakeHosts()
    procedure = setting(lb(1), "a"), Together((setting(lb(1), "b"), setting(lb(2), "b")))
    carry_out(run_on(hosts), toy(*procedure))
    run = plan(hosts, *procedure)
    assert set(run.listener.outcomes.values()) == {"nothing to do"}
    assert not run.changed


def test_reads_are_real():
    run = plan(FakeHosts({("lb1", "a"): "on"}), setting(lb(1), "a"), setting(lb(2), "a"))
    assert run.listener.outcomes == {"lb1: set a": "nothing to do", "lb2: set a": "would change"}


def test_after_a_change_on_a_host_a_later_step_there_claims_nothing():
    """The API server still runs, because the plan has not stopped it: "start it" must not be called done."""
    hosts = FakeHosts({("lb1", "server"): "on"})
    stop = setting(lb(1), "server", "off")
    start = Step(
        "start it again",
        lb(1),
        check=lambda run: pytest.fail("it would check what the plan has not made"),
        done=lambda run: pytest.fail("it would believe what the plan has not made"),
        do=lambda run: run.change(lb(1), put("server", "on")),
    )
    run = plan(hosts, stop, start)
    assert run.listener.outcomes["lb1: start it again"] == "would change"


def test_a_host_that_no_earlier_step_would_change_is_believed():
    run = plan(FakeHosts({("lb2", "a"): "on"}), setting(lb(1), "a"), setting(lb(2), "a"))
    assert run.listener.outcomes["lb2: set a"] == "nothing to do"


def test_a_step_about_the_whole_site_is_not_believed_once_anything_would_change():
    asked = []
    step = Step("all is well", done=lambda run: bool(asked.append(1)))
    run = plan(FakeHosts(), setting(lb(1), "a"), step)
    assert run.listener.outcomes["all is well"] == "would wait"
    assert asked == []


def test_a_settled_step_is_believed_after_any_change():
    run = plan(FakeHosts({("lb1", "b"): "on"}), setting(lb(1), "a"), setting(lb(1), "b", settled=True))
    assert run.listener.outcomes["lb1: set b"] == "nothing to do"


def test_a_change_of_several_hosts_makes_each_of_them_unknown():
    def both(run):
        run.change(lb(1), put("x"))
        run.change(lb(2), put("x"))

    step = Step("move it", master(1), done=lambda run: False, do=both)
    run = plan(FakeHosts({("lb2", "a"): "on"}), step, setting(lb(2), "a"))
    assert run.listener.outcomes["lb2: set a"] == "would change"


def test_a_check_still_refuses_where_it_can_be_believed():
    def refuse(run):
        raise PrecheckError("no")

    hosts = FakeHosts()
    with pytest.raises(PrecheckError):
        plan(hosts, setting(lb(1), "a", check=refuse))
    assert hosts.sent == []


def test_a_plan_never_verifies_or_waits():
    hosts = FakeHosts(lag=10**9)
    step = setting(lb(1), "a", verify=lambda run: pytest.fail("nothing is there to verify"), within=10**6)
    done = setting(lb(2), "a", "", verify=lambda run: pytest.fail("a plan does not try things out"))
    assert plan(hosts, step, done).listener.outcomes == {"lb1: set a": "would change", "lb2: set a": "nothing to do"}


def test_a_gate_that_does_not_hold_now_would_be_waited_for():
    gate = Step("a is on", lb(1), done=lambda run: run.read(lb(1), get("a")) == "on", within=10**6)
    assert plan(FakeHosts(), gate).listener.outcomes == {"lb1: a is on": "would wait"}


def test_a_plan_records_nothing_in_the_journal():
    class Strict(NullJournal):
        def record(self, *_):
            pytest.fail("a plan finishes no step")

    run = run_on(FakeHosts({("lb1", "a"): "on"}), journal=Strict(), plan=True)
    carry_out(run, toy(setting(lb(1), "a"), setting(lb(2), "a")))
    assert run.listener.outcomes == {"lb1: set a": "nothing to do", "lb2: set a": "would change"}


def test_the_answer_of_a_planned_change_is_none():
    assert run_on(FakeHosts(), plan=True).change(lb(1), put("a")) is None


@pytest.mark.parametrize("planned", [True, False])
def test_placing_files_shows_a_diff_with_the_secret_masked(planned):
    old = Found("auth_pass oldsecret\nport 1\n", "0600", "root:root")
    file = File("/etc/a.conf", "auth_pass newsecret\nport 2\n", mode="0600", secret=Secret("newsecret"))
    run = run_on(FakeHosts(), plan=planned)
    run.place(lb(1), [file], {file.path: old}, put("file"))
    ((_, host, text, shown_as_plan),) = [event for event in run.listener.events if event[0] == "diff"]
    assert (host, shown_as_plan) == ("lb1", planned)
    assert {"-port 1", "+port 2"} <= set(text.splitlines())
    assert "secret" not in text
    assert bool(run.transport.sent) is not planned


def test_a_secret_in_a_command_is_masked_in_the_plan():
    run = run_on(FakeHosts(), plan=True)
    run.change(lb(1), cmd("put", "token", Secret("hunter2")))
    assert run.listener.of("would change") == ["lb1 put token '***'"]


@pytest.mark.parametrize("planned", [True, False])
def test_a_symbolic_link_is_refused_where_a_file_is_to_be_placed(planned):
    file, there = File("/etc/a.conf", "port 2\n"), Found("", "link", "root:root", link="/srv/a.conf")
    run = run_on(FakeHosts(), plan=planned)
    with pytest.raises(PrecheckError, match=r"lb1: this is a symbolic link, .*: /etc/a.conf") as refused:
        run.place(lb(1), [file], {file.path: there}, put("file"))
    assert "cp --remove-destination" in refused.value.hint
    assert not run.transport.sent
