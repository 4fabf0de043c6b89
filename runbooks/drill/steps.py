"""The steps of a drill: guard, baseline, proof of the heal, timer, injection, observation, heal, recovery, verdict."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from datetime import datetime
from math import ceil
from typing import Final

from runbooks import gates
from runbooks.commands import drill
from runbooks.drill import observe
from runbooks.drill.course import Course
from runbooks.drill.rules.guard import Seen, may_pass, refusals, remarks
from runbooks.engine.by_hand import by_hand
from runbooks.engine.retry import until
from runbooks.engine.steps import Procedure, Run, Step, Unmet
from runbooks.errors import OutcomeError, PrecheckError, RunbookError
from runbooks.inventory.model import Host, Site
from runbooks.measure.rules.words import seconds
from runbooks.rules.finding import Finding, told
from runbooks.text import indented, listed

BASELINE_S: Final = 10
SETTLES_S: Final = 60  # what may pass by itself is waited for, before a drill is refused
LATEST_S: Final = 300  # for how long the recovery is waited for, at least


def procedure(course: Course) -> Procedure:
    """Return the steps of one drill."""
    scenario, host = course.scenario, course.host
    items = [
        may_begin(course),
        baseline(course),
        prove(course),
        arm(course),
        inject(course),
        hold(course),
        heal(host, course),
        recover(course),
    ]
    return Procedure(
        scenario.key, f"Drill on {host}: {scenario.breaks}", items, inputs={"host": host.name}, flags=f"--host {host}"
    )


def heal_all(site: Site, hosts: tuple[Host, ...]) -> Procedure:
    """Return the procedure that undoes the drills on ``hosts`` now."""
    return Procedure("drill.heal", f"Undo the drills of {site.name}", [heal(host) for host in hosts])


def refuse(course: Course, run: Run) -> list[str]:
    """Raise PrecheckError with every reason not to do this drill now; return what people on call should know before it.

    What may pass by itself is looked at again for SETTLES_S seconds: a host that is busy may have missed one question, and after a drill
    the load balancers take their time. A plan does not wait.
    """
    seen = observe.before(run, course)
    wrong = _refusals(course, seen)
    if wrong and all(map(may_pass, wrong)) and not run.plan:
        run.listener.say(f"not well yet, asked again for {SETTLES_S} s:{indented(told(each) for each in wrong)}")

        def well() -> bool:
            nonlocal seen, wrong
            run.look_anew()
            seen = observe.before(run, course)
            wrong = _refusals(course, seen)
            return not wrong

        with suppress(OutcomeError):
            until(well, within=SETTLES_S, poll=run.poll)
    if wrong:
        raise PrecheckError(
            f"no drill {course.scenario.name} on {course.host} now:{indented(told(each) for each in wrong)}",
            hint=next((each.fix for each in wrong if each.fix), "inv cluster.verify"),
        )
    return remarks(course.scenario, course.host, seen)


def _refusals(course: Course, seen: Seen) -> list[Finding]:
    return refusals(course.site, course.scenario, course.host, seen, datetime.now().astimezone())


def may_begin(course: Course) -> Step:
    """Gate: everything that this drill does not take away is there. The lock is taken first: another command may have just changed something."""

    def check(run: Run) -> None:
        if not run.plan:
            run.hold()
        for each in refuse(course, run):
            run.note(course.host, each)

    words = by_hand("drill", "may_begin", site=course.site, scenario=course.scenario, host=course.host)
    return Step("the site can survive the drill", check=check, by_hand=words)


def baseline(course: Course) -> Step:
    """Wait until clients have been measured for a while without a failure: what is seen later has to be of the drill."""

    def check(run: Run) -> None:
        course.fired_before = observe.alerts(course)

    def done(run: Run) -> bool | Unmet:
        if not course.measuring:
            return Unmet("nothing is measured in a plan")
        seen = course.measuring.seen()
        if not seen or seen.ended_s - seen.began_s < BASELINE_S:
            return Unmet("clients are being measured")
        if seen.vip.failed or seen.vip.longest_gap_ms > course.limits.outage_ms:
            failed = f"{seen.vip.failed} requests failed, longest gap {seconds(seen.vip.longest_gap_ms)}"
            raise PrecheckError(f"clients are not served well before the drill: {failed}", hint="inv cluster.verify")
        return True

    return Step(
        "clients are served well", check=check, done=done, within=60, by_hand=by_hand("drill", "baseline", site=course.site)
    )


def prove(course: Course) -> Step:
    """Have the host's own timer run the heal once, with nothing to undo."""

    def do(run: Run) -> None:
        run.change(course.host, drill.prove(course.fault))
        course.proved = True

    def done(run: Run) -> bool | Unmet:
        return course.proved or Unmet("the heal is not proved yet")

    return Step(
        "prove that the host heals by itself", course.host, done=done, do=do, by_hand=by_hand("drill", "prove", course=course)
    )


