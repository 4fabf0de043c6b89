"""May a drill begin, and may it still inject its fault? What is refused, and what is waited for first."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from datetime import datetime
from typing import Final

from runbooks.drill import observe
from runbooks.drill.course import Course
from runbooks.drill.rules.guard import Seen, margins, may_pass, refusals, remarks
from runbooks.engine.retry import until
from runbooks.engine.steps import Run
from runbooks.errors import OutcomeError, PrecheckError
from runbooks.rules.finding import Finding, told
from runbooks.text import indented

SETTLES_S: Final = 60  # what may pass by itself is waited for, before a drill is refused
AGAIN_S: Final = 5  # the same just before the injection: a question that was missed, not what somebody has just restarted


def refuse(course: Course, run: Run) -> list[str]:
    """Raise PrecheckError with every reason not to do this drill now; return what people on call should know before it.

    What may pass by itself is looked at again for SETTLES_S seconds: a host that is busy may have missed one question, and after a drill
    the load balancers take their time. A plan does not wait.
    """
    looks: list[Seen] = []

    def ask() -> list[Finding]:
        looks.append(observe.before(run, course))
        return refusals(course.site, course.scenario, course.host, looks[-1], datetime.now().astimezone())

    _refuse(course, "now", _settled(run, ask, SETTLES_S))
    return remarks(course.scenario, course.host, looks[-1])


def refuse_now(course: Course, run: Run) -> None:
    """Raise PrecheckError when somebody else has taken something away since `refuse`: a short look, just before the injection."""

    def ask() -> list[Finding]:
        return margins(course.site, course.scenario, course.host, observe.margins(run))

    _refuse(course, "any more", _settled(run, ask, AGAIN_S))


def _settled(run: Run, ask: Callable[[], list[Finding]], within_s: int) -> list[Finding]:
    """Return the refusals that ``ask`` gives; those that may pass by themselves only once ``within_s`` are over. A plan does not wait."""
    wrong = ask()
    if wrong and all(map(may_pass, wrong)) and not run.plan:
        run.listener.say(f"not well yet, asked again for {within_s} s:{indented(told(each) for each in wrong)}")

        def well() -> bool:
            nonlocal wrong
            run.look_anew()
            wrong = ask()
            return not wrong

        with suppress(OutcomeError):
            until(well, within=within_s, poll=run.poll)
    return wrong


def _refuse(course: Course, when: str, wrong: list[Finding]) -> None:
    if wrong:
        raise PrecheckError(
            f"no drill {course.scenario.name} on {course.host} {when}:{indented(told(each) for each in wrong)}",
            hint=next((each.fix for each in wrong if each.fix), "inv cluster.verify"),
        )
