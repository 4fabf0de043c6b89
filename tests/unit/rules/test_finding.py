"""Findings: in order, each once, and shown in one way."""

import json

import pytest

from runbooks.rules.finding import (
    HOST,
    SCALE,
    SEEN,
    SEVERITY,
    Finding,
    at_least,
    explained,
    for_machines,
    ordered,
    rank,
    shown,
    tally,
    worst,
)
from tests.support.fakes import lb, master

pytestmark = pytest.mark.unit

NOTE = Finding("note", topic="LB", host="lb2", seen="drained")
WARN = Finding("warn", topic="clock", host="m1", seen="off", why="leases", fix="chrony")
FAIL = Finding("fail", topic="etcd", seen="no quorum", fix="inv etcd.status")
OK = Finding("ok", topic="node", host="m1", seen="Ready", why="not shown", fix="not shown")


def test_one_scale():
    assert SCALE == ("ok", "note", "warn", "fail")
    assert [rank(each) for each in SCALE] == sorted(rank(each) for each in SCALE)


def test_the_gravest_is_first_and_each_is_there_once():
    assert ordered([OK, NOTE, WARN, FAIL, WARN]) == [FAIL, WARN, NOTE, OK]
    assert [each.seen for each in ordered([Finding("warn", seen=text) for text in "bab"])] == ["b", "a"]


def test_from_one_severity_on():
    assert at_least("warn", [FAIL, OK, WARN, NOTE]) == [FAIL, WARN]
    assert at_least("fail", [OK, NOTE, WARN]) == []


def test_what_is_explained():
    found = [Finding("fail", seen="a", explains=frozenset({master(1), lb(1)})), Finding("warn", seen="b"), WARN]
    assert explained(found) == {master(1), lb(1)}


def test_nothing_seen_is_ok():
    assert worst([], otherwise="all of it") == Finding("ok", seen="all of it")


def test_the_summary_names_no_ok():
    assert tally([FAIL, OK, NOTE, NOTE]) == "1 failure, 2 notes"
    assert tally([OK]) == ""


def test_the_table_says_below_what_is_not_ok_why_and_what_to_do():
    assert shown([OK, FAIL, WARN, NOTE]).splitlines() == [
        "      topic  host  seen",
        "ok    node   m1    Ready",
        "FAIL  etcd         no quorum",
        "      -> inv etcd.status",
        "warn  clock  m1    off",
        "      leases",
        "      -> chrony",
        "note  LB     lb2   drained",
    ]


def test_columns_may_be_chosen_and_a_cell_is_one_line():
    assert shown([Finding("note", host="m1", seen="a\nb")], [SEVERITY, HOST, SEEN]).splitlines() == [
        "      host  seen",
        "note  m1    a; b",
    ]


def test_json_has_the_words_of_the_scale():
    assert json.loads(json.dumps(for_machines(Finding("fail", topic="etcd", seen="x", explains=frozenset({master(1)}))))) == {
        "severity": "fail",
        "topic": "etcd",
        "host": "",
        "seen": "x",
        "why": "",
        "fix": "",
    }
