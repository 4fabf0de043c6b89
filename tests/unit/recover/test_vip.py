"""Why a VIP is where it should not be: packet filters with any input, and faults by table."""

import base64
import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runbooks.commands.base import Answer
from runbooks.commands.firewall import Openings
from runbooks.commands.vip import Counters, VipFacts, parse
from runbooks.errors import UnreachableError
from runbooks.recover.rules import vip as rules
from runbooks.recover.rules.load_balancer import LbView
from runbooks.recover.rules.packet_filter import Advert, blockers
from tests.support.fakes import lb, site
from tests.unit.rules.test_lb import HOLDER, STANDBY

pytestmark = pytest.mark.unit

SITE = site()
LB1, LB2 = lb(1), lb(2)
INCOMING = Advert(hook="input", source=LB1.address, destination=LB2.address, interface="eth0")
OUTGOING = Advert(hook="output", source=LB2.address, destination=LB1.address, interface="eth0")
PROTOCOL = {"match": {"op": "==", "left": {"meta": {"key": "l4proto"}}, "right": "vrrp"}}
COUNTER = {"counter": {"packets": 0, "bytes": 0}}


def match(left, right, op="=="):
    return {"match": {"op": op, "left": left, "right": right}}


def address(field, right, op="=="):
    return match({"payload": {"protocol": "ip", "field": field}}, right, op)


def chain(*its_rules, hook="input", policy="accept", family="ip", name="INPUT"):
    """A base chain and its rules, as `nft -j list ruleset` prints them."""
    head = {"family": family, "table": "filter", "name": name, "handle": 1, "type": "filter", "hook": hook, "policy": policy}
    return [{"chain": head}, *(rule(each, number, family, name) for number, each in enumerate(its_rules, start=2))]


def rule(expressions, handle, family="ip", name="INPUT"):
    return {"rule": {"family": family, "table": "filter", "chain": name, "handle": handle, "expr": list(expressions)}}


DROP, ACCEPT, REJECT = {"drop": None}, {"accept": None}, {"reject": {"type": "icmp"}}
JUMPED = [rule([PROTOCOL, DROP], 9, name="mine")]


@pytest.mark.parametrize(
    ("ruleset", "advert", "handle"),
    [
        ([], INCOMING, None),
        (chain(), INCOMING, None),
        (chain([PROTOCOL, COUNTER, DROP]), INCOMING, 2),
        (chain([PROTOCOL, COUNTER, DROP]), OUTGOING, None),
        (chain([PROTOCOL, DROP], hook="output"), OUTGOING, 2),
        (chain([PROTOCOL, REJECT]), INCOMING, 2),
        (chain([PROTOCOL, ACCEPT], [PROTOCOL, DROP]), INCOMING, None),
        (chain([match({"payload": {"protocol": "ip", "field": "protocol"}}, 112), DROP]), INCOMING, 2),
        (chain([address("saddr", str(LB1.address)), DROP]), INCOMING, 2),
        (chain([address("saddr", "10.9.9.9"), DROP]), INCOMING, None),
        (chain([address("saddr", {"prefix": {"addr": "10.1.1.0", "len": 24}}), DROP]), INCOMING, 2),
        (chain([address("saddr", {"set": ["10.9.9.9", str(LB1.address)]}), DROP]), INCOMING, 2),
        (chain([address("saddr", str(LB1.address), "!="), PROTOCOL, DROP]), INCOMING, None),
        (chain([match({"meta": {"key": "iifname"}}, "eth1"), DROP]), INCOMING, None),
        (chain([match({"meta": {"key": "iifname"}}, "eth*"), DROP]), INCOMING, 2),
        (chain([match({"ct": {"key": "state"}}, "established"), ACCEPT], [PROTOCOL, DROP]), INCOMING, 3),
        (chain([match({"meta": {"key": "mark"}}, 7), DROP]), INCOMING, None),
        (chain([match({"meta": {"key": "l4proto"}}, "tcp"), ACCEPT], policy="drop"), INCOMING, 0),
        (chain([PROTOCOL, ACCEPT], policy="drop"), INCOMING, None),
        (chain([PROTOCOL, DROP], family="ip6"), INCOMING, None),
        (chain([PROTOCOL, DROP], family="inet"), INCOMING, 2),
        (chain([{"jump": {"target": "mine"}}]) + JUMPED, INCOMING, 9),
        (chain([PROTOCOL, ACCEPT], [{"jump": {"target": "mine"}}]) + JUMPED, INCOMING, None),
        (chain([{"jump": {"target": "INPUT"}}]), INCOMING, None),  # it goes in a circle, which the kernel forbids
        (JUMPED, INCOMING, None),
    ],
)
def test_what_drops_an_advert(ruleset, advert, handle):
    found = blockers(ruleset, advert)
    assert [each.handle for each in found] == ([] if handle is None else [handle])


