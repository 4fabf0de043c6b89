"""`monitor.check` judges what a Prometheus answers: missing targets, dead ones, rules that cannot fire, alerts that go nowhere."""

from __future__ import annotations

import pytest

from runbooks.commands.prometheus import Firing, Rule, Target
from runbooks.monitor.rules.catalogue import alerts
from runbooks.monitor.rules.judge import Seen, Wanted, findings, needed, series_query
from runbooks.monitor.rules.scope import Scope
from runbooks.monitor.wanted import wanted
from runbooks.rules.finding import Finding
from tests.unit.monitor.conftest import site

pytestmark = pytest.mark.unit
OURS = {"site": "ha-cluster"}


@pytest.fixture
def goal(scope: Scope) -> Wanted:
    return wanted(scope)


def whole(goal: Wanted) -> Seen:
    """What a Prometheus answers in which everything is as it should be."""
    targets = [
        Target(job=scrape.job, instance=target.instance, url=f"http://{target}{scrape.path}", health="up", labels=OURS)
        for scrape in goal.scrapes
        for target in scrape.targets
    ]
    rules = [
        Rule(name=record.name, query=" ".join(record.expr.split()), alerting=False, labels=record.labels)
        for group in goal.groups
        for record in group.records
    ]
    rules += [
        Rule(
            name=alert.name,
            query=alert.expr.replace("by (", "by("),
            alerting=True,
            for_s=alert.for_s,
            labels={**OURS, "severity": alert.severity, **alert.labels},
            annotations=goal.annotations[alert.key],
        )
        for _, alert in alerts(tuple(goal.groups))
    ]
    counts = {(each.metric, job): 3 for each in needed(goal) for job in each.jobs or ("x",)}
    watchdog = Firing(name="Watchdog", state="firing", labels={**OURS, "severity": "none"}, annotations={})
    return Seen(
        targets=targets, rules=rules, firing=[watchdog], alertmanagers=["http://10.1.1.50:9093/api/v2/alerts"], counts=counts
    )


def changed(seen: Seen, **more: object) -> Seen:
    fields = {name: getattr(seen, name) for name in ("targets", "rules", "firing", "alertmanagers", "counts")}
    return Seen(**{**fields, **more})  # type: ignore[arg-type]


def wrong(goal: Wanted, seen: Seen) -> list[Finding]:
    return [each for each in findings(goal, seen) if each.severity != "ok"]


def test_when_all_is_well_each_part_says_so(goal):
    found = findings(goal, whole(goal))
    assert [(each.severity, each.topic) for each in found] == [
        ("ok", "targets"),
        ("ok", "rules"),
        ("ok", "series"),
        ("ok", "alerts"),
    ]
    assert "29 targets of 8 jobs" in found[0].seen
    assert "10.1.1.50:9093" in found[3].seen


def test_a_prometheus_that_knows_nothing_passes_in_nothing(goal):
    empty = Seen(targets=(), rules=(), firing=(), alertmanagers=(), counts={})
    found = findings(goal, empty)
    assert not [each for each in found if each.severity == "ok"]
    assert {each.topic for each in found if each.severity == "fail"} == {"targets", "rules", "series", "alerts"}


def test_a_missing_a_dead_and_an_unread_target(goal):
    seen = whole(goal)
    there = {(each.job, each.instance): each for each in seen.targets}
    del there["etcd", "master2"]
    url = there["kube-scheduler", "master3"].url
    there["kube-scheduler", "master3"] = Target(
        job="kube-scheduler", instance="master3", url=url, health="down", error="connection refused", labels=OURS
    )
    there["haproxy", "lb1"] = Target(job="haproxy", instance="lb1", url="", health="unknown", labels=OURS)
    missing, dead, unread = wrong(goal, changed(seen, targets=list(there.values())))
    assert (missing.severity, missing.seen) == ("fail", "Prometheus does not know etcd on master2")
    said = "kube-scheduler cannot be read at http://10.1.1.103:8406/kube-scheduler/metrics: connection refused"
    assert (dead.severity, dead.host, dead.seen) == ("fail", "master3", said)
    assert (unread.severity, unread.host) == ("warn", "lb1")


