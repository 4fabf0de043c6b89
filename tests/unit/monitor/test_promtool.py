"""The rules as Prometheus' own tool sees them: they are valid, each alert fires when it should, and stays quiet when it should."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest

from runbooks.commands.yaml_text import documents
from runbooks.monitor.dashboards import boards
from runbooks.monitor.dashboards.panels import expressions
from runbooks.monitor.files import everything
from runbooks.monitor.rule_file import rule_groups
from runbooks.monitor.rules.alert import Alert
from runbooks.monitor.rules.apiserver import recorded
from runbooks.monitor.rules.catalogue import alerts, groups
from runbooks.monitor.rules.promql import series
from runbooks.monitor.rules.scope import Scope
from tests.unit.monitor.cases import CASES, Case
from tests.unit.monitor.conftest import site

pytestmark = pytest.mark.unit
Promtool = Callable[..., str]
SETTINGS: tuple[dict[str, Any], ...] = (
    {},
    {"control_plane": "bound", "runbooks": "https://git.company.local/ha/"},
    {"jobs": ("etcd", "haproxy", "apiserver-vip")},
    {"interval_s": 5, "certificate_days": 8},
)


def written(path: Path, found: object) -> Path:
    path.write_text(json.dumps(found))  # JSON is YAML
    return path


@pytest.mark.parametrize("faster", [1, 30, 1000])
@pytest.mark.parametrize("settings", SETTINGS, ids=lambda each: "-".join(map(str, each)) or "defaults")
def test_the_rules_are_valid(settings, faster, promtool: Promtool, tmp_path):
    files = everything(Scope(site(form="files", **settings), faster))
    (tmp_path / "rules.yml").write_text(files["rules.yml"])
    total = sum(len(group["rules"]) for group in rule_groups(Scope(site(**settings)), groups(Scope(site(**settings)))))
    said = promtool("check", "rules", "--lint-fatal", tmp_path / "rules.yml")
    assert f"SUCCESS: {total} rules found" in said


@pytest.mark.parametrize("version", ["1.20.2", "1.36.3"])
@pytest.mark.parametrize("control_plane", ["proxy", "bound"])
def test_the_configuration_is_valid(version, control_plane, promtool: Promtool, tmp_path):
    described = site(
        form="files",
        control_plane=control_plane,
        alertmanager="https://alerts.company.local/am",
        operators=("adm.company.local",),
    )
    kubernetes = msgspec.structs.replace(described.kubernetes, version=version)
    files = everything(Scope(msgspec.structs.replace(described, kubernetes=kubernetes)))
    (tmp_path / "prometheus.yml").write_text(files["prometheus.yml"])
    promtool("check", "config", "--syntax-only", tmp_path / "prometheus.yml")
    (scrape,), (whole,) = documents(files["scrape.yml"]), documents(files["prometheus.yml"])
    assert scrape["scrape_configs"] == whole["scrape_configs"]  # type: ignore[index]


def test_the_operator_gets_the_same_rules(scope):
    (found,) = documents(everything(scope)["rules.yaml"])
    (plain,) = documents(everything(Scope(site(form="files")))["rules.yml"])
    assert found["spec"]["groups"] == plain["groups"]  # type: ignore[index]


def test_what_dashboards_ask_is_valid(scope, promtool: Promtool, tmp_path):
    asked = [expr for board in boards(scope).values() for expr in expressions(board)]
    assert len(asked) > 40
    rules = [{"record": f"panel:{number}:x", "expr": expr} for number, expr in enumerate(asked)]
    promtool("check", "rules", written(tmp_path / "rules.yml", {"groups": [{"name": "panels", "rules": rules}]}))


# ---- each alert fires, and does not


def keys(case: Case) -> tuple[str, ...]:
    return (case.alert, case.severity, *case.labels.values())


def firing(case: Case, *more: str) -> str:
    """How many alerts of a case fire, as a query."""
    labels = {"alertname": case.alert, "severity": case.severity, "alertstate": "firing", "site": "ha-cluster", **case.labels}
    matchers = [*(f'{name}="{value}"' for name, value in labels.items()), *filter(None, more)]
    return f"count(ALERTS{{{','.join(matchers)}}}) or vector(0)"


def expected(expr: str, minutes: int, value: float) -> dict[str, Any]:
    return {"expr": expr, "eval_time": f"{minutes}m", "exp_samples": [{"labels": "{}", "value": value}]}


def trial(case: Case, series_there: dict[str, str], *checks: dict[str, Any]) -> dict[str, Any]:
    found = [{"series": name, "values": values} for name, values in series_there.items()]
    return {"name": "/".join(keys(case)), "interval": "1m", "input_series": found, "promql_expr_test": list(checks)}


def trials(cases: tuple[Case, ...], alerts_there: tuple[Alert, ...]) -> list[dict[str, Any]]:
    """For each case of these alerts: it fires in the end and not before its time, and with what is well it does not."""
    found = []
    for case in cases:
        alert = next((each for each in alerts_there if set(keys(case)) <= set(each.key)), None)
        if not alert:
            continue
        in_time = [expected(firing(case, more), case.minutes, case.times) for more in {"", case.also}]
        too_early = [expected(firing(case), alert.for_s // 60 - 1, 0)] if alert.for_s >= 60 else []
        found.append(trial(case, dict(case.sick), *in_time, *too_early))
        if case.alert != "Watchdog":
            found.append(trial(case, dict(case.well), expected(firing(case), case.minutes, 0)))
    return found


@pytest.mark.parametrize("name", CASES)
def test_every_alert_fires_in_time_and_only_then(name, scope, promtool: Promtool, tmp_path):
    """Alerts that read no record are tried without the records, which take long to evaluate."""
    group = next(each for each in groups(scope) if each.name == name)
    recorded = {record.name for record in group.records}
    users = tuple(alert for alert in group.alerts if recorded & {each.metric for each in series(alert.expr)})
    others = tuple(alert for alert in group.alerts if alert not in users)
    files, tried = [], 0
    for part in (replace(group, alerts=users), replace(group, records=(), alerts=others)):
        if tests := trials(CASES[name], part.alerts):
            rules = written(tmp_path / f"rules-{len(files)}.yml", {"groups": rule_groups(scope, [part])})
            content = {"rule_files": [rules.name], "evaluation_interval": "1m", "tests": tests}
            files.append(written(tmp_path / f"tests-{len(files)}.yml", content))
            tried += len(part.alerts)
    assert tried == len(group.alerts)
    promtool("test", "rules", *files)


@pytest.mark.parametrize(("buckets", "share"), [({}, 0.0), ({"POST": 60}, 0.2), ({"POST": 60, "LIST": 0}, 0.7)])
def test_requests_whose_buckets_are_not_scraped_do_not_count_as_slow(buckets, share, scope, promtool: Promtool, tmp_path):
    """100 writes and 100 reads of a namespace each minute. ``buckets``: how many were fast enough, by verb."""
    kinds = {"POST": ("resource", "1"), "LIST": ("namespace", "5.0")}
    there = {}
    for verb, (within, limit) in kinds.items():
        labels = f'job="apiserver",site="ha-cluster",verb="{verb}"'
        there[f'apiserver_request_total{{{labels},code="200"}}'] = "0+100x20"
        there[f'apiserver_request_duration_seconds_count{{{labels},scope="{within}"}}'] = "0+100x20"
        if verb in buckets:
            bucket = f'apiserver_request_duration_seconds_bucket{{{labels},scope="{within}",le="{limit}"}}'
            there[bucket] = f"0+{buckets[verb]}x20"
    content = [{"series": name, "values": values} for name, values in there.items()]
    check = expected(f"round(sum({recorded(300)}), 0.001)", 15, share)
    test = {"interval": "1m", "input_series": content, "promql_expr_test": [check]}
    group = next(each for each in groups(scope) if each.name == "kube-apiserver")
    written(tmp_path / "rules.yml", {"groups": rule_groups(scope, [replace(group, alerts=())])})
    promtool("test", "rules", written(tmp_path / "tests.yml", {"rule_files": ["rules.yml"], "tests": [test]}))


def test_our_records_have_names_of_our_own(scope):
    names = [record.name for group in groups(scope) for record in group.records]
    assert names
    assert all(name.startswith("ha_runbooks:") for name in names)


def test_load_balancers_are_known_by_their_address_where_another_job_scrapes_them(promtool: Promtool, tmp_path):
    scope = Scope(site(jobs=("haproxy",)))
    group = next(each for each in groups(scope) if each.name == "vip")
    one, two = (f"{host.address}:9100" for host in scope.site.load_balancers)
    there = {f'up{{job="node-exporter",instance="{each}"}}': "1+0x300" for each in (one, two, "10.1.1.111:9100")}
    there[f'ha_runbooks_vrrp_master{{job="node-exporter",site="ha-cluster",instance="{one}"}}'] = "0+0x300"
    counts = {"KeepalivedStateUnknown": f'instance="{two}"', "VIPNotAtHome": f'instance="{one}"'}
    checks = [
        expected(f'count(ALERTS{{alertname="{name}",alertstate="firing"{more}}}) or vector(0)', 250, 1)
        for name, instance in counts.items()
        for more in ("", f",{instance}")
    ]
    content = [{"series": name, "values": values} for name, values in there.items()]
    test = {"interval": "1m", "input_series": content, "promql_expr_test": checks}
    written(tmp_path / "rules.yml", {"groups": rule_groups(scope, [group])})
    promtool("test", "rules", written(tmp_path / "tests.yml", {"rule_files": ["rules.yml"], "tests": [test]}))


def test_every_alert_has_a_case(scope):
    there = {group.name: [alert.key for alert in group.alerts] for group in groups(scope)}
    assert there.keys() == CASES.keys()
    for name, cases in CASES.items():
        covered = {key for key in there[name] for case in cases if set(keys(case)) <= set(key)}
        assert covered == set(there[name])


def test_what_is_well_has_the_series_that_the_alert_needs(scope):
    """An alert without its series does not fire either, which would prove nothing."""
    found = {alert.key: alert for _, alert in alerts(groups(scope))}
    for case in (each for cases in CASES.values() for each in cases):
        alert = next(alert for key, alert in found.items() if set(keys(case)) <= set(key))
        there = {name.partition("{")[0] for name in case.well}
        needed = {each.metric for each in series(alert.expr)} - alert.rare.keys()
        assert {name for name in needed if ":" not in name} <= there, case.alert


# ---- the words


def test_the_words_of_an_alert(scope, promtool: Promtool, tmp_path):
    """What the people on call get: values and names filled in, the command, and the page."""
    described = Scope(site(runbooks="https://git.company.local/ha/"))
    written(tmp_path / "rules.yml", {"groups": rule_groups(described, groups(described))})
    series_there = {
        'etcd_mvcc_db_total_size_in_bytes{job="etcd",site="ha-cluster",instance="master1"}': "1800+0x60",
        'etcd_server_quota_backend_bytes{job="etcd",site="ha-cluster",instance="master1"}': "2000+0x60",
    }
    alert = {
        "exp_labels": {"severity": "warning", "site": "ha-cluster", "job": "etcd", "instance": "master1"},
        "exp_annotations": {
            "summary": "etcd's database on master1 is getting full",
            "description": "The database of the member on master1 has 90% of the size that it may have. When it is full, etcd refuses every write.",
            "command": "inv etcd.defrag",
            "runbook_url": "https://git.company.local/ha/alerts.md#etcddatabasequotalowspace",
        },
    }
    test = {
        "interval": "1m",
        "input_series": [{"series": name, "values": values} for name, values in series_there.items()],
        "alert_rule_test": [{"eval_time": "15m", "alertname": "etcdDatabaseQuotaLowSpace", "exp_alerts": [alert]}],
    }
    promtool("test", "rules", written(tmp_path / "tests.yml", {"rule_files": ["rules.yml"], "tests": [test]}))
