"""The steps of a drill, carried out on a host that is a directory: what they leave, and what they write down for the verdict."""

from __future__ import annotations

from collections.abc import Mapping
from types import SimpleNamespace

import msgspec
import pytest

from runbooks.commands import drill
from runbooks.commands.base import Answer, Command
from runbooks.commands.drill import Ready, Standing
from runbooks.commands.prometheus import Firing
from runbooks.drill import gate, observe, steps
from runbooks.drill import run as run_module
from runbooks.drill.course import Course
from runbooks.drill.rules.facts import Sample
from runbooks.drill.rules.scenarios import ALL, BY_NAME
from runbooks.engine import loop
from runbooks.engine.steps import Procedure, Unmet
from runbooks.errors import CommandError, OutcomeError, PrecheckError, RunbookError
from runbooks.inventory.model import Host
from runbooks.inventory.settings import Drills, Monitoring
from runbooks.measure.rules.gaps import Gap
from runbooks.measure.rules.result import NewConnections, Result
from runbooks.rules.finding import Finding
from tests.support import fakes
from tests.support.waiting import eventually
from tests.unit.drill.sandbox import SandboxHost

pytestmark = pytest.mark.unit


class Sandboxed:
    """One host that is a directory; no other host answers."""

    def __init__(self, host: SandboxHost) -> None:
        self.host = host
        self.sent: list[str] = []

    def run(self, host: Host, command: Command) -> Answer:
        self.sent.append(str(command))
        answer = self.host.run(command)
        if answer.exited not in command.expect:
            raise CommandError(f"{host}: `{command}` exited {answer.exited}: {answer.stderr}", exited=answer.exited)
        return answer

    def run_each(self, commands: Mapping[Host, Command]) -> dict[Host, Answer | RunbookError]:
        return fakes.one_by_one(self.run, commands)

    def abort(self) -> None:
        pass

    def close(self) -> None:
        pass


@pytest.fixture
def sandbox(tmp_path, monkeypatch) -> SandboxHost:
    monkeypatch.setattr(gate, "margins", lambda *_: [])  # there is no other host
    monkeypatch.setattr(observe, "margins", lambda _: None)
    return SandboxHost(tmp_path)


@pytest.fixture
def course() -> Course:
    """A drill of the kubelet that lasts as long as two looks at it."""
    site = msgspec.structs.replace(fakes.site(), drills=Drills(hold_s=10))
    return Course(site, BY_NAME["kubelet"], site.workers[-1])


@pytest.fixture
def quick(monkeypatch, sandbox):
    """Only the fault is looked at, and it lasts for a moment."""

    def sample(run, course) -> Sample:
        there = drill.look().parse(sandbox.run(drill.look().command))
        return Sample(at_s=course.times["injected_s"] + course.since("injected_s"), there=there.there if there.armed else False)

    monkeypatch.setattr(observe, "sample", sample)
    monkeypatch.setattr(Course, "hold_s", property(lambda self: 0))


def middle(course: Course) -> Procedure:
    parts = (steps.prove, steps.arm, steps.inject, steps.hold)
    return Procedure("drill.kubelet", "", [*(part(course) for part in parts), steps.heal(course.host, course)])


@pytest.mark.parametrize(
    ("topic", "later", "plan", "asked"),
    [
        ("cluster", [[]], False, 2),  # a check that failed once
        ("cluster", [["lb"], []], False, 3),
        ("backup", [[]], False, 1),  # it does not come by itself
        ("cluster", [[]], True, 1),
        ("cluster", None, False, None),  # it does not pass
    ],
)
def test_what_may_pass_by_itself_is_looked_at_again_before_a_drill_is_refused(monkeypatch, course, topic, later, plan, asked):
    looks = []

    def found(*_) -> list[Finding]:
        looks.append(1)
        topics = [topic] if len(looks) == 1 or later is None else later[len(looks) - 2]
        return [Finding("fail", topic=each, seen="away", fix="inv cluster.verify") for each in topics]

    monkeypatch.setattr(observe, "before", lambda *_: None)
    monkeypatch.setattr(gate, "refusals", found)
    monkeypatch.setattr(gate, "remarks", lambda *_: [])
    monkeypatch.setattr(gate, "SETTLES_S", 5 if later else 0.1)
    run = fakes.run_on(fakes.FakeHosts(), plan=plan)
    run.poll = 0.01
    if plan or topic == "backup" or later is None:
        with pytest.raises(PrecheckError, match="no drill kubelet on"):
            gate.refuse(course, run)
    else:
        gate.refuse(course, run)
    assert len(looks) == asked if asked else len(looks) > 1


