"""The VIP with every kind of fault, and a replaced load balancer: the cause is named, and exactly one LB holds the VIP.

The tests build on one another in the order of this file.
"""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from lab.control import Lab
from runbooks.recover.rules.load_balancer import SETTLED_S
from tests.lab.lb.test_setup import CFG, LBS
from tests.support.operator import Operator, holders, vip_on
from tests.support.waiting import eventually

pytestmark = pytest.mark.lab

CONF = "/etc/keepalived/keepalived.conf"


@pytest.fixture(scope="module")
def operator(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Operator]:
    """An operator whose pair is set up. The LBs are reset afterwards."""
    made = Operator(lab, tmp_path_factory.mktemp("vip"))
    lab.on(*LBS, "worker1")
    lab.heal(*LBS)
    made.good("lb.setup", timeout_s=300)
    # The second one that is set up takes the VIP from the first one, a moment later.
    eventually(lambda: (holders(lab), [state(made, host) for host in LBS]), (["lb1"], ["MASTER", "BACKUP"]))
    yield made
    lab.reset(*LBS)


def shell(operator: Operator, host: str, text: str) -> str:
    return operator.lab.console(host, ["bash", "-c", text], check=True).stdout


def findings(text: str) -> list[dict[str, Any]]:
    return [event for event in map(json.loads, text.splitlines()) if event["event"] == "finding"]


def changes(text: str) -> list[tuple[str, str]]:
    events = [event for event in map(json.loads, text.splitlines()) if event["event"] == "change"]
    return [(event["host"], event["command"].split()[0]) for event in events]


def state(operator: Operator, host: str) -> str:
    return shell(operator, host, "cut -d' ' -f1 /run/ha-runbooks/vrrp_state || true").strip()


def age_s(operator: Operator, host: str) -> int:
    return int(shell(operator, host, "read -r _ since </run/ha-runbooks/vrrp_state; echo $(($(date +%s) - since))"))


@contextmanager
def filtered(operator: Operator) -> Iterator[None]:
    """Rules of the operator drop VRRP: by iptables on lb1, by nftables on lb2. Afterwards those rules are still there."""
    theirs = "nft add table inet theirs; nft add chain inet theirs in '{ type filter hook input priority 0; policy accept; }'"
    shell(operator, "lb1", "iptables -A INPUT -p 112 -j DROP")
    shell(operator, "lb2", f"{theirs}; nft add rule inet theirs in meta l4proto 112 counter drop")
    try:
        yield
        assert "-A INPUT -p vrrp -j DROP" in shell(operator, "lb1", "iptables -S")
        assert "drop" in shell(operator, "lb2", "nft list table inet theirs")
    finally:
        shell(operator, "lb1", "iptables -F INPUT")
        shell(operator, "lb2", "nft delete table inet theirs")


def test_when_nothing_is_wrong_nothing_is_changed(operator: Operator) -> None:
    text = operator.good("recover.vip", "--json")
    assert findings(text) == []
    assert changes(text) == []
    assert "nothing is wrong with the VIP" in text


def test_vrrp_blocked_between_them_makes_two_holders_and_then_one_again(operator: Operator) -> None:
    with filtered(operator):
        vip_on(operator.lab, "lb1", "lb2")
        plan = operator.good("recover.vip", "--plan", "--json")
        assert {(each["host"], each["seen"]) for each in findings(plan)} == {
            ("lb1", "its packet filter drops VRRP from lb2"),
            ("lb2", "its packet filter drops VRRP from lb1"),
        }
        assert holders(operator.lab) == ["lb1", "lb2"]

        done = operator.good("recover.vip", "--json")
        assert {each["evidence"].partition(" of ")[2] for each in findings(done)} == {
            "chain INPUT in table ip filter",
            "chain in in table inet theirs",
        }
        assert set(changes(done)) == {("lb1", "vip-accept"), ("lb2", "vip-accept")}
        assert holders(operator.lab) == ["lb1"]
        assert "nothing is wrong" in operator.good("recover.vip")


