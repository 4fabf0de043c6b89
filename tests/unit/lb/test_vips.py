"""Several VIPs on one pair: the files, who is drained for which hand-over, whose keepalived.conf it is."""

from __future__ import annotations

from dataclasses import replace

import pytest
from msgspec.structs import replace as changed

from lab import twin
from runbooks.commands import lb, lb_config
from runbooks.commands.base import Answer
from runbooks.commands.drill import cut
from runbooks.commands.lb import OtherVip
from runbooks.commands.lb_claims import Claims, Present
from runbooks.commands.lb_paths import HAPROXY_CFG, KEEPALIVED_CONF
from runbooks.doctor.rules.pair import pair as doctor
from runbooks.inventory.model import Site
from runbooks.lb.files import lb_files
from runbooks.lb.wanted import Wanted
from runbooks.monitor.rules import vip as alerts
from runbooks.monitor.rules.scope import Scope
from runbooks.rules import lb as rules
from runbooks.rules import lb_claims
from tests.support.fakes import lb as host
from tests.support.fakes import site
from tests.support.vips import INGRESS, two_vips
from tests.unit.rules.test_lb import HOLDER, STANDBY

pytestmark = pytest.mark.unit

LB1, LB2 = host(1), host(2)
SHOP = changed(INGRESS, name="shop", address=INGRESS.address + 1, vrrp_id=53, serves=(), prefer=None)


def files(of: Site, number: int = 1) -> dict[str, str]:
    return {each.path: each.content for each in lb_files(of, host(number), None)}


def ingress(vrrp: str, *, holds: bool | None = None, for_s: int = 100) -> tuple[OtherVip, ...]:
    return (OtherVip("ingress", vrrp == "MASTER" if holds is None else holds, vrrp, for_s),)


SHARED = {LB1: replace(HOLDER, others=ingress("BACKUP")), LB2: replace(STANDBY, others=ingress("MASTER"))}


# ---- the files


def test_each_vip_is_a_virtual_router_of_its_own_with_its_own_first_lb():
    one, two = (files(two_vips(), number)[KEEPALIVED_CONF] for number in (1, 2))
    assert lb_config.instances(one) == ["ha-cluster", "ha-cluster-ingress"]
    assert lb_config.virtual_addresses(one) == ["10.1.1.100", "10.1.1.110"]
    for text, priorities in ((one, [254, 253]), (two, [253, 254])):
        words = [line.split() for line in text.splitlines()]
        assert [int(each[1]) for each in words if each[:1] == ["priority"]] == priorities
        assert [int(each[1]) for each in words if each[:1] == ["virtual_router_id"]] == [51, 52]
        assert [each[2:] for each in words if each[:1] == ["notify"]] == [['state"'], ["vip", "ha-cluster", 'ingress"']]


def test_the_first_instance_is_what_it_is_without_another_vip():
    bare, more = files(site()), files(two_vips())
    assert more[KEEPALIVED_CONF].startswith(bare[KEEPALIVED_CONF])


def test_the_ingress_listens_on_its_own_vip_and_no_more_on_the_one_of_the_api():
    at = {each.proxy: str(each) for each in lb_config.binds(files(two_vips())[HAPROXY_CFG])}
    assert (at["api"], at["ingress-http"], at["ingress-https"]) == ("10.1.1.100:6443", "10.1.1.110:80", "10.1.1.110:443")


def test_when_keepalived_ends_every_vip_is_deleted():
    (unit,) = [text for path, text in files(two_vips()).items() if "keepalived.service.d" in path]
    assert [line.split()[-2] for line in unit.splitlines() if " gone " in line] == ["10.1.1.100", "10.1.1.110"]


def test_the_lab_and_the_drills_know_every_vip():
    first = next(site().networks.management.hosts())
    taken = changed(two_vips(), load_balancer=changed(two_vips().load_balancer, vips=(changed(INGRESS, address=first),)))
    assert str(twin.gateway(site())) == str(first)
    assert str(twin.gateway(taken)) != str(first)
    assert cut("lb", site(), LB1, vip=True).variables["VIP"] == "10.1.1.100"
    assert cut("lb", two_vips(), LB1, vip=True).variables["VIP"] == "{ 10.1.1.100, 10.1.1.110 }"


def test_alerts_name_only_the_vips_of_hosts_yaml():
    names = {alert.name for alert in alerts.group(Scope(two_vips())).alerts} - {
        alert.name for alert in alerts.group(Scope(site())).alerts
    }
    assert names == {"OtherVIPWithoutHolder", "OtherVIPHeldTwice"}
    both = changed(two_vips(), load_balancer=changed(two_vips().load_balancer, vips=(INGRESS, SHOP)))
    exprs = [alert.expr for alert in alerts.group(Scope(both)).alerts if alert.name in names]
    assert all('vip=~"ingress|shop"' in expr for expr in exprs)


# ---- whose keepalived.conf


def foreign(of: Site, text: str) -> list[str]:
    present = {KEEPALIVED_CONF: Present(text, default=False)}
    return lb_claims.foreign(of, LB1, Claims(listeners=(), files=present, named={}, running={}))


@pytest.mark.parametrize("now", [site(), two_vips()], ids=["taken out of hosts.yaml", "still there"])
def test_an_instance_of_lb_setup_is_ours_also_when_it_is_no_more_in_hosts_yaml(now):
    assert foreign(now, files(two_vips())[KEEPALIVED_CONF]) == []