@pytest.mark.usefixtures("quick")
def test_the_course_of_a_drill(sandbox, course):
    hosts = Sandboxed(sandbox)
    run = fakes.run_on(hosts)
    loop.carry_out(run, middle(course))
    assert sandbox.there("kubelet")
    assert sandbox.clean()
    facts = course.facts()
    assert None not in (facts.injecting_s, facts.injected_s, facts.held_s, facts.healing_s, facts.healed_s)
    times = [facts.injecting_s, facts.injected_s, facts.held_s, facts.healing_s, facts.healed_s]
    assert times == sorted(times)
    changes = [each for each in hosts.sent if each != "drill-look"]
    assert [each.split()[:2] for each in changes[:3]] == [
        ["drill-timer", "prove"],
        ["drill-timer", "arm"],
        ["drill-inject", "kubelet"],
    ]
    assert changes[3:] == ["systemctl start ha-runbooks-drill.service"]


def test_a_plan_sends_nothing_but_questions(sandbox, course):
    hosts = Sandboxed(sandbox)
    run = fakes.run_on(hosts, plan=True)
    loop.carry_out(run, middle(course))
    assert set(hosts.sent) <= {"drill-look"}
    assert sandbox.there("kubelet")
    assert course.times == {}


def test_without_a_proof_nothing_is_injected(sandbox, course):
    sandbox.flag("no-timers")
    with pytest.raises(CommandError, match="timer"):
        loop.carry_out(fakes.run_on(Sandboxed(sandbox)), middle(course))
    assert sandbox.there("kubelet")
    assert sandbox.clean()
    assert not course.proved


@pytest.mark.usefixtures("quick")
def test_an_interruption_while_the_fault_is_there_leaves_it_to_the_timer(sandbox, course):
    run = fakes.run_on(Sandboxed(sandbox))
    before = [steps.prove(course), steps.arm(course), steps.inject(course)]
    loop.carry_out(run, Procedure("drill.kubelet", "", before))
    run.interrupted = True
    hold = steps.hold(course)
    assert hold.done
    with pytest.raises(KeyboardInterrupt):
        hold.done(run)
    assert sandbox.standing() == Standing(True, "kubelet", there=True)
    assert sandbox.run(drill.end()).exited == 0
    assert sandbox.there("kubelet")
    assert sandbox.clean()


def broken(sandbox: SandboxHost, course: Course) -> None:
    """A drill whose fault is there."""
    parts = [steps.prove(course), steps.arm(course), steps.inject(course)]
    loop.carry_out(fakes.run_on(Sandboxed(sandbox)), Procedure("drill.kubelet", "", parts))
    assert not sandbox.there("kubelet")


def attempt(sandbox: SandboxHost, course: Course, lease: fakes.FakeLease) -> run_module._Attempt:
    session = SimpleNamespace(run=fakes.run_on(Sandboxed(sandbox), lease=lease), options=None, close=lambda: None)
    return run_module._Attempt(session, course, None)


def test_after_ctrl_c_the_fault_is_undone_by_new_connections_and_the_old_lock(sandbox, course, monkeypatch):
    broken(sandbox, course)
    taken = fakes.FakeLease(refusal=PrecheckError("locked by the run that was interrupted"))
    ended = attempt(sandbox, course, taken)
    monkeypatch.setattr(run_module, "FreshSession", lambda options: ended.session)
    ended.heal(KeyboardInterrupt())
    assert sandbox.there("kubelet")
    assert sandbox.clean()


