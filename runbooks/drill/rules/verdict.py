"""What a drill has shown, objective by objective. What was not seen is "could not tell", never "held". Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final, Literal

from runbooks.drill.rules.facts import Facts
from runbooks.drill.rules.scenarios import Scenario
from runbooks.inventory.settings import Drills
from runbooks.measure.rules import verdict as measured
from runbooks.measure.rules.gaps import Gap
from runbooks.measure.rules.result import Result
from runbooks.measure.rules.words import seconds

Word = Literal["held", "violated", "could not tell"]
UNKNOWN: Final = "could not tell"
AWAY_MS: Final = 2000.0  # for so long at least an API server that was taken away gives no answer
SLOW_SHARE: Final = 0.5  # of the syncs of etcd's log, while its disk is slow
EDGE_S: Final = 15.0  # at the end of the fault it has to have been seen in place within so many seconds before the heal


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """One objective: what was demanded, what was seen, and the word for it.

    over    by how much it was missed (or, negative, what was left), in ``unit``; None where that is no number.
    fix     the command that helps to find out why.
    """

    objective: str
    word: Word
    wanted: str
    seen: str
    over: float | None = None
    unit: Literal["ms", "s"] = "ms"
    fix: str = ""

    @property
    def margin(self) -> str:
        """How much was left, or by how much it was missed; "" where that is no number or could not be told."""
        if self.over is None or self.word == UNKNOWN:
            return ""
        size = seconds(abs(self.over) * (1000 if self.unit == "s" else 1))
        return f"{size} too long" if self.over > 0 else f"{size} left"


def judge(scenario: Scenario, limits: Drills, facts: Facts, result: Result | None) -> tuple[Judgement, ...]:
    """Return the judgement on each objective. Without the fault seen in place from begin to end none of them is held."""
    effect = injection(scenario, facts, result)
    found = [
        effect,
        _outage(limits, result),
        _reused(limits, result),
        _data(result),
        _recovery(limits, facts),
        *([_alert(scenario, limits, facts)] if limits.alert_s is not None else []),
    ]
    if result and result.itself.clock_jumps:
        found = [_by_no_clock(each) if each.unit == "s" else each for each in found]
    return tuple(found if effect.word == "held" else [effect, *map(_doubtful, found[1:])])


def overall(found: Iterable[Judgement]) -> Word:
    """Return the word for all of them: violated if one is, else could not tell if one is (or there are none), else held."""
    words = {each.word for each in found}
    if "violated" in words:
        return "violated"
    return "held" if words == {"held"} else UNKNOWN


def _doubtful(one: Judgement) -> Judgement:
    """Return what is left of a judgement when the fault was not proved: an objective that was violated stays so."""
    if one.word != "held":
        return one
    return _unknown(one.objective, one.wanted, f"{one.seen}, but the fault was not proved")


def _by_no_clock(one: Judgement) -> Judgement:
    """Return a judgement on a time that a clock said that was set meanwhile."""
    return _unknown(one.objective, one.wanted, f"{one.seen}, but this machine's clock was set, or it slept")


def _unknown(objective: str, wanted: str, seen: str, fix: str = "") -> Judgement:
    return Judgement(objective=objective, word=UNKNOWN, wanted=wanted, seen=seen, fix=fix)


# ---- the fault itself


def injection(scenario: Scenario, facts: Facts, result: Result | None) -> Judgement:
    """Return whether the fault was there from the injection to the heal, and had the effect that it is to have. Never "violated"."""
    wanted = f"{scenario.breaks}; seen from outside: {scenario.effect}" if scenario.effect else scenario.breaks
    why = _not_in_place(facts) or _no_effect(scenario, facts, result)
    if why:
        return _unknown("fault", wanted, why, "inv drill.list")
    lasted = (facts.healing_s or 0) - (facts.injected_s or 0)
    seen = f"on {facts.host} for {seconds(lasted * 1000)}"
    return Judgement(objective="fault", word="held", wanted=wanted, seen=seen)


def _not_in_place(facts: Facts) -> str:
    if facts.injected_s is None:
        return "it was not injected"
    if facts.healing_s is None or facts.healed_s is None:
        return "the drill did not come to its heal"
    if facts.held_s is None or facts.healing_s - facts.held_s > EDGE_S:
        return "it was not seen in place before the heal"
    inside = (each for each in facts.samples if facts.injected_s <= each.at_s <= facts.held_s)
    if any(each.there is False for each in inside):
        return "it was gone before the heal"
    return ""


def _no_effect(scenario: Scenario, facts: Facts, result: Result | None) -> str:
    during = [each for each in facts.samples if _inside(facts, each.at_s)]
    if scenario.effect == "its API server is away":
        gaps = result.servers[facts.host].gaps if result and facts.host in result.servers else ()
        away = any(gap.ms - gap.own_ms >= AWAY_MS and _overlaps(facts, gap) for gap in gaps)
        return "" if away else f"the API server of {facts.host} was not seen to be away"
    if scenario.effect == "another LB holds the VIP":
        moved = any(each.holders and set(each.holders) - {facts.host} for each in during)
        return "" if moved else "no other load balancer was seen to hold the VIP"
    if scenario.effect == "its node is not Ready":
        gone = any(each.not_ready and facts.host in each.not_ready for each in during)
        return "" if gone else f"the node {facts.host} was not seen to be NotReady"
    if scenario.effect == "its etcd is slow to sync its log":
        return _not_slow(facts.host, [each.syncs for each in during if each.syncs])
    return ""


def _not_slow(host: str, counted: Sequence[tuple[int, int]]) -> str:
    """Return why etcd was not seen to be slow. What it counts begins anew when it is started again: only what it counted on is used."""
    more = [(now[0] - then[0], now[1] - then[1]) for then, now in pairwise(counted) if now[0] > then[0] and now[1] >= then[1]]
    every, slow = sum(each for each, _ in more), sum(each for _, each in more)
    if not every:
        return f"etcd on {host} did not say how long it takes to sync its log"
    return "" if slow >= SLOW_SHARE * every else f"only {slow} of {every} syncs of etcd's log on {host} were slow"


def _inside(facts: Facts, at_s: float) -> bool:
    return facts.injected_s is not None and facts.injected_s <= at_s and (facts.healed_s is None or at_s <= facts.healed_s)


def _overlaps(facts: Facts, gap: Gap) -> bool:
    begin, end = facts.injecting_s or facts.injected_s, facts.healed_s
    return begin is not None and gap.end_s >= begin and (end is None or gap.begin_s <= end)


# ---- what clients saw


def _outage(limits: Drills, result: Result | None) -> Judgement:
    gaps = result.vip.gaps if result else ()
    requests, longest = (result.vip.requests, result.vip.longest_gap_ms) if result else (0, 0.0)
    return _longest("outage, new connections", limits.outage_ms, result, requests, longest, gaps)


def _reused(limits: Drills, result: Result | None) -> Judgement:
    gaps = result.reused.silences if result else ()
    requests, longest = (result.reused.requests, result.reused.longest_silence_ms) if result else (0, 0.0)
    return _longest("outage, reused connection", limits.reused_ms, result, requests, longest, gaps)


def _longest(
    objective: str, limit_ms: int, result: Result | None, requests: int, longest_ms: float, gaps: Iterable[Gap]
) -> Judgement:
    """Judge the longest gap. What this machine itself may have caused does not count against the site, and not for it either."""
    wanted = f"at most {seconds(limit_ms)}"
    if not result:
        return _unknown(objective, wanted, "nothing was measured")
    certain = max((gap.ms - gap.own_ms for gap in gaps), default=0.0)
    if certain > limit_ms:
        return Judgement(
            objective=objective,
            word="violated",
            wanted=wanted,
            seen=f"longest gap {seconds(longest_ms)}",
            over=certain - limit_ms,
            fix="inv drill.history",
        )
    if why := _blind(result, requests, limit_ms):
        return _unknown(objective, wanted, why)
    if longest_ms > limit_ms:
        return _unknown(objective, wanted, f"a gap of {seconds(longest_ms)}, in part of the measuring process itself")
    return Judgement(
        objective=objective, word="held", wanted=wanted, seen=f"longest gap {seconds(longest_ms)}", over=longest_ms - limit_ms
    )


def _blind(result: Result, requests: int, limit_ms: float) -> str:
    """Return why nothing can be said of what clients saw, or ""."""
    own = result.itself
    reasons = (
        (not result.complete, "the measurement did not run to its end"),
        (not requests, "there was no request"),
        (own.clock_jumps > 0, "this machine's clock was set, or it slept"),
        (bool(own.troubles), "this machine could not make all requests"),
        (own.longest_pause_ms > limit_ms, f"for {seconds(own.longest_pause_ms)} the measuring process itself did not run"),
    )
    return next((text for wrong, text in reasons if wrong), "")


def _data(result: Result | None) -> Judgement:
    wanted = "no acknowledged write lost, no read too old, the watch complete and in order"
    if not result:
        return _unknown("data", wanted, "nothing was measured")
    found = measured.data(result)
    writes = f"{result.data.acknowledged:,} writes acknowledged, {result.data.unknown:,} without an answer"
    seen = "; ".join((writes, *found.why))
    return Judgement(objective="data", word=found.word, wanted=wanted, seen=seen, fix="inv etcd.status" if found.why else "")


# ---- recovery and detection


def _recovery(limits: Drills, facts: Facts) -> Judgement:
    """Judge the time to recover. It was over somewhere between the last look that missed something and the one that missed nothing."""
    wanted, limit = f"within {limits.recovery_s} s after the heal", limits.recovery_s
    if facts.healing_s is None:
        return _unknown("recovery", wanted, "the drill did not come to its heal", "inv drill.heal")
    until, missing = facts.recovered_s, f": {facts.missing}" if facts.missing else ""
    unwell = (facts.unwell_s or facts.healing_s) - facts.healing_s
    if unwell > limit:
        took = until - facts.healing_s if until else unwell
        seen = f"after {seconds(took * 1000)}" if until else f"not within {seconds(took * 1000)}{missing}"
        return Judgement(
            objective="recovery",
            word="violated",
            wanted=wanted,
            seen=seen,
            over=unwell - limit,
            unit="s",
            fix="inv cluster.verify",
        )
    if not until:
        return _unknown("recovery", wanted, f"it was not waited for to the end{missing}", "inv cluster.verify")
    took = until - facts.healing_s
    if took < 0:
        return _unknown("recovery", wanted, "this machine's clock was set")
    if took > limit:
        return _unknown("recovery", wanted, f"between {seconds(unwell * 1000)} and {seconds(took * 1000)} after the heal")
    seen = f"after {seconds(took * 1000)}"
    return Judgement(objective="recovery", word="held", wanted=wanted, seen=seen, over=took - limit, unit="s")


def _alert(scenario: Scenario, limits: Drills, facts: Facts) -> Judgement:
    """Judge the time until one of the scenario's alerts fired: the samples have only those that became active after the injection."""
    wanted = f"within {limits.alert_s} s after the injection: one of {', '.join(scenario.alerts)}"
    limit = limits.alert_s or 0
    if facts.injected_s is None or facts.injecting_s is None:
        return _unknown("alert", wanted, "it was not injected")
    if facts.fired_before is None:
        return _unknown("alert", wanted, "Prometheus did not say what fired before", "inv monitor.check")
    before = set(facts.fired_before)
    asked = [each for each in facts.samples if each.at_s >= facts.injecting_s and each.alerts is not None]
    fired = next((each for each in asked if each.alerts), None)
    silent = (each.at_s for each in asked if not fired or each.at_s < fired.at_s)
    last = max(silent, default=facts.injecting_s) - facts.injecting_s
    if fired:
        took = fired.at_s - facts.injecting_s
        seen = f"{sorted(fired.alerts or ())[0]} after {seconds(took * 1000)}"
        if last < limit < took:
            return _unknown("alert", wanted, f"{seen}, or up to {seconds((took - last) * 1000)} earlier", "inv monitor.check")
        word: Word = "violated" if took > limit else "held"
        return Judgement(objective="alert", word=word, wanted=wanted, seen=seen, over=took - limit, unit="s")
    if last < limit or before & set(scenario.alerts):
        return _unknown("alert", wanted, "Prometheus was not asked until then, or its alerts fired before", "inv monitor.check")
    return Judgement(objective="alert", word="violated", wanted=wanted, seen="none has fired", fix="inv monitor.check")