def test_targets_of_another_site_are_not_ours(goal):
    seen = whole(goal)
    others = [
        Target(job=each.job, instance=each.instance, url="", health="up", labels={"site": "other"}) for each in seen.targets
    ]
    assert {each.severity for each in wrong(goal, changed(seen, targets=others))} == {"fail"}


def rule(seen: Seen, name: str, severity: str = "") -> Rule:
    return next(each for each in seen.rules if each.name == name and severity in {"", each.labels.get("severity")})


def with_rule(seen: Seen, old: Rule, *new: Rule) -> Seen:
    return changed(seen, rules=[*(each for each in seen.rules if each is not old), *new])


def like(old: Rule, **more: object) -> Rule:
    fields = {name: getattr(old, name) for name in ("name", "query", "alerting", "for_s", "labels", "annotations", "error")}
    return Rule(**{**fields, **more})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("more", "severity", "said"),
    [
        ({"query": 'etcd_server_has_leader{job="etcd"} == 0'}, "warn", "is loaded in another form"),
        ({"for_s": 600}, "warn", "is loaded in another form"),
        ({"error": "many-to-many matching"}, "fail", "cannot be evaluated: many-to-many matching"),
        ({"annotations": {}}, "warn", "says something else in command, description, runbook, summary"),
    ],
    ids=["query", "for", "error", "annotations"],
)
def test_a_rule_that_is_not_as_it_should_be(goal, more, severity, said):
    seen = whole(goal)
    old = rule(seen, "etcdNoLeader")
    (found,) = wrong(goal, with_rule(seen, old, like(old, **more)))
    assert (found.severity, found.topic) == (severity, "rules")
    assert found.seen.startswith("etcdNoLeader (critical)")
    assert said in found.seen


def test_a_rule_that_is_missing_or_loaded_twice(goal):
    seen = whole(goal)
    old = rule(seen, "etcdHighFsyncDurations", "critical")
    (missing,) = wrong(goal, with_rule(seen, old))
    assert (missing.severity, missing.seen) == ("fail", "etcdHighFsyncDurations (critical) is not loaded")
    (twice,) = wrong(goal, with_rule(seen, old, old, old))
    assert (twice.severity, twice.seen) == ("warn", "etcdHighFsyncDurations (critical) is loaded 2 times")
    record = rule(seen, "ha_runbooks:apiserver_request:burnrate3d")
    (unrecorded,) = wrong(goal, with_rule(seen, record))
    assert unrecorded.seen == "ha_runbooks:apiserver_request:burnrate3d is not loaded"


def test_rules_of_others_do_not_matter(goal):
    seen = whole(goal)
    foreign = Rule(name="etcdNoLeader", query="other", alerting=True, labels={"severity": "critical"}, error="broken")
    assert wrong(goal, changed(seen, rules=[*seen.rules, foreign])) == []


def without(seen: Seen, metric: str, job: str = "") -> Seen:
    return changed(seen, counts={key: count for key, count in seen.counts.items() if key[0] != metric or job not in {"", key[1]}})


def test_a_rule_whose_series_do_not_exist_never_fires(goal):
    seen = without(whole(goal), "etcd_server_has_leader")
    (rule_found, board) = wrong(goal, seen)
    assert (rule_found.severity, rule_found.seen, rule_found.why) == (
        "fail",
        "etcdNoLeader has no series etcd_server_has_leader of etcd",
        "the rule never fires",
    )
    assert (board.severity, board.seen) == ("warn", "the dashboard etcd shows nothing for etcd_server_has_leader")


def test_a_series_that_may_be_absent_is_a_note_that_says_when(goal):
    """etcdGRPCRequestsSlow can never fire with etcd's default metrics, and nobody is told: https://etcd.io/docs/v3.5/op-guide/configuration/"""
    (found,) = wrong(goal, without(whole(goal), "grpc_server_handling_seconds_bucket"))
    assert (found.severity, found.topic) == ("note", "series")
    assert "--metrics=extensive" in found.why


