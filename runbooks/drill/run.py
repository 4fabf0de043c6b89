"""Carry out drills: choose the host, measure from the outside, undo the fault in every case, judge, keep the result."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from runbooks.commands import drill, lb
from runbooks.commands.drill import Ready
from runbooks.commands.lb import LbState
from runbooks.drill import gate, show, steps
from runbooks.drill.course import Course
from runbooks.drill.kept import CLIENTS, Kept, keep
from runbooks.drill.observe import ready, standings
from runbooks.drill.rules.scenarios import Scenario, named, scenarios
from runbooks.drill.rules.verdict import UNKNOWN, Word, judge, overall
from runbooks.engine.journal import RunJournal, new_run_id
from runbooks.engine.session import Session as FreshSession
from runbooks.errors import DegradedError, OutcomeError, PrecheckError, RunbookError
from runbooks.inventory.model import Host
from runbooks.measure.rules.result import Result
from runbooks.measure.start import Measuring, kubeconfig_of, measuring, plan_for
from runbooks.rules import etcd as etcd_rules
from runbooks.text import indented, listed
from runbooks.view import etcd

if TYPE_CHECKING:
    from runbooks.engine.session import Session


def one(session: Session, name: str, host: str = "", *, backup: bool = True) -> None:
    """Carry out the drill ``name``. Raises PrecheckError when it is refused, else what `_outcome` raises unless every objective was held."""
    kept = carry_out(session, named(name, lab=bool(session.site.lab)), host, backup=backup)
    if kept:
        show.result(session, kept)
        _outcome([kept])


def all_(session: Session, *, backup: bool = True) -> None:
    """Carry out every drill in turn; one that was not held does not keep the next one from being tried, one that was refused does.

    One that is not possible on its host is left out and said so: what it would have shown could not be told. Raises as `one`.
    """
    done: list[Kept] = []
    untold: dict[str, str] = {}
    for scenario in scenarios(session.site):
        if not _fits(session, scenario):
            session.run.listener.say(f"{scenario.key} is left out: etcd is external")
            continue
        if why := _impossible(session, scenario, backup=backup):
            session.run.listener.say(f"{scenario.key} is left out: {why}")
            untold[scenario.name] = why
            continue
        kept = carry_out(session, scenario, "", backup=backup)
        if kept:
            show.result(session, kept)
            done.append(kept)
    if done:
        show.overview(session, done, untold)
        _outcome(done, untold)


def _fits(session: Session, scenario: Scenario) -> bool:
    return session.site.kubernetes.etcd == "stacked" or not scenario.member


def _impossible(session: Session, scenario: Scenario, *, backup: bool) -> str:
    """Return why the host cannot have this fault at all, whatever its state; "" when it can, and when that is not known: the guard refuses then."""
    if not scenario.rare:
        return ""
    found = ready(session.run, Course(session.site, scenario, _host(session, scenario, ""), backup_wanted=backup))
    return found.why if isinstance(found, Ready) and found.never else ""


def carry_out(session: Session, scenario: Scenario, host: str, *, backup: bool) -> Kept | None:
    """Carry out one drill and return what it has shown; None in a plan. What was measured until an error is kept as well."""
    course = Course(session.site, scenario, _host(session, scenario, host), backup_wanted=backup)
    show.objectives(session, course)
    if session.options.plan:
        session.carry_out(steps.procedure(course), resume=False)
        return None
    gate.refuse(course, session.run)
    directory = session.state / "runs"
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    path = directory / f"{new_run_id(datetime.now(UTC))}{CLIENTS}"
    plan = plan_for(session.site, kubeconfig_of(session.run), path, _versions(session))
    with measuring(session.site, plan) as course.measuring:
        attempt = _Attempt(session, course, course.measuring)
        try:
            session.carry_out(steps.procedure(course), resume=False, failed=attempt.heal)
        except Exception as error:
            if not isinstance(error, RunbookError):  # a bug: the fault is not left to the timer alone
                attempt.heal(error)
            if isinstance(error, RunbookError) and "injecting_s" in course.times:
                show.result(session, attempt.keep())
            raise
        return attempt.keep()


@dataclass(slots=True)
class _Attempt:
    """A drill that is carried out: what is done at its end, however it ended."""

    session: Session
    course: Course
    measuring: Measuring

    def keep(self) -> Kept:
        """End the measurement, judge, and keep everything beside the report of the run."""
        result, facts = self._result(), self.course.facts()
        found = judge(self.course.scenario, self.course.limits, facts, result)
        journal = self.session.run.journal
        run = journal.path.stem if isinstance(journal, RunJournal) else ""
        kept = Kept(run=run, limits=self.course.limits, facts=facts, judgements=found)
        if isinstance(journal, RunJournal):
            with suppress(FileNotFoundError):
                Path(self.measuring.plan.result).replace(journal.path.with_suffix(CLIENTS))
            keep(journal.path.parent, kept)
            show.write_page(journal.path.parent, kept, result)
        return kept

    def _result(self) -> Result | None:
        try:
            return self.measuring.stop()
        except RunbookError as error:
            self.session.run.listener.say(f"what clients saw is not known: {error}")
            return None

    def heal(self, error: BaseException) -> None:
        """Undo the fault after an error, if it may be there. The host's own timer does it when this fails."""
        if not self._may_be_there():
            return
        if not isinstance(error, KeyboardInterrupt):
            self._try(self.session)
            return
        fresh = FreshSession(self.session.options)  # an interruption has ended all connections
        try:
            self._try(fresh)
        finally:
            fresh.close()

    def _may_be_there(self) -> bool:
        return self.course.proved and "healed_s" not in self.course.times

    def _try(self, session: Session) -> None:
        """Send the command first, and without the lock: nothing that cannot be written or printed may keep the fault there."""
        host, timer_s = self.course.host, self.course.timer_s
        said = f"{host}: the fault is undone"
        try:
            session.run.undo(host, drill.end())
        except BaseException as error:
            why = str(error) or "interrupted"
            said = f"{host}: not undone by this command ({why}); the host does that itself within {timer_s} s. See: inv drill.list --at-work"
            if not isinstance(error, Exception):  # Ctrl-C, again
                raise
        finally:
            with suppress(OSError, ValueError, RunbookError):  # the terminal is closed, the disk is full
                self.session.run.listener.say(said)
                self.session.run.journal.note("note", host.name, said)