def test_after_an_error_the_fault_is_undone(sandbox, course):
    broken(sandbox, course)
    attempt(sandbox, course, fakes.FakeLease()).heal(OutcomeError("no"))
    assert sandbox.there("kubelet")
    assert sandbox.clean()


def test_when_the_host_cannot_be_reached_it_is_said_who_undoes_the_fault(sandbox, course, monkeypatch):
    broken(sandbox, course)
    ended = attempt(sandbox, course, fakes.FakeLease())
    monkeypatch.setattr(Sandboxed, "run", lambda self, host, command: (_ for _ in ()).throw(fakes.lost(host)))
    ended.heal(OutcomeError("no"))
    said = ended.session.run.listener.of("say")
    assert said[-1].endswith(f"the host does that itself within {course.timer_s} s. See: inv drill.list --at-work")
    assert sandbox.standing().there


def test_the_fault_is_undone_although_nobody_can_be_told(sandbox, course, monkeypatch):
    """`inv drill.etcd | tee log`, and Ctrl-C, which ends tee as well; somebody else has the lock; the disk is full."""
    broken(sandbox, course)
    ended = attempt(sandbox, course, fakes.FakeLease(refusal=PrecheckError("taken")))
    gone = (_ for _ in ()).throw
    monkeypatch.setattr(ended.session.run.listener, "say", lambda text: gone(BrokenPipeError()))
    monkeypatch.setattr(ended.session.run.listener, "change", lambda *_, **__: gone(BrokenPipeError()))
    ended.heal(OutcomeError("no"))
    assert sandbox.there("kubelet")
    assert sandbox.clean()


def test_somebody_else_has_taken_something_away_before_the_injection(sandbox, course, monkeypatch):
    monkeypatch.setattr(gate, "margins", lambda *_: [Finding("fail", topic="drills", seen="2 of 3", fix="inv etcd.status")])
    run = fakes.run_on(Sandboxed(sandbox))
    with pytest.raises(PrecheckError, match="no drill kubelet on worker3 any more"):
        loop.carry_out(run, Procedure("drill.kubelet", "", [steps.prove(course), steps.arm(course), steps.inject(course)]))
    assert sandbox.there("kubelet")


@pytest.mark.parametrize(
    ("runs", "gap", "ended"),
    [
        (True, None, ""),
        (True, (20_000, False), "not been served"),
        (True, (20_000, True), ""),
        (True, (9_000, False), ""),
        (False, None, "nobody"),
    ],
)
def test_the_fault_ends_early_when_clients_have_suffered_enough_or_nobody_measures(course, runs, gap, ended):
    gaps = (Gap(begin_s=1.0, ms=gap[0], ended=gap[1]),) if gap else ()
    seen = Result(began_s=0, ended_s=1, every_ms=100, timeout_s=10, vip=NewConnections(gaps=gaps))
    course.measuring = SimpleNamespace(runs=lambda: runs, seen=lambda: seen)
    assert ended in steps._too_much(course)
    assert bool(steps._too_much(course)) == bool(ended)


@pytest.mark.parametrize(
    ("failed", "waits"),
    [
        ([0] * 12, [True] * 9 + [False]),  # ten seconds without a failure
        ([0, 3, 3] + [3] * 12, [True] * 11 + [False]),  # ten seconds after the last one
        (list(range(70)), [True] * 60 + [None]),  # each hangs while others are served, so that there is no gap: refused
    ],
)
def test_clients_are_served_well_once_none_has_failed_for_a_while(course, failed, waits):
    step, said = steps.baseline(course), []
    for second, number in enumerate(failed[: len(waits)], start=1):
        seen = Result(began_s=100, ended_s=100 + second, every_ms=100, timeout_s=10, vip=NewConnections(failed=number))
        course.measuring = SimpleNamespace(seen=lambda seen=seen: seen)
        try:
            said.append(isinstance(step.done(None), Unmet))
        except PrecheckError:
            said.append(None)
    assert said == waits