def test_what_somebody_has_added_to_such_an_instance_is_not():
    text = files(two_vips())[KEEPALIVED_CONF].replace(
        "10.1.1.110/32 dev eth0", "10.1.1.110/32 dev eth0\n        10.1.1.9/32 dev eth0"
    )
    (line,) = foreign(two_vips(), text)
    assert line.endswith("somebody has added the VIP 10.1.1.9")
    by_hand = "vrrp_instance mine {\n    virtual_ipaddress {\n        10.1.1.8/32\n    }\n}\n"
    (line,) = foreign(two_vips(), files(two_vips())[KEEPALIVED_CONF] + by_hand)
    assert line.endswith("somebody has added the VRRP instance mine, the VIP 10.1.1.8")


def test_an_earlier_configuration_is_judged_by_its_own_vips():
    state = replace(STANDBY, others=ingress(""))
    earlier, now = (Wanted(two_vips(), LB1, lb_files(of, LB1, None)) for of in (site(), two_vips()))
    assert lb_config.other_names(now.text(KEEPALIVED_CONF)) == ["ingress"]
    assert now.judged(state) == state
    assert rules.not_serving(earlier.judged(state)) == ""


# ---- the state


def test_the_state_of_every_vip_is_read():
    text = (
        "haproxy.ActiveState active\nhaproxy.SubState x\nhaproxy.ActiveEnterTimestamp x\nkeepalived.ActiveState {}\n"
        "keepalived.SubState x\nkeepalived.ActiveEnterTimestamp x\nholds 1\nvip.ingress 0 BACKUP 990\nvip.shop 1 \nnonlocal_bind 1\n"
        "haproxy_down 0\ndrain \nvrrp_state MASTER 900\nhaproxy.cfg.loaded \nkeepalived.conf.loaded \nprocess.haproxy 1\n"
        "process.keepalived 2\nhaproxy.cfg.file a\nkeepalived.conf.file b\nfile_mark m\nclock 1000\napi open\n"
    )
    state = lb.parse_state(Answer(0, text.format("active")))
    assert state.others == (OtherVip("ingress", False, "BACKUP", 10), OtherVip("shop", True, "", 0))
    assert state.holds_any
    assert lb.parse_state(Answer(0, text.format("failed"))).others[0].vrrp == ""


@pytest.mark.parametrize(
    ("one", "two", "said"),
    [
        (ingress("BACKUP"), ingress("MASTER"), ""),
        (ingress("MASTER"), ingress("MASTER"), "the VIP ingress is on lb1 and lb2"),
        (ingress("BACKUP"), ingress("BACKUP"), "the VIP ingress is on no LB"),
        (ingress("BACKUP", holds=True), ingress("MASTER", holds=False), "lb1 holds the VIP ingress, but the VRRP master is lb2"),
        (ingress("BACKUP"), (), "the VIP ingress is on no LB"),
    ],
)
def test_every_vip_has_to_be_on_one_lb(one, two, said):
    assert rules.not_a_pair({LB1: replace(HOLDER, others=one), LB2: replace(STANDBY, others=two)}) == said


def test_the_doctor_says_whose_clients_suffer():
    twice = {LB1: replace(HOLDER, others=ingress("MASTER")), LB2: replace(STANDBY, others=ingress("MASTER"))}
    (found,) = doctor(twice)
    assert (found.severity, found.why) == ("fail", "clients of that VIP reach one LB or the other at random")
    nobody = {LB1: replace(STANDBY, others=ingress("BACKUP")), LB2: replace(STANDBY, others=ingress("BACKUP"))}
    (found,) = doctor(nobody)
    assert found.why == "clients reach no API server"


def test_an_lb_that_is_in_fault_for_one_vip_serves_not():
    assert rules.not_serving(replace(HOLDER, others=ingress("FAULT"))) == "keepalived is in state FAULT for the VIP ingress"
    assert rules.not_serving(replace(HOLDER, vrrp="FAULT", others=ingress("FAULT"))) == "keepalived is in state FAULT"


def test_of_the_standbys_one_without_any_vip_is_changed_first():
    third = changed(LB1, name="lb3", priority=1)
    states = {LB1: HOLDER, LB2: replace(STANDBY, others=ingress("BACKUP")), third: replace(STANDBY, others=ingress("MASTER"))}
    assert rules.change_order(list(states), states) == [LB2, third, LB1]


# ---- who is drained


def test_to_get_every_vip_all_are_drained_that_any_vip_prefers():
    assert rules.drains_for_all(two_vips(), LB1) == {LB1: False, LB2: True}
    assert rules.drains_for_all(two_vips(), LB2) == {LB1: True, LB2: False}
    for target in (LB1, LB2):  # without another VIP it is as ever
        assert rules.drains_for_all(site(), target) == rules.drains(site().load_balancers, target)


def test_a_drained_lb_must_not_keep_a_vip():
    wanted = rules.drains_for_all(two_vips(), LB1)
    before = {LB1: SHARED[LB1], LB2: replace(SHARED[LB2], drained=True)}
    assert rules.not_handed_over(before, LB1, wanted) == "the VIP ingress is still on lb2"
    after = {
        LB1: replace(HOLDER, others=ingress("MASTER")),
        LB2: replace(STANDBY, drained=True, others=ingress("BACKUP")),
    }
    assert rules.not_handed_over(after, LB1, wanted) == ""
    assert rules.not_handed_over(after, LB1, rules.drains(site().load_balancers, LB1)) == "lb2 is still drained"