def _host(session: Session, scenario: Scenario, name: str) -> Host:
    """Return the host that was named, else the scenario's own choice. Raises PrecheckError when that is not known now."""
    site = session.site
    if name:
        return site.host(name, scenario.role)
    if scenario.default == "the holder of the VIP":
        states = session.run.read_each({host: lb.state(site, host) for host in site.load_balancers}, fresh=True)
        holders = [host for host, state in states.items() if isinstance(state, LbState) and state.holds_vip]
        if len(holders) != 1:
            raise PrecheckError(f"the VIP is on {listed(holders) or 'no load balancer'}", hint="inv recover.vip")
        return holders[0]
    if scenario.default == "etcd's leader" and site.kubernetes.etcd == "stacked":
        seen = etcd.view(session.run)
        leading = [host for host, status in seen.statuses.items() if status.leads and not etcd_rules.why_unhealthy(seen, host)]
        if not leading:
            raise PrecheckError("no healthy member of etcd leads", hint="inv etcd.status")
        return leading[0]
    return site.named("", scenario.role)[-1]


def _versions(session: Session) -> dict[str, str]:
    """Return etcd's versions, for the report: some are known to answer stale reads around a paused process (etcd issue 20418)."""
    if session.site.kubernetes.etcd != "stacked":
        return {}
    return {"etcd": listed(sorted({status.version for status in etcd.view(session.run).statuses.values()}))}


def _outcome(done: Sequence[Kept], untold: Mapping[str, str] | None = None) -> None:
    """Raise OutcomeError when an objective was violated, DegradedError when one could not be told; nothing when all were held.

    ``untold``: the drills that were left out, and why.
    """
    words: dict[Word, list[str]] = {}
    for each in done:
        for judgement in each.judgements:
            if judgement.word != "held":
                said = f"{each.facts.scenario}: {judgement.objective}: {judgement.seen}"
                words.setdefault(judgement.word, []).append(f"{said} ({judgement.margin})" if judgement.margin else said)
    for name, why in (untold or {}).items():
        words.setdefault(UNKNOWN, []).append(f"{name}: left out: {why}")
    worst = overall(judgement for each in done for judgement in each.judgements)
    worst = UNKNOWN if worst == "held" and untold else worst
    if worst == "violated":
        raise OutcomeError(f"objectives were violated:{indented(words['violated'])}", hint="inv drill.history")
    if worst != "held":
        raise DegradedError(
            f"it could not be told whether all objectives were held:{indented(words[worst])}", hint="inv drill.list"
        )


def heal(session: Session, host: str = "") -> None:
    """Undo every drill that is at work on the hosts that answer (or only on ``host``)."""
    said = standings(session.run)
    wanted = session.site.named(host)
    armed = tuple(each for each, found in said.items() if each in wanted and not isinstance(found, RunbookError) and found.armed)
    silent = {each: found for each, found in said.items() if each in wanted and isinstance(found, RunbookError)}
    if armed:
        session.carry_out(steps.heal_all(session.site, armed), resume=False)
    else:
        session.run.listener.say("no drill is at work on the hosts that answer")
    if silent:
        raise DegradedError(
            f"{listed(silent)} did not answer: a drill there undoes itself when its time is over", hint="inv cluster.verify"
        )