@pytest.mark.long
def test_a_drop_of_unknown_cause_is_narrowed_down_and_nothing_is_changed(operator: Operator) -> None:
    """A rule that this tool cannot evaluate: adverts reach the interface, but keepalived does not receive them."""
    theirs = "nft add table inet theirs; nft add set inet theirs bad '{ type inet_proto; elements = { 112 } }'"
    theirs += "; nft add chain inet theirs in '{ type filter hook input priority 0; policy accept; }'"
    for host in LBS:
        shell(operator, host, f"{theirs}; nft add rule inet theirs in meta l4proto @bad drop")
    try:
        eventually(lambda: [state(operator, host) for host in LBS], ["MASTER", "MASTER"])
        eventually(lambda: all(age_s(operator, host) > SETTLED_S for host in LBS), expected=True)
        done = operator.inv("recover.vip", "--json")
        assert done.returncode == 1, done.stdout + done.stderr
        found = {each["host"]: each for each in findings(done.stdout)}
        assert {host: each["seen"] for host, each in found.items()} == {
            "lb1": "something on this host drops VRRP from lb2",
            "lb2": "something on this host drops VRRP from lb1",
        }
        assert all("reached its interface" in each["evidence"] for each in found.values())
        assert changes(done.stdout) == []
        assert "on lb1: nft list ruleset" in done.stderr
    finally:
        for host in LBS:
            shell(operator, host, "nft delete table inet theirs")
    vip_on(operator.lab, "lb1")


@pytest.mark.long
def test_a_wrong_recorded_state_is_corrected(operator: Operator) -> None:
    """keepalived does not wait for the notify script, so on a busy machine an earlier state may be recorded last."""
    eventually(lambda: [state(operator, host) for host in LBS], ["MASTER", "BACKUP"])  # the hook of the test before has ended
    shell(operator, "lb2", 'echo "MASTER $(($(date +%s) - 60))" >/run/ha-runbooks/vrrp_state')
    assert operator.inv("lb.status").returncode == 1
    done = operator.good("recover.vip", "--json")
    assert [each["evidence"] for each in findings(done)] == ["/run/ha-runbooks/vrrp_state says MASTER, keepalived says BACKUP"]
    assert changes(done) == [("lb2", "vip-note")]
    operator.well("lb.status")


@pytest.mark.long
def test_keepalived_stopped_on_both(operator: Operator) -> None:
    for host in LBS:
        shell(operator, host, "systemctl stop keepalived")
    assert holders(operator.lab) == []
    done = operator.good("recover.vip", "--json")
    assert [(each["host"], each["seen"]) for each in findings(done)] == [(host, "keepalived is inactive") for host in LBS]
    assert changes(done) == [("lb2", "lb-run"), ("lb1", "lb-run")]
    vip_on(operator.lab, "lb1")


@pytest.mark.long
def test_haproxy_that_hangs_on_the_holder_and_is_masked_on_the_standby(operator: Operator) -> None:
    """One LB is repaired although a person has to repair the other one; the message says how."""
    shell(operator, "lb2", "systemctl stop haproxy && systemctl mask --runtime haproxy")
    shell(operator, "lb1", f"echo '# drifted' >>{CFG}; kill -STOP $(pidof haproxy)")
    try:
        eventually(lambda: operator.lab.console("lb1", ["test", "-e", "/run/ha-runbooks/hung"]).returncode, 0)
        assert holders(operator.lab) == ["lb1"]  # nobody else could take it
        done = operator.inv("recover.vip", "--json")
        assert done.returncode == 5, done.stdout + done.stderr
        assert {(each["host"], each["seen"]) for each in findings(done.stdout)} >= {
            ("lb1", "haproxy hangs"),
            ("lb2", "haproxy is masked"),
        }
        assert "on lb2: systemctl unmask haproxy" in done.stderr
        assert changes(done.stdout) == [("lb1", "lb-apply"), ("lb1", "vip-restart")]  # a hung HAProxy cannot be reloaded
        assert holders(operator.lab) == ["lb1"]
    finally:
        shell(operator, "lb2", "systemctl unmask --runtime haproxy")
    assert ("lb2", "lb-run") in changes(operator.good("recover.vip", "--json"))
    eventually(lambda: state(operator, "lb2"), "BACKUP")


