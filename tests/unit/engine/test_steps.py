"""The loop that runs a procedure: order, refusals, waiting, verification, reading, and the lock around changes."""

from threading import Barrier, Event, Thread

import pytest

from runbooks.commands.base import Probe, cmd
from runbooks.engine.loop import carry_out
from runbooks.engine.steps import Procedure, Step, Together, Unmet
from runbooks.errors import CommandError, ConnectionLost, HostErrors, NotServing, OutcomeError, PrecheckError
from tests.support.fakes import FakeHosts, FakeLease, Fault, get, lb, put, run_on, setting, toy, without_waiting

pytestmark = pytest.mark.unit


def refuse(run):
    raise PrecheckError("that would do harm")


def notes(error) -> list[str]:
    return getattr(error.value, "__notes__", [])


# ---- the value itself


def test_a_step_that_changes_something_must_say_when_it_is_done():
    with pytest.raises(ValueError, match="lb1: break it: a step that changes something must say when it is done"):
        Step("break it", lb(1), do=lambda run: None)


def test_titles_are_unique_also_inside_together():
    with pytest.raises(ValueError, match=r"toy\.run: step titles must be unique"):
        toy(setting(lb(1), "a"), Together((setting(lb(1), "a"), setting(lb(2), "a"))))


def test_a_procedure_lists_its_steps_in_order():
    procedure = toy(Step("look"), Together((setting(lb(1), "a"), setting(lb(2), "a"))), setting(lb(1), "b"))
    assert [step.title for step in procedure] == ["look", "lb1: set a", "lb2: set a", "lb1: set b"]
    assert len(procedure) == 4


def test_unmet_is_false_and_says_why():
    assert not Unmet("it is off")
    assert Unmet("it is off").seen == "it is off"


# ---- one step after the other


def test_steps_run_in_order_and_change_what_is_not_so_yet():
    hosts = FakeHosts()
    run = run_on(hosts)
    carry_out(run, toy(setting(lb(1), "a"), setting(lb(2), "a"), setting(lb(1), "b")))
    assert hosts.sent == ["lb1 put a on", "lb2 put a on", "lb1 put b on"]
    assert run.listener.of("step") == ["lb1: set a", "lb2: set a", "lb1: set b"]
    assert run.listener.numbers == {"lb1: set a": 1, "lb2: set a": 2, "lb1: set b": 3}
    assert set(run.listener.outcomes.values()) == {"changed"}


def test_what_is_done_already_is_not_done_again():
    hosts = FakeHosts({("lb1", "a"): "on"})
    run = run_on(hosts)
    carry_out(run, toy(setting(lb(1), "a"), setting(lb(2), "a")))
    assert hosts.sent == ["lb2 put a on"]
    assert run.listener.outcomes == {"lb1: set a": "nothing to do", "lb2: set a": "changed"}


def test_a_second_run_changes_nothing():
    hosts, lease = FakeHosts(), FakeLease()
    procedure = toy(setting(lb(1), "a"), Together((setting(lb(1), "b"), setting(lb(2), "b"))))
    carry_out(run_on(hosts), procedure)
    hosts.sent.clear()
    again = run_on(hosts, lease=lease)
    carry_out(again, procedure)
    assert hosts.sent == []
    assert not again.changed
    assert set(again.listener.outcomes.values()) == {"nothing to do"}
    assert lease.asked == 0


def test_a_check_refuses_before_anything_is_changed_and_ends_the_run():
    hosts = FakeHosts()
    run = run_on(hosts)
    with pytest.raises(PrecheckError, match="that would do harm") as error:
        carry_out(run, toy(setting(lb(1), "a"), setting(lb(2), "a", check=refuse), setting(lb(1), "b")))
    assert hosts.sent == ["lb1 put a on"]
    assert notes(error) == ["stopped at step 2 of 3: lb2: set a"]
    assert run.listener.outcomes == {"lb1: set a": "changed", "lb2: set a": "failed"}


def test_a_check_is_asked_even_when_there_is_nothing_to_do():
    with pytest.raises(PrecheckError):
        carry_out(run_on(FakeHosts({("lb1", "a"): "on"})), toy(setting(lb(1), "a", check=refuse)))


def test_a_gate_without_do_waits_for_what_it_promises():
    hosts = FakeHosts(lag=3)
    run = run_on(hosts)
    gate = Step("a is on", lb(1), done=lambda run: run.read(lb(1), get("a")) == "on", within=5)
    start = Step("start a", lb(1), done=lambda run: bool(hosts.effects), do=lambda run: run.change(lb(1), put("a")))
    carry_out(run, toy(start, gate))
    assert run.listener.outcomes == {"lb1: start a": "changed", "lb1: a is on": "ok"}


