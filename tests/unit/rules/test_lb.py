"""Decisions about the pair, by table."""

from dataclasses import replace

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from runbooks.commands.lb import LbState, OtherVip, Unit
from runbooks.rules import lb as rules
from tests.support.fakes import lb

pytestmark = pytest.mark.unit

LB1, LB2 = lb(1), lb(2)
LB3 = msgspec.structs.replace(LB2, name="lb3")
RUNS = Unit("active", "running", "enabled", "now")
STANDBY = LbState(
    haproxy=RUNS,
    keepalived=RUNS,
    holds_vip=False,
    nonlocal_bind=True,
    haproxy_down=False,
    drained=False,
    vrrp="BACKUP",
    vrrp_for_s=100,
    haproxy_loaded="h",
    keepalived_loaded="k",
    haproxy_file="h",
    keepalived_file="k",
    haproxy_runs="m",
    haproxy_mark="m",
    api="open",
    stats="200",
    metrics="200",
)
HOLDER = replace(STANDBY, holds_vip=True, vrrp="MASTER")


def pair(one: LbState, two: LbState) -> dict:
    return {LB1: one, LB2: two}


# ---- order


@pytest.mark.parametrize(
    ("states", "order"),
    [
        (pair(HOLDER, STANDBY), [LB2, LB1]),
        (pair(STANDBY, HOLDER), [LB1, LB2]),
        (pair(STANDBY, STANDBY), [LB2, LB1]),  # lb1 is meant to hold the VIP
        (pair(HOLDER, HOLDER), [LB2, LB1]),
    ],
    ids=["first holds", "second holds", "none", "both"],
)
def test_the_holder_is_changed_last(states, order):
    assert rules.change_order([LB1, LB2], states) == order
    assert rules.change_order([LB2, LB1], states) == order


@given(st.lists(st.booleans(), min_size=2, max_size=5), st.randoms())
def test_order_of_any_number(holding, random):
    hosts = [LB1.__class__(name=f"lb{n}", address=LB1.address, roles=("lb",), priority=200 - n) for n in range(len(holding))]
    states = {host: HOLDER if holds else STANDBY for host, holds in zip(hosts, holding, strict=True)}
    shuffled = random.sample(hosts, len(hosts))
    order = rules.change_order(shuffled, states)
    assert sorted(order, key=str) == sorted(hosts, key=str)
    keys = [(states[host].holds_vip, host.priority) for host in order]
    assert keys == sorted(keys)


@pytest.mark.parametrize(
    ("states", "expected"),
    [(pair(HOLDER, STANDBY), LB2), (pair(STANDBY, HOLDER), LB1), (pair(STANDBY, STANDBY), LB1), (pair(HOLDER, HOLDER), LB1)],
)
def test_standby(states, expected):
    assert rules.standby([LB1, LB2], states) == expected


# ---- a pair?


@pytest.mark.parametrize(
    ("states", "said"),
    [
        (pair(HOLDER, STANDBY), ""),
        (pair(STANDBY, HOLDER), ""),
        (pair(STANDBY, STANDBY), "the VIP is on no LB"),
        (pair(HOLDER, HOLDER), "the VIP is on lb1 and lb2"),
        (pair(replace(HOLDER, vrrp="BACKUP"), STANDBY), "lb1 holds the VIP, but the VRRP master is no LB"),
        (pair(replace(HOLDER, vrrp="BACKUP"), replace(STANDBY, vrrp="MASTER")), "lb1 holds the VIP, but the VRRP master is lb2"),
        (pair(HOLDER, replace(STANDBY, vrrp="MASTER")), "lb1 holds the VIP, but the VRRP master is lb1 and lb2"),
        (pair(HOLDER, replace(STANDBY, api="silent")), "nothing answers on the VIP when asked from lb2"),
        (
            pair(replace(HOLDER, api="silent"), replace(STANDBY, api="silent")),
            "nothing answers on the VIP when asked from lb1 and lb2",
        ),
        (pair(replace(HOLDER, api="refused"), replace(STANDBY, api="refused")), ""),  # no cluster yet
    ],
)
def test_not_a_pair(states, said):
    assert rules.not_a_pair(states) == said


@given(
    st.lists(
        st.sampled_from([HOLDER, STANDBY, replace(STANDBY, vrrp="MASTER"), replace(HOLDER, vrrp="FAULT")]), min_size=2, max_size=2
    )
)
def test_all_is_well_only_with_exactly_one_holder_that_is_the_only_master(both):
    well = not rules.not_a_pair(pair(*both))
    assert well == (
        sum(state.holds_vip for state in both) == 1 == sum(state.vrrp == "MASTER" for state in both) and HOLDER in both
    )


# ---- one LB


def test_nothing_to_say_about_lbs_in_order():
    for state in (HOLDER, STANDBY):
        assert rules.not_serving(state) == ""
        assert rules.not_ready_to_hold(state) == ""
        assert rules.not_running_with(state, "haproxy", "h", "m") == ""
        assert rules.outdated(state) == ""
        assert rules.not_running_with(state, "keepalived", "k") == ""