def test_each_base_chain_can_drop():
    both = chain([PROTOCOL, DROP]) + chain([PROTOCOL, DROP], family="inet", name="theirs")
    assert [str(each) for each in blockers(both, INCOMING)] == [
        "rule 2 of chain INPUT in table ip filter",
        "rule 2 of chain theirs in table inet filter",
    ]


WORDS = st.sampled_from(
    ["chain", "rule", "expr", "match", "left", "right", "meta", "key", "l4proto", "payload", "field", "saddr", "hook", "input", "drop",
     "jump", "target", "family", "ip", "table", "name", "handle", "policy", "set", "prefix", "addr", "len", "10.1.1.11", "vrrp"]
)  # fmt: skip
ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 300) | WORDS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(WORDS, inner, max_size=4),
    max_leaves=12,
)


@given(st.lists(ANYTHING, max_size=5))
def test_unknown_expressions_drop_nothing_and_raise_nothing(expressions):
    wild = chain([each for each in expressions if not isinstance(each, dict) or not ({"drop", "reject"} & each.keys())])
    assert not any(each.handle for each in blockers(wild, INCOMING))
    blockers(chain(expressions), INCOMING)


# ---- what an LB reports


def test_the_counters_are_the_growth_during_the_sample():
    ruleset = base64.b64encode(json.dumps({"nftables": chain()}).encode()).decode()
    text = (
        "link up\nmac AA:bb:cc:00:00:01\naddress yes\nvip_on eth0\nmasked haproxy\nsaid keepalived Stopped it.\nfull /var\n"
        "counters before 10 100 1\narriving 10.1.1.12 3\nping 10.1.1.12 yes\nanswers_for_vip AA:BB:CC:00:00:02\n"
        f"counters after 12 110 1\nruleset {ruleset}\nvrrp BACKUP\n"
    )
    assert parse(Answer(0, text)) == VipFacts(
        link="up",
        mac="aa:bb:cc:00:00:01",
        address=True,
        vip_on=("eth0",),
        masked=("haproxy",),
        last_log={"keepalived": "Stopped it."},
        full=("/var",),
        counters=Counters(2, 10, 0),
        arriving={"10.1.1.12": 3},
        pings={"10.1.1.12": True},
        answers=("aa:bb:cc:00:00:02",),
        ruleset=tuple(chain()),
        vrrp="BACKUP",
    )
    restarted = text.replace("after 12 110 1", "after 1 5 0")
    assert parse(Answer(0, restarted)).counters == Counters(1, 5, 0)
    with pytest.raises(ValueError, match="unexpected"):
        parse(Answer(0, text.replace("link up\n", "")))


# ---- faults

LOOK = VipFacts(
    link="up",
    mac="aa:00",
    address=True,
    vip_on=(),
    masked=(),
    last_log={},
    full=(),
    counters=Counters(10, 0, 0),
    arriving={},
    pings={"10.1.1.11": True, "10.1.1.12": True},
    answers=(),
    ruleset=(),
)
ONE = LbView(
    state=HOLDER,
    vip=replace(LOOK, vip_on=("eth0",), counters=Counters(0, 10, 0)),
    backends=(),
    missing=(),
    drifted=(),
    unloaded=(),
    closed=Openings(),
    switched_off=(),
    firewalld=False,
)
TWO = replace(ONE, state=STANDBY, vip=replace(LOOK, mac="aa:01"))
ALONE = replace(TWO, state=HOLDER, vip=replace(TWO.vip, vip_on=("eth0",), counters=Counters(0, 10, 0)))


def changed(view, **facts):
    """Return the view with other values, in it or in its ``vip`` or ``state``."""
    looks = {key: value for key, value in facts.items() if key in VipFacts.__dataclass_fields__}
    states = {key: value for key, value in facts.items() if key in type(view.state).__dataclass_fields__}
    own = {key: value for key, value in facts.items() if key in LbView.__dataclass_fields__}
    if "vrrp" in looks and not own:  # what keepalived reports is also recorded
        own = {"noted": looks["vrrp"]}
    return replace(view, **own | {"vip": replace(view.vip, **looks), "state": replace(view.state, **states)})


