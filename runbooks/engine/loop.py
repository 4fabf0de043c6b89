"""The loop that carries out a procedure."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from time import monotonic

from runbooks.engine.retry import ATTEMPTS, again, cause, until
from runbooks.engine.steps import Failed, Procedure, Run, Step, Together, Unmet
from runbooks.errors import DiskError, HostErrors, NotServing, OutcomeError, RunbookError

PASSING_S = 30


def carry_out(run: Run, procedure: Procedure) -> None:
    """Carry out every step that is not done yet. Raises the error of the step that fails, with a note where the run stopped."""
    run.listener.begin(procedure, plan=run.plan)
    total, number = len(procedure), 1
    for item in procedure.steps:
        if isinstance(item, Together):
            _together(run, item, number, total)
            number += len(item.steps)
        else:
            _one(run, item, number, total)
            number += 1


def _together(run: Run, item: Together, first: int, total: int) -> None:
    failed: dict[str, RunbookError] = {}

    def attempt(numbered: tuple[int, Step]) -> None:
        number, step = numbered
        try:
            _one(run, step, number, total)
        except RunbookError as error:
            failed[step.title] = error

    with ThreadPoolExecutor(max_workers=run.site.ssh.parallel) as pool:
        try:
            list(pool.map(attempt, enumerate(item.steps, start=first)))
        except KeyboardInterrupt:
            run.transport.abort()  # otherwise the pool would wait for its threads, and these for their hosts
            raise
    if len(failed) == 1:
        raise next(iter(failed.values()))
    if failed:
        error = HostErrors(
            {str(step.host or step.title): failed[step.title] for step in item.steps if step.title in failed}, len(item.steps)
        )
        for each in failed.values():
            for note in getattr(each, "__notes__", []):
                error.add_note(note)
        raise error


def _one(run: Run, step: Step, number: int, total: int) -> None:
    if run.interrupted:
        raise KeyboardInterrupt
    run.listener.step(number, step)
    started = monotonic()
    if not run.journal.finished(step.title):
        run.journal.start(step.title)
    try:
        outcome = perform(run, step)
    except RunbookError as error:
        error.add_note(f"stopped at step {number} of {total}: {step.title}")
        with suppress(DiskError):  # the step's own error counts
            _record(run, step, "failed", monotonic() - started)
        run.listener.outcome(number, step, "failed", monotonic() - started)
        raise
    seconds = monotonic() - started
    try:
        _record(run, step, outcome, seconds)
    except DiskError as error:
        error.add_note(f"stopped after step {number} of {total}, which has ended: {step.title}")
        raise
    finally:
        run.listener.outcome(number, step, outcome, seconds)


def _record(run: Run, step: Step, outcome: str, seconds: float) -> None:
    if not run.plan and not run.journal.finished(step.title):
        run.journal.record(step.title, outcome, seconds)


def perform(run: Run, step: Step) -> str:
    """Carry out one step, unless it is done; return the outcome, as the journal and the display name it."""
    if run.journal.finished(step.title):
        return "done before"
    # A plan does not make the earlier changes, so what it sees on a host that they change may be out of date.
    stale = run.plan and not step.settled and run.would_change(step.host)
    if step.check and not stale:
        step.check(run)
    if not step.done:
        return "ok"
    if not stale and _there(run, step):
        return _verified(run, step, "nothing to do" if step.do else "ok")
    if run.plan:
        if step.do:
            step.do(run)
        return "would change" if step.do else "would wait"
    outcome = _made(run, step) if step.do else "ok"
    wait(run, step)
    return _verified(run, step, outcome)


def _there(run: Run, step: Step) -> bool:
    """Whether the expected state is there. What may pass by itself gets up to PASSING_S seconds, before a step that changes something."""
    met = step.done(run) if step.done else True
    if run.plan or not step.do or not _passing(met):
        return bool(met)

    def settled() -> bool:
        nonlocal met
        run.look_anew()
        met = step.done(run) if step.done else True
        if isinstance(met, Unmet):
            run.listener.waiting(step, met.seen)
        return not _passing(met)

    with suppress(OutcomeError):
        until(settled, within=PASSING_S, poll=run.poll)
    if not met and step.check:  # the first answer is old by now
        step.check(run)
    return bool(met)


def _passing(met: bool | Unmet) -> bool:
    return isinstance(met, Unmet) and met.passing


def _made(run: Run, step: Step) -> str:
    """Make the change, with the lock held. If the lock was taken just now, check again: its last holder may have changed the site."""
    if run.hold():
        if step.check:
            step.check(run)
        if step.done and step.done(run):
            return "nothing to do"
    result = again(lambda: _do_unless_done(run, step), told=lambda error, number: _tell_retry(run, step, error, number))
    return "failed" if isinstance(result, Failed) else "changed"


def _tell_retry(run: Run, step: Step, error: BaseException, number: int) -> None:
    """Say that an attempt failed, why, and that another one follows: nobody should wonder why a step takes so long."""
    text = f"attempt {number} of {ATTEMPTS} failed, trying again: {cause(error)}"
    run.journal.note("note", step.host.name if step.host else "here", text)
    run.listener.say(f"          {step.title}: {text}")


def _do_unless_done(run: Run, step: Step) -> object:
    """Make one attempt. An earlier attempt may have succeeded although its answer was lost, so ``done`` is asked first."""
    return step.do(run) if step.do and not (step.done and step.done(run)) else None


def _verified(run: Run, step: Step, outcome: str) -> str:
    if step.verify and not run.plan:
        step.verify(run)
    return outcome


def wait(run: Run, step: Step) -> None:
    """Wait until ``step`` is done, up to its ``within`` seconds. No server that answers is "not yet". Raises OutcomeError with what was seen."""

    def observe() -> bool | Unmet:
        run.look_anew()
        try:
            met = step.done(run) if step.done else True
        except NotServing as error:
            met = Unmet(str(error))
        if isinstance(met, Unmet):
            run.listener.waiting(step, met.seen)
        return met

    until(observe, within=step.within, poll=run.poll)
