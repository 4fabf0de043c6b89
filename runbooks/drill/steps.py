"""The steps of a drill: guard, baseline, proof of the heal, timer, injection, observation, heal, recovery, verdict."""

from __future__ import annotations

from collections.abc import Callable
from math import ceil
from time import time
from typing import Final

from runbooks import gates
from runbooks.commands import drill
from runbooks.drill import gate, observe
from runbooks.drill.course import Course
from runbooks.engine.by_hand import by_hand
from runbooks.engine.steps import Procedure, Run, Step, Unmet
from runbooks.errors import PrecheckError, RunbookError
from runbooks.inventory.model import Host, Site
from runbooks.measure.rules.words import seconds
from runbooks.text import listed

BASELINE_S: Final = 10
QUIET_WITHIN_S: Final = 60  # a stretch of BASELINE_S without a failure is waited for
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


def may_begin(course: Course) -> Step:
    """Gate: everything that this drill does not take away is there. The lock is taken first: another command may have just changed something."""

    def check(run: Run) -> None:
        if not run.plan:
            run.hold()
        for each in gate.refuse(course, run):
            run.note(course.host, each)

    words = by_hand("drill", "may_begin", site=course.site, scenario=course.scenario, host=course.host)
    return Step("the site can survive the drill", check=check, by_hand=words)


def baseline(course: Course) -> Step:
    """Wait until clients have been measured for a while without a failure: what is seen later has to be of the drill."""

    def check(run: Run) -> None:
        course.fired_before = observe.alerts(course)

    failed, since_s = 0, 0.0  # how many requests had failed, and since when no more have

    def done(run: Run) -> bool | Unmet:
        nonlocal failed, since_s
        if not course.measuring:
            return Unmet("nothing is measured in a plan")
        seen = course.measuring.seen()
        if not seen:
            return Unmet("clients are being measured")
        if seen.vip.failed > failed or not since_s:
            failed, since_s = seen.vip.failed, seen.ended_s if seen.vip.failed else seen.began_s
        quiet_s = seen.ended_s - since_s
        over = quiet_s < BASELINE_S and seen.ended_s - seen.began_s > QUIET_WITHIN_S
        if over or seen.vip.longest_gap_ms > course.limits.outage_ms:
            said = f"{failed} requests failed, longest gap {seconds(seen.vip.longest_gap_ms)}"
            raise PrecheckError(f"clients are not served well before the drill: {said}", hint="inv cluster.verify")
        if quiet_s >= BASELINE_S:
            return True
        return Unmet(f"{failed} requests failed, the last one {quiet_s:.0f} s ago" if failed else "clients are being measured")

    return Step(
        "clients are served well",
        check=check,
        done=done,
        within=QUIET_WITHIN_S + 30,
        by_hand=by_hand("drill", "baseline", site=course.site),
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

    def check(run: Run) -> None:
        """Between the first look and now somebody may have taken something else away."""
        if run.plan or "injecting_s" in course.times:
            return
        gate.refuse_now(course, run)

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
        f"inject: {course.scenario.breaks}",
        course.host,
        check=check,
        done=done,
        do=do,
        by_hand=by_hand("drill", "inject", course=course),
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
        if why := _too_much(course):
            run.note(course.host, f"ended early, after {lasted:.0f} s: {why}")
            return True
        fired = any(each.alerts for each in course.samples)
        ends = course.hold_s if course.limits.alert_s is None or fired else course.longest_s
        return (
            True
            if lasted >= ends
            else Unmet(f"about {ceil((ends - lasted) / 10) * 10} s left; {_in_words(seen.holders, seen.leader)}")
        )

    within = course.longest_s + 60
    return Step("observe from outside", done=done, within=within, by_hand=by_hand("drill", "hold", course=course))


def _too_much(course: Course) -> str:
    """Return why the fault has to end now, or "": clients have not been served for longer than any objective allows, or nobody measures."""
    if not course.measuring:
        return ""
    if not course.measuring.runs():
        return "nobody measures any more what clients see"
    seen, longest_ms = course.measuring.seen(), max(course.limits.outage_ms, course.limits.reused_ms)
    if seen and any(not gap.ended and gap.ms > longest_ms for gap in seen.vip.gaps):
        return f"clients of the VIP have not been served for more than {seconds(longest_ms)}"
    return ""


def _in_words(holders: tuple[str, ...] | None, leader: str) -> str:
    return f"VIP on {listed(holders) or 'no LB' if holders is not None else '?'}, etcd's leader {leader or '?'}"


def heal(host: Host, course: Course | None = None) -> Step:
    """Undo the fault by the host's own heal, which is there while the timer is. Nothing to do when it has done that already."""
    # Whether the fault was there at the last look: what the host is about to have undone itself is not this command's heal.
    there: bool | None = None

    def done(run: Run) -> bool | Unmet:
        nonlocal there
        standing = run.read(host, drill.look())
        there = standing.there
        if course and standing.there and "healing_s" not in course.times:
            course.now("held_s")
        if standing.armed:
            return Unmet("the drill is at work")
        if course and "healing_s" in course.times:
            course.times.setdefault("healed_s", course.times["healing_s"])
        return True

    def do(run: Run) -> None:
        if course and there is not False and not run.plan and "healing_s" not in course.times:
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
        begun_s = time()
        if why := next((text for part in parts if (text := _missing(run, part))), ""):
            course.missing = why
            course.times["unwell_s"] = begun_s
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