def test_nothing_is_undone_where_nothing_can_be(sandbox, course):
    ended = attempt(sandbox, course, fakes.FakeLease())
    ended.heal(OutcomeError("no"))
    ended.heal(KeyboardInterrupt())
    assert ended.session.run.listener.of("say") == []


@pytest.mark.usefixtures("quick")
def test_a_fault_that_the_timer_has_undone_early_is_noted(sandbox, course, monkeypatch):
    monkeypatch.setattr(Course, "hold_s", property(lambda self: 30))
    monkeypatch.setattr(Course, "timer_s", property(lambda self: 6))  # a busy machine has to inject it before
    run = fakes.run_on(Sandboxed(sandbox))
    loop.carry_out(run, middle(course))
    eventually(sandbox.clean)  # the timer's own end may still be at work
    assert course.samples[-1].there is False
    assert course.facts().healing_s is None


@pytest.mark.parametrize(
    ("found", "tried"),
    [(Ready("it is on tmpfs", never=True), False), (Ready("etcd does not run"), True), (fakes.lost(fakes.master(1)), True)],
)
def test_the_regular_exercise_leaves_out_only_what_a_host_can_never_have(monkeypatch, found, tried):
    """What is refused now is tried, and refuses; what is never possible is left out, and is not held."""
    run, told, names = fakes.run_on(None), [], []
    monkeypatch.setattr(run_module, "ready", lambda run, course: found)
    monkeypatch.setattr(run_module, "_host", lambda session, scenario, name: fakes.site().named("", scenario.role)[0])
    monkeypatch.setattr(
        run_module, "carry_out", lambda session, scenario, host, backup: names.append(scenario.name) or scenario.name
    )
    monkeypatch.setattr(run_module.show, "result", lambda session, kept: None)
    monkeypatch.setattr(run_module.show, "overview", lambda session, done, untold: told.append(untold))
    monkeypatch.setattr(run_module, "_outcome", lambda done, untold: told.append(untold))
    run_module.all_(SimpleNamespace(run=run, site=fakes.site()))
    assert ("slow-disk" in names) is tried
    assert len(names) == len(ALL) - (not tried)
    assert told == [{} if tried else {"slow-disk": "it is on tmpfs"}] * 2
    assert ("drill.slow-disk is left out: it is on tmpfs" in run.listener.of("say")) is not tried


@pytest.mark.parametrize("scenario", ALL, ids=lambda each: each.name)
def test_the_timer_is_later_than_the_longest_fault(scenario):
    site = msgspec.structs.replace(fakes.site(), drills=Drills(hold_s=60, alert_s=900))
    course = Course(site, scenario, site.named("", scenario.role)[0])
    assert course.timer_s > course.longest_s + 60
    assert course.longest_s >= max(course.hold_s, 900)
    titles = [step.name for step in steps.procedure(course)]
    order = ["prove", "start", "inject:", "observe", "undo", "wait"]
    assert [title.split()[0] for title in titles[2:]] == order


def test_only_alerts_of_this_site_that_became_active_after_the_injection_count(course, monkeypatch):
    def alert(name: str, state: str, active_s: float, site: str = "ha-cluster") -> Firing:
        return Firing(name=name, state=state, labels={"site": site}, annotations={}, active_s=active_s)

    there = (
        alert("KubeletDown", "firing", 100),  # before
        alert("KubeNodeNotReady", "firing", 207),
        alert("TargetDown", "pending", 208),
        alert("TargetDown", "firing", 209, site="another"),
        alert("Watchdog", "firing", 209),  # none of this drill's
    )
    monkeypatch.setattr(observe, "firing", lambda *_: there)
    course.site = msgspec.structs.replace(
        course.site, monitoring=Monitoring(prometheus="http://10.1.1.50:9090"), drills=Drills(hold_s=10, alert_s=60)
    )
    assert set(observe.alerts(course) or ()) == {"KubeletDown", "KubeNodeNotReady", "TargetDown"}
    assert observe.alerts(course, 203) == ("KubeNodeNotReady",)
    assert observe.alerts(course, 300) == ()
