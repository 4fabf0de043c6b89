"""Does monitoring work: is everything scraped, is every rule there and able to fire, do alerts arrive. Pure.

A rule whose series do not exist never fires, and nobody notices: that is looked at for every rule. A missing answer is a failure, never
a pass.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from runbooks.commands.prometheus import Firing, Rule, Target
from runbooks.monitor.rules.alert import Alert, Group, Record
from runbooks.monitor.rules.promql import Series, normal, series
from runbooks.monitor.rules.scope import Scope
from runbooks.monitor.rules.targets import Scrape
from runbooks.rules.finding import Finding, Severity
from runbooks.text import counted, listed

RENDER: Final = "inv monitor.apply, and with an ordinary Prometheus what it says is left to do (docs/monitoring.md)"
SEVERITIES: Final[Mapping[str, Severity]] = {"critical": "fail", "warning": "warn"}
WATCHDOG: Final = "Watchdog"
# Metrics that Prometheus makes itself; `up` of a job that this tool sets up is judged with its targets.
UP: Final = "up"
OWN: Final = frozenset({UP, "ALERTS"})
# For which port of a job a firewall or a proxy may be in the way is in the error that Prometheus gives.
CHECK: Final = "is the job scraped, and does its version have the metric? docs/monitoring.md"
WAY: Final = (
    "from the host of Prometheus, curl that URL: firewall, certificate, token, or `systemctl status` of what should answer there"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What a Prometheus has answered. ``counts``: how many series it has now, by metric and job."""

    targets: Sequence[Target]
    rules: Sequence[Rule]
    firing: Sequence[Firing]
    alertmanagers: Sequence[str]
    counts: Mapping[tuple[str, str], int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What this Prometheus should have.

    ``annotations``: those of each alert, by its key. ``shown``: the expressions of each dashboard, by its name.
    """

    scope: Scope
    scrapes: Sequence[Scrape]
    groups: Sequence[Group]
    annotations: Mapping[tuple[str, ...], Mapping[str, str]]
    shown: Mapping[str, Sequence[str]]


def series_query(wanted: Wanted) -> str:
    """Return the query that counts the series that are needed and exist now, by metric and job."""
    names = sorted({each.metric for each in needed(wanted)} - OWN | ({UP} if left_to_others(wanted) else set()))
    return f'count by (__name__, job) ({{__name__=~"{"|".join(names)}"}})'


def needed(wanted: Wanted) -> frozenset[Series]:
    """Return every series that a rule or a dashboard reads."""
    rules = [rule.expr for group in wanted.groups for rule in group.rules]
    shown = [expr for expressions in wanted.shown.values() for expr in expressions]
    return frozenset(each for expr in (*rules, *shown) for each in series(expr))


def left_to_others(wanted: Wanted) -> frozenset[str]:
    """Return the jobs that a rule reads and that are not among those of hosts.yaml: whether they exist is known by their `up` alone."""
    return frozenset(job for each in needed(wanted) for job in each.jobs if each.metric == UP) - set(wanted.scope.jobs)


def findings(wanted: Wanted, seen: Seen) -> list[Finding]:
    """Return what is found, one "ok" for each part that is well: targets, rules, series, alerts."""
    parts = {
        "targets": list(_targets(wanted, seen)),
        "rules": list(_rules(wanted, seen)),
        "series": list(_series(wanted, seen)),
        "alerts": list(_alerts(wanted, seen)),
    }
    well = {
        "targets": f"{counted(sum(len(each.targets) for each in wanted.scrapes), 'target')} of {counted(len(wanted.scrapes), 'job')} scraped",
        "rules": f"{counted(sum(len(group.alerts) for group in wanted.groups), 'alert')} loaded as hosts.yaml wants them",
        "series": "every rule has the series that it needs",
        "alerts": f"evaluated, and sent to {listed(seen.alertmanagers)}",
    }
    return [
        finding
        for topic, found in parts.items()
        for finding in (
            found if any(each.severity != "note" for each in found) else [*found, Finding("ok", topic=topic, seen=well[topic])]
        )
    ]


# ---- targets


def _targets(wanted: Wanted, seen: Seen) -> Iterator[Finding]:
    there = {(each.job, each.instance): each for each in seen.targets if each.labels.get("site") == wanted.scope.site.name}
    for scrape in wanted.scrapes:
        missing = [target.instance for target in scrape.targets if (scrape.job, target.instance) not in there]
        if missing:
            what = f"Prometheus does not know {scrape.job} on {listed(missing)}"
            yield Finding("fail", topic="targets", seen=what, why="alerts about it are blind", fix=RENDER)
        for target in scrape.targets:
            found = there.get((scrape.job, target.instance))
            if found and found.health != "up":
                yield _down(found)


def _down(target: Target) -> Finding:
    if target.health == "down":
        said = f"{target.job} cannot be read at {target.url}: {target.error or 'no reason given'}"
        return Finding("fail", topic="targets", host=target.instance, seen=said, fix=WAY)
    return Finding(
        "warn",
        topic="targets",
        host=target.instance,
        seen=f"{target.job} has not been read yet",
        fix="wait for one scrape, then inv monitor.check",
    )


# ---- rules


def _rules(wanted: Wanted, seen: Seen) -> Iterator[Finding]:
    site = wanted.scope.site.name
    ours = [rule for rule in seen.rules if rule.labels.get("site") == site]
    for group in wanted.groups:
        for record in group.records:
            there = [rule for rule in ours if not rule.alerting and rule.name == record.name]
            yield from _rule(record.name, [rule for rule in there if _same(record, rule)], there)
        for alert in group.alerts:
            labels = {"severity": alert.severity, **alert.labels}
            there = [rule for rule in ours if rule.alerting and rule.name == alert.name and labels.items() <= rule.labels.items()]
            good = [rule for rule in there if _same(alert, rule) and rule.for_s == alert.for_s]
            title = f"{alert.name} ({listed(alert.key[1:])})"
            yield from _rule(title, good, there)
            yield from _annotations(title, wanted.annotations[alert.key], good)


def _same(rule: Alert | Record, there: Rule) -> bool:
    return normal(rule.expr) == normal(there.query)


def _rule(title: str, good: Sequence[Rule], there: Sequence[Rule]) -> Iterator[Finding]:
    if not there:
        yield Finding("fail", topic="rules", seen=f"{title} is not loaded", fix=RENDER)
    elif not good:
        yield Finding(
            "warn", topic="rules", seen=f"{title} is loaded in another form than hosts.yaml and this version make", fix=RENDER
        )
    for rule in good:
        if rule.error:
            yield Finding("fail", topic="rules", seen=f"{title} cannot be evaluated: {rule.error}", fix="the log of Prometheus")
    if len(good) > 1:
        yield Finding(
            "warn",
            topic="rules",
            seen=f"{title} is loaded {len(good)} times",
            why="people are told as often",
            fix="delete the older file or object",
        )


def _annotations(title: str, wanted: Mapping[str, str], good: Sequence[Rule]) -> Iterator[Finding]:
    wrong = sorted({name for rule in good for name, text in wanted.items() if rule.annotations.get(name) != text})
    if wrong:
        yield Finding("warn", topic="rules", seen=f"{title} says something else in {listed(wrong)}", fix=RENDER)


# ---- series


def _series(wanted: Wanted, seen: Seen) -> Iterator[Finding]:
    """A record counts as there when it is ours: its own series are looked at, it may have no value yet."""
    recorded = {record.name for group in wanted.groups for record in group.records}
    foreign = left_to_others(wanted)

    def missing(expr: str) -> list[Series]:
        read = series(expr)
        ups = {Series(UP, (job,)) for each in read if each.metric == UP for job in each.jobs if job in foreign}
        others = {each for each in read if each.metric not in OWN | recorded}
        return [each for each in sorted(ups | others) if not _exists(each, seen.counts)]

    blind = [_blind(rule, each) for group in wanted.groups for rule in group.rules for each in missing(rule.expr)]
    rare = {metric: when for group in wanted.groups for alert in group.alerts for metric, when in alert.rare.items()}
    empty = [
        Finding("warn", topic="series", seen=f"the dashboard {name} shows nothing for {each.metric}", fix=CHECK)
        for name, expressions in wanted.shown.items()
        for expr in expressions
        for each in missing(expr)
        if each.metric not in rare
    ]
    yield from dict.fromkeys((*blind, *empty))


def _exists(wanted: Series, counts: Mapping[tuple[str, str], int]) -> bool:
    """Whether at least one of the jobs has the series; a rule over several jobs works with those that are there."""
    found = {job for (metric, job), count in counts.items() if metric == wanted.metric and count > 0}
    return bool(found & set(wanted.jobs) if wanted.jobs else found)


def _blind(rule: Alert | Record, missing: Series) -> Finding:
    where = f" of {listed(missing.jobs)}" if missing.jobs else ""
    said = f"{rule.name} has no series {missing.metric}{where}"
    if isinstance(rule, Alert) and (when := rule.rare.get(missing.metric)):
        return Finding("note", topic="series", seen=said, why=f"that may be right: {when}")
    why = "it is not in monitoring.jobs, and no other job has this name" if missing.metric == UP else "the rule never fires"
    return Finding("fail", topic="series", seen=said, why=why, fix=CHECK)


# ---- alerts


def _alerts(wanted: Wanted, seen: Seen) -> Iterator[Finding]:
    ours = [each for each in seen.firing if each.labels.get("site") == wanted.scope.site.name]
    if not any(each.name == WATCHDOG and each.state == "firing" for each in ours):
        yield Finding(
            "fail", topic="alerts", seen=f"{WATCHDOG} does not fire", why="rules are not evaluated", fix="the log of Prometheus"
        )
    if not seen.alertmanagers:
        yield Finding(
            "fail",
            topic="alerts",
            seen="Prometheus sends alerts to nobody",
            fix="name the Alertmanager in its configuration (alerting:)",
        )
    for each in ours:
        severity = SEVERITIES.get(each.labels.get("severity", ""), "note")
        if each.state == "firing" and each.name != WATCHDOG:
            said = each.annotations.get("summary") or "it fires"
            why, fix = each.annotations.get("description", ""), each.annotations.get("command", "")
            yield Finding(
                severity, topic="alerts", host=each.labels.get("instance", ""), seen=f"{each.name}: {said}", why=why, fix=fix
            )