def test_done_is_asked_again_after_do_until_it_holds():
    hosts = FakeHosts(lag=4)
    run = run_on(hosts)
    carry_out(run, toy(setting(lb(1), "a", within=5)))
    assert hosts.effects == {"lb1 a": 1}
    assert hosts.asked.count("lb1 get a") > 4
    assert ("waiting", "lb1: set a", "a is ''") in run.listener.events


def test_nobody_to_ask_after_a_change_is_not_yet_and_before_it_is_an_error():
    """Taking a member out of etcd may cause an election, in which no API server is ready."""
    hosts, silences = FakeHosts(), [1, 2]

    def done(run):
        if run.changed and silences:
            raise NotServing(f"no API server is ready ({silences.pop()})")
        return run.changed

    run = run_on(hosts)
    carry_out(run, toy(Step("remove the member", lb(1), done=done, do=lambda run: run.change(lb(1), put("a")))))
    assert (hosts.sent, silences) == (["lb1 put a on"], [])
    assert run.listener.outcomes == {"lb1: remove the member": "changed"}

    def silent(run):
        raise NotServing("no API server is ready")

    with pytest.raises(NotServing):
        carry_out(run_on(hosts), toy(Step("remove the member", lb(1), done=silent, do=lambda run: run.change(lb(1), put("b")))))
    assert hosts.sent == ["lb1 put a on"]


def starting(sight: list[Unmet], **more) -> Step:
    """A step that sees each of ``sight`` once, and then that all is well."""
    seen = list(sight)
    return Step(
        "start a", lb(1), done=lambda run: seen.pop(0) if seen else True, do=lambda run: run.change(lb(1), put("a")), **more
    )


def test_what_may_pass_by_itself_gets_a_little_time():
    """A program that has just ended is started again by its own supervisor: nothing has to be changed."""
    hosts, soon = FakeHosts(), Unmet("it does not run", passing=True)
    run = run_on(hosts)
    with without_waiting() as pauses:
        carry_out(run, toy(starting([soon, soon, soon])))
    assert (hosts.sent, run.listener.outcomes) == ([], {"lb1: start a": "nothing to do"})
    assert pauses
    assert ("waiting", "lb1: start a", "it does not run") in run.listener.events


@pytest.mark.parametrize("last", [False, Unmet("")], ids=["false", "nothing to say"])
def test_a_change_is_never_left_out_because_nothing_was_said(last):
    hosts, sight = FakeHosts(), [Unmet("it does not run", passing=True), last, last, last]
    step = Step("start a", lb(1), done=lambda run: sight.pop(0) if sight else True, do=lambda run: run.change(lb(1), put("a")))
    carry_out(run_on(hosts), toy(step))
    assert hosts.sent == ["lb1 put a on"]


def test_what_was_refused_meanwhile_is_not_changed():
    """The answer of ``check`` is old after the wait."""
    hosts, answers = FakeHosts(), [None, PrecheckError("it is the last one now")]

    def check(run):
        if answer := answers.pop(0):
            raise answer

    soon = Unmet("it does not run", passing=True)
    with pytest.raises(PrecheckError, match="the last one now"), without_waiting():
        carry_out(run_on(hosts), toy(starting([soon, soon, Unmet("old certificates")], check=check)))
    assert (hosts.sent, answers) == ([], [])


def test_what_does_not_pass_by_itself_is_changed():
    hosts, soon, never = FakeHosts(), Unmet("it does not run", passing=True), Unmet("it has old certificates")
    for sight in ([soon, soon, never, never, never], [never, never, never]):
        carry_out(run_on(hosts), toy(starting(sight)))
    assert hosts.sent == ["lb1 put a on"] * 2
    with without_waiting() as pauses:
        carry_out(run_on(hosts, plan=True), toy(starting([soon])))
    assert pauses == []


def test_what_never_comes_true_ends_with_the_last_observation():
    hosts = FakeHosts(lag=10**9)
    with pytest.raises(OutcomeError, match=r"the expected state was not reached in 0 s: a is ''") as error:
        carry_out(run_on(hosts), toy(setting(lb(1), "a", within=0), setting(lb(2), "a")))
    assert notes(error) == ["stopped at step 1 of 2: lb1: set a"]
    assert hosts.effects == {"lb1 a": 1}


def test_done_without_a_reason_still_gives_a_clear_error():
    step = Step("wait", lb(1), done=lambda run: False, within=0)
    with pytest.raises(OutcomeError) as error:
        carry_out(run_on(FakeHosts()), toy(step))
    assert str(error.value) == "the expected state was not reached in 0 s"


