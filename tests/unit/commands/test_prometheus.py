"""Answers of Prometheus' API, as it documents them, and what is none."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runbooks.commands import prometheus

pytestmark = pytest.mark.unit


def answer(data: object) -> str:
    return json.dumps({"status": "success", "data": data})


def test_targets():
    one = {
        "discoveredLabels": {"__address__": "10.1.1.101:8406"},
        "labels": {"instance": "master1", "job": "etcd", "site": "ha-cluster"},
        "scrapePool": "ha-cluster/etcd",
        "scrapeUrl": "https://10.1.1.101:8406/etcd/metrics",
        "lastError": "connection refused",
        "health": "down",
    }
    (found,) = prometheus.targets(answer({"activeTargets": [one], "droppedTargets": []}))
    assert (found.job, found.instance, found.health, found.error) == ("etcd", "master1", "down", "connection refused")
    assert found.url == one["scrapeUrl"]
    assert found.labels["site"] == "ha-cluster"


def test_rules():
    alert = {
        "state": "firing",
        "name": "etcdNoLeader",
        "query": 'etcd_server_has_leader{job="etcd"} == 0',
        "duration": 60,
        "labels": {"severity": "critical"},
        "annotations": {"summary": "{{ $labels.instance }}"},
        "alerts": [],
        "health": "ok",
        "type": "alerting",
    }
    record = {"name": "a:b", "query": "sum(a)", "health": "err", "lastError": "many-to-many", "type": "recording"}
    one, other = prometheus.rules(answer({"groups": [{"name": "etcd", "file": "x", "rules": [alert, record]}]}))
    assert (one.name, one.alerting, one.for_s, one.labels, one.error) == ("etcdNoLeader", True, 60, {"severity": "critical"}, "")
    assert (other.name, other.alerting, other.for_s, other.error) == ("a:b", False, 0, "many-to-many")


def test_alerts_and_alertmanagers():
    alert = {
        "labels": {"alertname": "Watchdog"},
        "annotations": {},
        "state": "firing",
        "activeAt": "2026-01-07T02:17:00Z",
        "value": "1e+00",
    }
    (found,) = prometheus.alerts(answer({"alerts": [alert]}))
    assert (found.name, found.state) == ("Watchdog", "firing")
    urls = answer({"activeAlertmanagers": [{"url": "http://10.1.1.50:9093/api/v2/alerts"}], "droppedAlertmanagers": []})
    assert prometheus.alertmanagers(urls) == ("http://10.1.1.50:9093/api/v2/alerts",)


def test_counts():
    result = [
        {"metric": {"__name__": "etcd_server_has_leader", "job": "etcd"}, "value": [1767780700.1, "3"]},
        {"metric": {"__name__": "ha_runbooks_backup_sets"}, "value": [1767780700.1, "9"]},
    ]
    assert prometheus.counts(answer({"resultType": "vector", "result": result})) == {
        ("etcd_server_has_leader", "etcd"): 3,
        ("ha_runbooks_backup_sets", ""): 9,
    }


PARSERS: tuple[Callable[[str], object], ...] = (
    prometheus.targets,
    prometheus.rules,
    prometheus.alerts,
    prometheus.alertmanagers,
    prometheus.counts,
)


@pytest.mark.parametrize("parse", PARSERS)
@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("<html>404 page not found", "not an answer of Prometheus"),
        ("[]", "not an answer of Prometheus"),
        ('{"status": "success"}', "not an answer of Prometheus"),
        ('{"status": "error", "errorType": "bad_data", "error": "unknown query"}', "Prometheus says: unknown query"),
        (
            '{"status": "success", "data": {"activeTargets": {}, "groups": 1, "alerts": [1], "activeAlertmanagers": "", "result": [[]]}}',
            "is not a list of objects",
        ),
    ],
)
def test_what_is_no_answer_is_said(parse, text, said):
    with pytest.raises(ValueError, match=said):
        parse(text)


@pytest.mark.parametrize("parse", PARSERS)
def test_an_empty_answer_is_nothing(parse):
    assert not parse(answer({}))


JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.text(max_size=9),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["labels", "rules", "metric", "value", "name", "duration"]), inner, max_size=4)
    ),
    max_leaves=10,
)


@given(
    st.dictionaries(
        st.sampled_from(["activeTargets", "groups", "alerts", "activeAlertmanagers", "result"]), st.lists(JSON, max_size=3)
    )
)
def test_any_json_is_parsed_or_refused(data):
    for parse in PARSERS:
        with suppress(ValueError):
            assert isinstance(parse(answer(data)), tuple | dict)