def test_a_drifted_configuration_is_put_back(operator: Operator) -> None:
    shell(operator, "lb2", f"sed -i 's/virtual_router_id .*/virtual_router_id 77/' {CONF} && systemctl reload keepalived")
    vip_on(operator.lab, "lb1", "lb2")
    done = operator.good("recover.vip", "--json")
    (only,) = findings(done)
    assert (only["host"], only["seen"], only["evidence"]) == ("lb2", "its configuration differs from hosts.yaml", CONF)
    assert ("lb2", "lb-apply") in changes(done)
    assert holders(operator.lab) == ["lb1"]


def test_the_vip_added_by_hand_is_taken_away(operator: Operator) -> None:
    shell(operator, "lb2", "ip address add 10.1.1.100/32 dev lo")
    done = operator.good("recover.vip", "--json")
    assert [(each["host"], each["seen"]) for each in findings(done)] == [
        ("lb2", "the VIP is on lo, but keepalived did not put it there")
    ]
    assert holders(operator.lab) == ["lb1"]


@pytest.mark.long
def test_an_lb_without_its_address_is_reported_with_the_commands_for_its_console(operator: Operator) -> None:
    shell(operator, "lb1", "ip address delete 10.1.1.11/24 dev eth0")
    try:
        eventually(lambda: "lb2" in holders(operator.lab), expected=True)
        done = operator.inv("recover.vip", "--json")
        assert done.returncode == 5, done.stdout + done.stderr
        (only,) = findings(done.stdout)
        assert only["host"] == "lb1"
        assert "ip -br address show dev eth0 (is 10.1.1.11 there, is it UP?)" in only["fix"]
    finally:
        shell(operator, "lb1", "ip address add 10.1.1.11/24 dev eth0")
    vip_on(operator.lab, "lb1")


@pytest.mark.long
def test_an_interrupted_repair_is_resumed(operator: Operator) -> None:

    for host in LBS:
        shell(operator, host, "systemctl stop keepalived")
    assert operator.strike(1, signal.SIGKILL, "recover.vip") == -signal.SIGKILL
    operator.good("recover.vip", "--resume")
    vip_on(operator.lab, "lb1")
    assert "nothing is wrong" in operator.good("recover.vip")


# ---- recover.lb


def test_an_lb_that_is_fine_has_nothing_to_recover(operator: Operator) -> None:
    for host in LBS:
        operator.idle("recover.lb", "--host", host)
    refused = operator.inv("recover.lb", "--host", "master1")
    assert (refused.returncode, "no load balancer" in refused.stderr) == (2, True)


def test_a_replaced_holder_comes_back_only_when_it_is_trusted_and_the_vip_stays(operator: Operator) -> None:
    """The LB of higher priority was replaced: it must not take the VIP when it starts."""
    operator.lab.reset("lb1", trust=False)
    vip_on(operator.lab, "lb2")
    since = shell(operator, "lb2", "cat /run/ha-runbooks/vrrp_state")
    refused = operator.inv("recover.lb", "--host", "lb1")
    assert refused.returncode == 4
    assert "inv site.trust --host lb1 --replace" in refused.stderr
    assert shell(operator, "lb1", "ls -A /etc/keepalived 2>/dev/null || true") == ""

    operator.good("site.trust", "--host", "lb1", "--replace", "--yes")
    text = operator.good("recover.lb", "--host", "lb1", timeout_s=300)
    assert "to hand it back: inv lb.failover" in text
    assert holders(operator.lab) == ["lb2"]
    assert shell(operator, "lb2", "cat /run/ha-runbooks/vrrp_state") == since  # it never moved

    operator.good("lb.failover")
    assert holders(operator.lab) == ["lb1"]
    operator.well("lb.status")


@pytest.mark.long
def test_without_another_one_that_serves_nothing_is_changed(operator: Operator) -> None:
    operator.lab.reset("lb2")
    shell(operator, "lb1", "systemctl stop keepalived")
    try:
        refused = operator.inv("recover.lb", "--host", "lb2")
        assert refused.returncode == 3, refused.stdout + refused.stderr
        assert "first inv recover.vip" in refused.stderr
    finally:
        operator.good("recover.vip", timeout_s=300)
    assert holders(operator.lab) == ["lb1"]
    operator.idle("recover.lb", "--host", "lb2")