@pytest.mark.parametrize("before", [{}, {("lb1", "a"): "on"}], ids=["changed", "already so"])
def test_verify_has_the_last_word(before):
    def useless(run):
        raise OutcomeError("lb1: it is on, but it does nothing")

    with pytest.raises(OutcomeError, match="does nothing") as error:
        carry_out(run_on(FakeHosts(before)), toy(setting(lb(1), "a", verify=useless)))
    assert notes(error) == ["stopped at step 1 of 1: lb1: set a"]


def test_a_bug_in_a_step_keeps_its_own_exception():
    def wrong(run):
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        carry_out(run_on(FakeHosts()), toy(Step("divide", check=wrong)))


# ---- together


def together(*steps, then=()):
    return toy(setting(lb(1), "first"), Together(steps), *then)


def test_together_really_runs_at_the_same_time():
    meeting = Barrier(2, timeout=60)

    def meet(run):
        meeting.wait()

    carry_out(run_on(FakeHosts()), toy(Together((Step("meet", lb(1), check=meet), Step("meet", lb(2), check=meet)))))
    assert not meeting.broken


def test_all_steps_of_together_finish_and_a_single_failure_is_raised_as_it_is():
    hosts = FakeHosts(faults=[Fault("lb1 put a", lambda: CommandError("lb1: `put a on` exited 1", exited=1))])
    with pytest.raises(CommandError, match="lb1: `put a on` exited 1") as error:
        carry_out(run_on(hosts), together(setting(lb(1), "a"), setting(lb(2), "a"), then=[setting(lb(1), "z")]))
    assert hosts.effects == {"lb1 first": 1, "lb2 a": 1}
    assert notes(error) == ["stopped at step 2 of 4: lb1: set a"]


def test_failures_of_together_name_every_host_and_where_it_stopped():
    hosts = FakeHosts(lag=10**9)
    steps = setting(lb(1), "a", within=0), setting(lb(2), "a", within=0)
    with pytest.raises(HostErrors) as error:
        carry_out(run_on(hosts), toy(Together(steps), setting(lb(1), "z")))
    said = "\n".join([str(error.value), *notes(error)])
    for text in ("lb1", "lb2", "a is ''", "stopped at step 1 of 3", "stopped at step 2 of 3"):
        assert text in said
    assert "lb1 z" not in hosts.effects


def test_a_bug_inside_together_is_not_hidden_by_the_other_hosts():
    def wrong(run):
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        carry_out(run_on(FakeHosts()), toy(Together((Step("divide", lb(1), check=wrong), setting(lb(2), "a")))))


def test_ctrl_c_inside_together_breaks_the_sessions_off():
    def interrupted(run):
        raise KeyboardInterrupt

    hosts = FakeHosts()
    with pytest.raises(KeyboardInterrupt):
        carry_out(run_on(hosts), toy(Together((Step("x", lb(1), check=interrupted), setting(lb(2), "a")))))
    assert hosts.aborted


# ---- reading


def test_the_same_thing_is_read_once_until_something_changes():
    hosts = FakeHosts()
    run = run_on(hosts)
    assert [run.read(lb(1), get("a")), run.read(lb(1), get("a"))] == ["", ""]
    assert hosts.asked == ["lb1 get a"]
    run.change(lb(2), put("a"))
    run.read(lb(1), get("a"))
    assert hosts.asked == ["lb1 get a", "lb1 get a"]


def test_a_change_that_failed_makes_what_was_read_stale_too():
    hosts = FakeHosts(faults=[Fault("put a", lambda: ConnectionLost("lb1: gone"), after=True)])
    run = run_on(hosts)
    assert run.read(lb(1), get("a")) == ""
    with pytest.raises(ConnectionLost):
        run.change(lb(1), put("a"))
    assert run.read(lb(1), get("a")) == "on"


def test_several_hosts_are_read_together_and_only_what_is_not_known_is_asked():
    hosts = FakeHosts({("lb1", "a"): "1", ("lb2", "a"): "2"})
    run = run_on(hosts)
    run.read(lb(1), get("a"))
    assert run.read_all({lb(1): get("a"), lb(2): get("a")}) == {lb(1): "1", lb(2): "2"}
    assert hosts.asked == ["lb1 get a", "lb2 get a"]


def test_two_readings_of_one_command_do_not_get_each_others_answer():
    run = run_on(FakeHosts({("lb1", "a"): "17"}))
    number = Probe(cmd("get", "a"), lambda answer: int(answer.stdout))
    assert run.read(lb(1), get("a")) == "17"
    assert run.read(lb(1), number) == 17


def test_an_answer_that_makes_no_sense_names_the_host():
    run = run_on(FakeHosts({("lb1", "a"): "seventeen"}))
    with pytest.raises(CommandError, match=r"lb1: invalid literal for int"):
        run.read(lb(1), Probe(cmd("get", "a"), lambda answer: int(answer.stdout)))