FAILED = replace(RUNS, active="failed")


@pytest.mark.parametrize(
    ("state", "said"),
    [
        (replace(STANDBY, haproxy=FAILED), "haproxy is failed"),
        (replace(STANDBY, keepalived=replace(RUNS, active="inactive")), "keepalived is inactive"),
        (replace(STANDBY, haproxy_down=True), "haproxy is flagged as down"),
        (replace(STANDBY, haproxy_runs=None), "haproxy does not answer on its socket"),
        (replace(STANDBY, haproxy=FAILED, haproxy_runs=None), "haproxy is failed"),
        (replace(STANDBY, vrrp="FAULT"), "keepalived is in state FAULT"),
        (replace(STANDBY, vrrp=""), "keepalived is in state unknown"),
    ],
)
def test_who_must_not_get_the_vip_does_not_serve_either(state, said):
    assert rules.not_ready_to_hold(state) == said
    assert rules.not_serving(state) == said


@pytest.mark.parametrize(
    ("state", "said"),
    [
        (replace(STANDBY, stats=""), "the stats page does not answer"),
        (replace(STANDBY, stats="503"), "the stats page does not answer"),
        (replace(STANDBY, metrics="404"), "the metrics do not answer"),
        (replace(STANDBY, stats="", metrics=""), "the stats page does not answer; the metrics do not answer"),
    ],
)
def test_who_may_hold_the_vip_but_does_not_serve(state, said):
    assert rules.not_ready_to_hold(state) == ""
    assert rules.not_serving(state) == said


def test_a_drained_lb_is_in_order():
    assert rules.not_serving(replace(STANDBY, drained=True)) == ""


@pytest.mark.parametrize(
    ("state", "unit", "sha", "said"),
    [
        (STANDBY, "haproxy", "other", "haproxy runs with another configuration"),
        (STANDBY, "keepalived", "h", "keepalived runs with another configuration"),
        (
            replace(STANDBY, haproxy=replace(RUNS, enabled="disabled")),
            "haproxy",
            "h",
            "haproxy is disabled, so it would not start at boot",
        ),
        (replace(STANDBY, haproxy_down=True), "haproxy", "h", "haproxy is flagged as down"),
        (replace(STANDBY, haproxy_down=True), "keepalived", "k", ""),
        (replace(STANDBY, keepalived=FAILED), "haproxy", "h", ""),
        (replace(STANDBY, keepalived=FAILED), "keepalived", "k", "keepalived is failed"),
    ],
)
def test_not_running_with(state, unit, sha, said):
    assert rules.not_running_with(state, unit, sha, "m") == said


@pytest.mark.parametrize(
    ("runs", "mark", "said"),
    [
        ("m", "m", ""),
        ("older", "m", "haproxy runs with another configuration"),
        ("", "m", "haproxy runs with another configuration"),  # somebody else's configuration
        (None, "m", ""),  # it hangs: a reload would not help
        ("", "", ""),  # a configuration of an earlier build, or from before lb.setup
        ("m", "", "haproxy runs with another configuration"),
    ],
)
def test_haproxy_itself_says_what_it_runs(runs, mark, said):
    assert rules.not_running_with(replace(STANDBY, haproxy_runs=runs), "haproxy", "h", mark) == said
    assert rules.not_running_with(replace(STANDBY, haproxy_runs=runs), "keepalived", "k") == ""


HAPROXY_IS_LEFT_BEHIND = "haproxy runs another configuration than its file has"


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"haproxy_mark": "newer"}, HAPROXY_IS_LEFT_BEHIND),
        ({"haproxy_file": "edited"}, HAPROXY_IS_LEFT_BEHIND),
        ({"haproxy_loaded": "", "haproxy_file": "edited"}, ""),  # reloaded by somebody: it may well run the edited file
        ({"haproxy_runs": None, "haproxy_mark": "newer"}, ""),
        ({"haproxy": replace(RUNS, active="failed"), "haproxy_mark": "newer"}, ""),
        ({"keepalived_file": "edited"}, "keepalived runs another configuration than its file has"),
        ({"keepalived_loaded": "", "keepalived_file": "edited"}, ""),
    ],
)
def test_outdated(more, said):
    assert rules.outdated(replace(STANDBY, **more)) == said


@pytest.mark.parametrize(
    ("service", "said"),
    [
        (Unit("inactive", "dead", "disabled", ""), ""),
        (Unit("inactive", "dead", "", ""), ""),
        (Unit("inactive", "dead", "enabled", ""), "keepalived is inactive and enabled"),
        (Unit("active", "running", "disabled", ""), "keepalived is active and disabled"),
    ],
)
def test_not_stopped(service, said):
    assert rules.not_stopped(replace(STANDBY, keepalived=service), "keepalived") == said