def arm(course: Course) -> Step:
    """Start the timer on the host that undoes the fault by itself, whatever becomes of this command and its machine."""
    return Step(
        f"start the timer that heals after {course.timer_s} s",
        course.host,
        done=lambda run: run.read(course.host, drill.look()).armed or Unmet("the timer does not run"),
        do=lambda run: run.change(course.host, drill.arm(course.fault, course.timer_s)),
        by_hand=by_hand("drill", "arm", course=course),
    )


def inject(course: Course) -> Step:
    """Inject the fault."""

    def do(run: Run) -> None:
        if not run.plan and "injecting_s" not in course.times:
            course.now("injecting_s")
        run.change(course.host, drill.inject(course.fault))

    def done(run: Run) -> bool | Unmet:
        if not run.read(course.host, drill.look()).there:
            return Unmet("the fault is not there")
        if "injected_s" not in course.times:
            course.now("injected_s")
        return True

    return Step(
        f"inject: {course.scenario.breaks}", course.host, done=done, do=do, by_hand=by_hand("drill", "inject", course=course)
    )


def hold(course: Course) -> Step:
    """Look at everything from outside until the fault has lasted long enough, and the alert has fired or is too late."""

    def done(run: Run) -> bool | Unmet:
        if run.interrupted:
            raise KeyboardInterrupt
        seen = observe.sample(run, course)
        course.samples.append(seen)
        if seen.there:
            course.times["held_s"] = seen.at_s
        lasted = course.since("injected_s")
        if seen.there is False:
            run.note(course.host, f"the fault was gone {lasted:.0f} s after its injection")
            return True
        fired = set(seen.alerts or ()) - set(course.fired_before or ())
        until = course.hold_s if course.limits.alert_s is None or fired else course.longest_s
        return (
            True
            if lasted >= until
            else Unmet(f"about {ceil((until - lasted) / 10) * 10} s left; {_in_words(seen.holders, seen.leader)}")
        )

    within = course.longest_s + 60
    return Step("observe from outside", done=done, within=within, by_hand=by_hand("drill", "hold", course=course))


def _in_words(holders: tuple[str, ...] | None, leader: str) -> str:
    return f"VIP on {listed(holders) or 'no LB' if holders is not None else '?'}, etcd's leader {leader or '?'}"


def heal(host: Host, course: Course | None = None) -> Step:
    """Undo the fault by the host's own heal, which is there while the timer is. Nothing to do when it has done that already."""

    def done(run: Run) -> bool | Unmet:
        standing = run.read(host, drill.look())
        if course and standing.there and "healing_s" not in course.times:
            course.now("held_s")
        if standing.armed:
            return Unmet("the drill is at work")
        if course and "healing_s" in course.times:
            course.times.setdefault("healed_s", course.times["healing_s"])
        return True

    def do(run: Run) -> None:
        if course and not run.plan and "healing_s" not in course.times:
            course.now("healing_s")
        run.change(host, drill.end())
        if course and not run.plan:
            course.now("healed_s")

    words = by_hand("drill", "heal", host=host, unit=drill.UNIT)
    return Step("undo the fault", host, done=done, do=do, within=drill.HEAL_S, by_hand=words)


def recover(course: Course) -> Step:
    """Wait until nothing is missing any more. That it takes too long is a result, no error."""
    within = max(2 * course.limits.recovery_s, LATEST_S)
    parts = [gates.cluster_verified(course.site)]
    if course.site.kubernetes.etcd == "stacked":
        parts.insert(0, gates.etcd_is_healthy())

    def done(run: Run) -> bool | Unmet:
        if run.interrupted:
            raise KeyboardInterrupt
        if not run.plan:
            course.samples.append(observe.sample(run, course))
        if why := next((text for part in parts if (text := _missing(run, part))), ""):
            course.missing = why
            course.now("unwell_s")
            if course.since("healing_s") > within:
                run.note(course.host, f"not recovered: {why}")
                return True
            return Unmet(why)
        course.missing = ""
        course.now("recovered_s")
        return True

    words = by_hand("drill", "recover", course=course)
    return Step("wait until the cluster has recovered", done=done, within=within + 120, by_hand=words)


def _missing(run: Run, part: Step) -> str:
    """Return what a gate still misses, also when its proof fails; "" when nothing is missing."""
    checks: tuple[Callable[[Run], object] | None, ...] = (part.done, part.verify)
    try:
        for each in checks:
            if each and isinstance(met := each(run), Unmet):
                return met.seen
    except RunbookError as error:
        return str(error).partition("\n")[0]
    return ""