def test_one_of_several_jobs_is_enough(goal):
    assert wrong(goal, without(whole(goal), "kubernetes_build_info", "kubelet")) == []
    assert wrong(goal, without(whole(goal), "kubernetes_build_info"))[0].seen.startswith("KubeVersionMismatch has no series")


def test_the_right_metric_of_the_wrong_job_does_not_count(goal):
    seen = whole(goal)
    counts = dict(seen.counts)
    counts["etcd_server_has_leader", "other"] = counts.pop(("etcd_server_has_leader", "etcd"))
    assert wrong(goal, changed(seen, counts=counts))[0].seen == "etcdNoLeader has no series etcd_server_has_leader of etcd"


def test_the_query_asks_for_every_series_but_those_that_prometheus_makes(goal):
    asked = series_query(goal)
    assert asked.startswith("count by (__name__, job) ({__name__=~")
    assert "|etcd_server_has_leader|" in asked
    assert "|up|" not in asked
    assert "ALERTS" not in asked


def test_alerts_that_arrive_nowhere(goal):
    seen = whole(goal)
    (nobody,) = wrong(goal, changed(seen, alertmanagers=()))
    assert (nobody.severity, nobody.seen) == ("fail", "Prometheus sends alerts to nobody")
    pending = Firing(name="Watchdog", state="pending", labels=OURS, annotations={})
    (quiet,) = wrong(goal, changed(seen, firing=[pending]))
    assert (quiet.severity, quiet.seen) == ("fail", "Watchdog does not fire")


def test_what_fires_is_told_with_its_command(goal):
    seen = whole(goal)
    said = {"summary": "etcd has lost its majority", "description": "Only 1", "command": "inv doctor"}
    firing = [
        Firing(name="etcdInsufficientMembers", state="firing", labels={**OURS, "severity": "critical"}, annotations=said),
        Firing(name="VIPMoved", state="firing", labels={**OURS, "severity": "info", "instance": "lb2"}, annotations={}),
        Firing(name="KubeletDown", state="pending", labels={**OURS, "severity": "warning"}, annotations={}),
        Firing(name="Other", state="firing", labels={"severity": "critical"}, annotations={}),
    ]
    grave, moved = wrong(goal, changed(seen, firing=[*seen.firing, *firing]))
    assert (grave.severity, grave.seen, grave.why, grave.fix) == (
        "fail",
        "etcdInsufficientMembers: etcd has lost its majority",
        "Only 1",
        "inv doctor",
    )
    assert (moved.severity, moved.host, moved.seen) == ("note", "lb2", "VIPMoved: it fires")


def test_jobs_that_somebody_else_scrapes_are_not_asked_for():
    goal = wanted(Scope(site(jobs=("etcd", "haproxy"))))
    seen = whole(goal)
    assert {each.job for each in seen.targets} == {"etcd", "haproxy"}
    assert wrong(goal, seen) == []


def test_a_job_that_is_left_to_somebody_who_does_not_scrape_it_is_a_failure():
    """VIPUnreachable reads nothing of apiserver-vip but `up`: without a target it is silent while the VIP is dead."""
    goal = wanted(Scope(site(jobs=("etcd", "haproxy"))))
    assert series_query(goal).endswith('|up"})')
    found = wrong(goal, without(whole(goal), "up", "apiserver-vip"))
    assert (found[0].severity, found[0].seen) == ("fail", "VIPUnreachable has no series up of apiserver-vip")
    assert "not in monitoring.jobs" in found[0].why
    several = [each.seen for each in wrong(goal, without(whole(goal), "up", "kube-scheduler"))]
    assert "TargetDown has no series up of kube-scheduler" in several  # also where the rule reads other jobs, which are there
    assert "KubeSchedulerDown has no series up of kube-scheduler" in several