def test_all_reasons_are_told_at_once():
    state = replace(STANDBY, haproxy=Unit("inactive", "dead", "", ""), haproxy_loaded="")
    said = rules.not_running_with(state, "haproxy", "h", "m")
    assert said.split("; ") == [
        "haproxy is inactive",
        "haproxy is not installed, so it would not start at boot",
        "haproxy runs with another configuration",
    ]


# ---- packages


@pytest.mark.parametrize(
    ("packages", "said"),
    [
        ({}, ""),
        ({"haproxy": "2.6.12-1+deb12u4", "keepalived": "1:2.2.7-1+b2", "socat": "1.7.4.4-2"}, ""),
        ({"haproxy": "2.4.22-3.el9", "keepalived": "2.2.8-4.el9"}, ""),
        ({"haproxy": "3.0.5", "keepalived": "10.0"}, ""),
        ({"haproxy": "2.3.9"}, "haproxy 2.3.9 is too old (2.4 or newer is needed)"),
        (
            {"haproxy": "1.8.27-5.el8", "keepalived": "1:2.1.5-9.el8"},
            "haproxy 1.8.27-5.el8 is too old (2.4 or newer is needed); keepalived 1:2.1.5-9.el8 is too old (2.2 or newer is needed)",
        ),
        ({"haproxy": ""}, ""),
        ({"haproxy": "unknown"}, ""),
    ],
)
def test_too_old(packages, said):
    assert rules.too_old(packages) == said


def test_a_switch_that_was_interrupted_is_seen():
    stopped = replace(STANDBY, keepalived=replace(STANDBY.keepalived, active="inactive", enabled="disabled"))
    proved = replace(STANDBY, keepalived_loaded="a", keepalived_file="a")
    old = replace(STANDBY, keepalived_loaded="", keepalived_file="b")
    assert rules.half_switched({LB1: old, LB2: stopped})
    assert rules.half_switched({LB1: proved, LB2: stopped})  # it may be loading the file still
    assert not rules.half_switched({LB1: proved, LB2: stopped, LB3: proved})
    assert rules.half_switched({LB1: old, LB2: stopped, LB3: proved})
    assert not rules.half_switched({LB1: old, LB2: proved})
    assert not rules.half_switched({LB1: stopped, LB2: stopped})
    failed = replace(stopped, keepalived=replace(stopped.keepalived, enabled="enabled"))
    assert not rules.half_switched({LB1: proved, LB2: failed})
    assert not rules.half_switched({LB1: old, LB2: failed})


# ---- load balancers that somebody else has set up

THEIRS = replace(STANDBY, vrrp="", haproxy_runs=None, stats="", metrics="", haproxy_loaded="", keepalived_loaded="", foreign=True)
THEIR_HOLDER = replace(THEIRS, holds_vip=True)


def test_what_only_our_own_files_tell_is_no_fault_of_theirs():
    assert rules.not_serving(THEIRS) == rules.not_ready_to_hold(THEIRS) == rules.outdated(THEIRS) == ""
    assert rules.not_serving(replace(THEIRS, foreign=False))
    assert rules.not_a_pair(pair(THEIR_HOLDER, THEIRS)) == ""
    assert rules.not_ours(pair(THEIR_HOLDER, THEIRS)) == f"lb1 and lb2: {rules.FOREIGN}"
    assert rules.not_ours(pair(HOLDER, STANDBY)) == ""


@pytest.mark.parametrize(
    ("states", "wrong"),
    [
        (pair(THEIRS, THEIRS), "the VIP is on no LB"),
        (pair(THEIR_HOLDER, THEIR_HOLDER), "the VIP is on lb1 and lb2"),
        (pair(replace(THEIR_HOLDER, api="silent"), THEIRS), "nothing answers on the VIP when asked from lb1"),
    ],
)
def test_what_can_be_seen_of_theirs_is_still_judged(states, wrong):
    assert rules.not_a_pair(states) == wrong


def test_their_services_have_to_run():
    stopped = replace(RUNS, active="failed")
    assert rules.not_serving(replace(THEIRS, haproxy=stopped)) == "haproxy is failed"
    assert rules.not_ready_to_hold(replace(THEIRS, keepalived=stopped)) == "keepalived is failed"


def test_the_only_one_that_runs_must_be_master_of_every_vip():
    assert rules.not_master(HOLDER) == ""
    assert rules.not_master(replace(HOLDER, vrrp="BACKUP")) == "the VIP is there, keepalived says BACKUP"
    assert rules.not_master(replace(HOLDER, vrrp="")) == "the VIP is there, keepalived says nothing"
    assert rules.not_master(STANDBY) == "the VIP is not there, keepalived says BACKUP"
    other = OtherVip("shop", holds=True, vrrp="BACKUP", vrrp_for_s=1)
    assert rules.not_master(replace(HOLDER, others=(other,))) == "the VIP shop is there, keepalived says BACKUP"