def causes(one, two):
    return [(each.host, each.seen) for each in rules.faults(SITE, {LB1: one, LB2: two})]


def test_nothing_is_wrong_with_a_whole_pair():
    assert causes(ONE, TWO) == []


@pytest.mark.parametrize(
    ("two", "cause"),
    [
        (changed(TWO, link="down"), "its interface eth0 is down"),
        (changed(TWO, link="missing"), "it has no interface eth0"),
        (changed(TWO, address=False), "eth0 does not have its address 10.1.1.12"),
        (changed(TWO, full=("/var",)), "the disk is full at /var"),
        (changed(TWO, masked=("keepalived",)), "keepalived is masked"),
        (changed(TWO, nonlocal_bind=False), "HAProxy cannot bind the VIP while another LB holds it"),
        (changed(TWO, closed=Openings(("6443/tcp",))), "firewalld does not allow all that is needed"),
        (changed(TWO, switched_off=("haproxy_connect_any",)), "SELinux denies HAProxy its ports"),
        (changed(TWO, drifted=("/etc/x",)), "its configuration differs from hosts.yaml"),
        (changed(TWO, unloaded=("haproxy",)), "haproxy runs with another configuration than its file"),
        (changed(TWO, keepalived=replace(STANDBY.keepalived, active="failed"), vrrp=""), "keepalived is failed"),
        (changed(TWO, haproxy=replace(STANDBY.haproxy, enabled="disabled")), "haproxy would not start at boot"),
        (changed(TWO, backends=None), "haproxy hangs"),
        (changed(TWO, haproxy_down=True), "haproxy is flagged as down although it runs"),
        (changed(TWO, vrrp="FAULT"), "keepalived is neither MASTER nor BACKUP"),
        (changed(TWO, vip_on=("lo",)), "the VIP is on lo, but keepalived did not put it there"),
        (
            changed(TWO, ruleset=tuple(chain([PROTOCOL, DROP])), counters=Counters(0, 0, 0)),
            "its packet filter drops VRRP from lb1",
        ),
        (changed(TWO, noted="MASTER", vrrp="BACKUP"), "its recorded VRRP state is wrong, so lb.status is wrong, too"),
        (changed(TWO, stats=""), "does not serve: the stats page does not answer"),
    ],
)
def test_one_cause_is_one_fault(two, cause):
    assert causes(ONE, two) == [("lb2", cause)]


def test_where_adverts_are_lost():
    """Two holders: the counters and what reached the interface show where the adverts are lost."""
    ways = {
        "VRRP from lb1 is lost on the way": ALONE,
        "something on this host drops VRRP from lb1": changed(ALONE, arriving={"10.1.1.11": 9}),
    }
    for cause, two in ways.items():
        assert ("lb2", cause) in causes(ONE, two)
    mute = changed(ONE, counters=Counters(0, 0, 0))
    assert ("lb1", "is VRRP master, but sends no adverts") in causes(mute, ALONE)
    fresh = changed(ALONE, vrrp_for_s=1)
    assert causes(ONE, fresh) == [("", "the VIP is on lb1 and lb2")]  # it may have become one just now


def test_another_machine_with_the_vip_is_named_only_when_both_lbs_could_be_asked():
    stranger = changed(TWO, answers=("aa:00", "de:ad"))
    assert causes(ONE, stranger) == [("", "another machine answers for the VIP: de:ad")]
    lost = UnreachableError("lb1 (10.1.1.11): no answer")
    assert [host for host, _ in causes(lost, changed(stranger, holds_vip=True, vrrp="MASTER", vip_on=("eth0",)))] == ["lb1"]


def test_a_host_with_a_fault_that_blocks_is_not_repaired():
    seen = {LB1: changed(ONE, full=("/",)), LB2: changed(TWO, backends=None)}
    found = rules.faults(SITE, seen)
    assert rules.repairable(seen, found) == (LB2,)
    assert [each.seen for each in rules.manual(found)] == ["the disk is full at /"]


def test_every_fault_has_a_fix():
    broken = changed(TWO, link="down", address=False, full=("/",), masked=("haproxy",), vip_on=("lo", "eth0"), drifted=("/x",))
    found = rules.faults(SITE, {LB1: UnreachableError("lb1 (10.1.1.11): no answer"), LB2: broken})
    assert found
    assert all(each.fix for each in found)