def test_a_change_on_another_thread_does_not_disturb_a_reading():
    """Steps that run together share what was read; one that changes its host must not break the others' reading."""
    run = run_on(FakeHosts())
    reading, changed = Event(), Event()

    def slow(answer):
        reading.set()
        assert changed.wait(60)
        return "slow"

    def change():
        reading.wait(60)
        run.change(lb(2), put("b"))
        changed.set()

    other = Thread(target=change)
    other.start()
    try:
        seen = run.read_all({lb(1): get("a"), lb(2): Probe(cmd("get", "a"), slow)})
    finally:
        other.join()
    assert seen == {lb(1): "", lb(2): "slow"}


def test_what_was_read_before_a_change_on_another_thread_is_not_kept():
    hosts = FakeHosts()
    run = run_on(hosts)
    reading, changed = Event(), Event()

    def slow(answer):
        if not changed.is_set():
            reading.set()
            assert changed.wait(60)
        return answer.stdout

    def change():
        reading.wait(60)
        run.change(lb(1), put("a"))
        changed.set()

    other = Thread(target=change)
    other.start()
    try:
        run.read(lb(1), Probe(cmd("get", "a"), slow))
    finally:
        other.join()
    assert run.read(lb(1), Probe(cmd("get", "a"), slow)) == "on"


# ---- the lock


def test_the_lock_is_taken_before_the_first_change():
    def untouched():
        assert hosts.sent == []

    hosts = FakeHosts({("lb1", "a"): "on"})
    lease = FakeLease(on_taking=untouched)
    carry_out(run_on(hosts, lease=lease), toy(setting(lb(1), "a"), setting(lb(2), "a")))
    assert lease.taken == 1
    assert hosts.sent == ["lb2 put a on"]


def test_nothing_is_changed_while_somebody_else_holds_the_lock():
    hosts = FakeHosts()
    lease = FakeLease(refusal=PrecheckError("ha-cluster is locked: kim@host"))
    with pytest.raises(PrecheckError, match="kim@host") as error:
        carry_out(run_on(hosts, lease=lease), toy(setting(lb(1), "a")))
    assert hosts.sent == []
    assert notes(error) == ["stopped at step 1 of 1: lb1: set a"]


def test_the_lock_is_asked_for_before_every_change():
    lease = FakeLease()

    def lose_it(run):
        lease.refusal = PrecheckError("the lock was taken from us")

    hosts = FakeHosts()
    with pytest.raises(PrecheckError, match="taken from us"):
        carry_out(run_on(hosts, lease=lease), toy(setting(lb(1), "a"), Step("lose the lock", check=lose_it), setting(lb(2), "a")))
    assert hosts.sent == ["lb1 put a on"]


def test_a_lock_lost_in_the_middle_of_a_step_stops_it_there():
    lease, hosts = FakeLease(), FakeHosts()

    def twice(run):
        run.change(lb(1), put("a"))
        lease.refusal = PrecheckError("the lock was taken from us")
        run.change(lb(2), put("a"))

    with pytest.raises(PrecheckError, match="taken from us"):
        carry_out(run_on(hosts, lease=lease), toy(Step("move it", done=lambda run: False, do=twice)))
    assert hosts.sent == ["lb1 put a on"]


def test_what_the_last_holder_did_is_seen_once_the_lock_is_ours():
    hosts = FakeHosts()
    lease = FakeLease(on_taking=lambda: hosts.values.update({("lb1", "a"): "on"}))
    run = run_on(hosts, lease=lease)
    carry_out(run, toy(setting(lb(1), "a")))
    assert hosts.sent == []
    assert not run.changed
    assert run.listener.outcomes == {"lb1: set a": "nothing to do"}


def test_what_the_last_holder_did_may_make_a_check_refuse():
    hosts = FakeHosts()
    lease = FakeLease(on_taking=lambda: hosts.values.update({("lb1", "danger"): "on"}))

    def safe(run):
        if run.read(lb(1), get("danger")) == "on":
            raise PrecheckError("too dangerous")

    with pytest.raises(PrecheckError, match="too dangerous"):
        carry_out(run_on(hosts, lease=lease), toy(setting(lb(1), "a", check=safe)))
    assert hosts.sent == []


def test_a_plan_never_asks_for_the_lock():
    lease = FakeLease(refusal=PrecheckError("locked"))
    carry_out(run_on(FakeHosts(), lease=lease, plan=True), toy(setting(lb(1), "a")))
    assert lease.asked == 0


def test_inputs_default_to_nothing():
    assert Procedure("k", "t", ()).inputs == {}
