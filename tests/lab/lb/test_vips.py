"""Two VIPs on a real pair, and sections of the operator's own: added to a pair that serves, moved, taken away again.

The tests depend on one another, in the order of this file.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from lab.control import Lab
from tests.support.operator import REFUSES, Operator, holders, sh, vip_on
from tests.support.waiting import eventually

pytestmark = pytest.mark.lab

LBS = ("lb1", "lb2")
VIP = "10.1.1.110"
INGRESS = {"name": "ingress", "address": VIP, "vrrp_id": 52, "serves": ["ingress"], "prefer": "lb2"}
SHOP = "# the shop\nlisten shop\n    mode http\n    bind 10.1.1.110:8080\n    http-request return status 200 content-type text/plain string open\n"
# Opens connections through the VIP of the API until it is told that it was enough; prints how many, and how many failed.
WATCH = """
tried=0 failed=0
until [ -e /run/enough ]; do
    tried=$((tried + 1))
    timeout 5 bash -c 'exec 3<>/dev/tcp/10.1.1.100/6443' 2>/dev/null || failed=$((failed + 1))
    sleep 0.02
done
echo $tried $failed
"""


@pytest.fixture(scope="module")
def operator(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Operator]:
    """An operator, and two LBs in service with the VIP of the API."""
    operator = Operator(lab, tmp_path_factory.mktemp("operator"))
    operator.good("lb.setup")
    yield operator
    for host in LBS:
        lab.console(host, ["systemctl", "start", "haproxy", "keepalived"])


def with_more(
    operator: Operator, *, files: tuple[str, ...] = ("shop.cfg",), vips: tuple[dict[str, Any], ...] = (INGRESS,)
) -> None:
    operator.edit(lambda content: content["load_balancer"].update(vips=list(vips), haproxy_files=list(files)))


def shop(lab: Lab) -> str:
    """What a client of the second VIP gets, asked from a worker."""
    get = "exec 3<>/dev/tcp/10.1.1.110/8080 && printf 'GET / HTTP/1.0\\r\\n\\r\\n' >&3 && tail -n 1 <&3"
    return lab.console("worker1", ["timeout", "3", "bash", "-c", get]).stdout.strip()


def unnoticed(operator: Operator, *words: str) -> str:
    """Run a command while a worker opens connections through the API's VIP; none may fail. Return what it printed."""
    operator.lab.console("worker1", ["rm", "-f", "/run/enough"], check=True)
    with ThreadPoolExecutor(1) as pool:
        watch = pool.submit(operator.lab.console, "worker1", ["bash", "-c", WATCH])
        try:
            said = operator.good(*words)
        finally:
            operator.lab.console("worker1", ["touch", "/run/enough"], check=True)
        tried, failed = map(int, watch.result().stdout.split())
    assert tried > 10
    assert failed == 0
    return said


def test_what_is_wrong_in_a_file_is_said_before_any_host_is_touched(operator: Operator) -> None:
    (operator.directory / "shop.cfg").write_text("global\nlisten stats\n    bind *:6443\n")
    with_more(operator)
    done = operator.inv("lb.setup")
    assert done.returncode == 2
    assert [f"shop.cfg:{line}: " in done.stderr for line in (1, 2, 3)] == [True] * 3
    (operator.directory / "shop.cfg").write_text(SHOP.replace("mode http", "mood http"))
    done = operator.inv("lb.setup")
    assert done.returncode == REFUSES
    assert re.search(r"shop\.cfg:3\] : unknown keyword 'mood'", done.stdout + done.stderr)
    assert holders(operator.lab, VIP) == []


def test_an_address_that_another_machine_has_is_refused_before_anything_is_changed(operator: Operator) -> None:
    (operator.directory / "shop.cfg").write_text(SHOP)
    before = sh(operator, "lb1", "cat /etc/keepalived/keepalived.conf")
    sh(operator, "worker1", f"ip address add {VIP}/24 dev eth0; sysctl -qw net.ipv4.icmp_echo_ignore_all=1")
    try:
        done = operator.inv("lb.setup")
    finally:
        sh(operator, "worker1", f"ip address del {VIP}/24 dev eth0; sysctl -qw net.ipv4.icmp_echo_ignore_all=0")
    assert done.returncode == REFUSES, done.stdout
    assert f"{VIP} (load_balancer.vips, ingress) is in use: worker1 has it, hardware address" in done.stderr
    assert sh(operator, "lb1", "cat /etc/keepalived/keepalived.conf") == before
    assert holders(operator.lab, VIP) == []


def test_a_second_vip_and_a_section_are_added_and_nobody_notices(operator: Operator) -> None:
    (operator.directory / "shop.cfg").write_text(SHOP)
    assert "listen shop" in unnoticed(operator, "lb.setup", "--diff")
    operator.idle("lb.setup")
    vip_on(operator.lab, "lb1")
    eventually(lambda: holders(operator.lab, VIP), ["lb2"])  # which it prefers
    eventually(lambda: shop(operator.lab), "open")
    told = json.loads(operator.well("lb.status", "--json"))["lbs"]
    assert {host: [(each["name"], each["holds"], each["vrrp"]) for each in told[host]["others"]] for host in LBS} == {
        "lb1": [("ingress", False, "BACKUP")],
        "lb2": [("ingress", True, "MASTER")],
    }


def test_an_lb_that_goes_loses_both_and_one_that_comes_back_gets_its_own(operator: Operator) -> None:
    lab = operator.lab
    lab.console("lb2", ["systemctl", "stop", "keepalived"], check=True)
    eventually(lambda: (holders(lab), holders(lab, VIP)), (["lb1"], ["lb1"]))
    assert shop(lab) == "open"
    lab.console("lb2", ["systemctl", "start", "keepalived"], check=True)
    lab.console("lb1", ["systemctl", "stop", "haproxy"], check=True)
    eventually(lambda: (holders(lab), holders(lab, VIP)), (["lb2"], ["lb2"]))
    lab.console("lb1", ["systemctl", "start", "haproxy"], check=True)
    eventually(lambda: (holders(lab), holders(lab, VIP)), (["lb1"], ["lb2"]))


def test_one_lb_gets_every_vip_for_as_long_as_the_other_is_away(operator: Operator) -> None:
    lab = operator.lab
    unnoticed(operator, "lb.failover", "--to", "lb1")
    assert (holders(lab), holders(lab, VIP)) == (["lb1"], ["lb1"])
    operator.idle("lb.failover", "--to", "lb1")
    operator.good("lb.failover")  # each goes to the LB that it prefers
    eventually(lambda: (holders(lab), holders(lab, VIP)), (["lb1"], ["lb2"]))


@pytest.mark.long
def test_two_holders_of_the_second_vip_are_seen_and_repaired(operator: Operator) -> None:
    operator.lab.console("lb1", ["ip", "address", "add", f"{VIP}/32", "dev", "eth0"], check=True)
    operator.sees("lb.status", told="the VIP ingress is on lb1 and lb2")
    eventually(
        lambda: "the VIP ingress is on eth0" in operator.inv("recover.vip", "--plan").stdout, True
    )  # not while it may be moving
    operator.good("recover.vip")
    assert holders(operator.lab, VIP) == ["lb2"]


def test_both_are_taken_away_again_and_nobody_notices(operator: Operator) -> None:
    with_more(operator, files=(), vips=())
    assert "-listen shop" in unnoticed(operator, "lb.setup", "--diff")
    operator.idle("lb.setup")
    assert holders(operator.lab, VIP) == []
    vip_on(operator.lab, "lb1")
    left = "grep -c shop /etc/haproxy/haproxy.cfg; ls /run/ha-runbooks/vips; ss -Hltn 'sport = :8080'; stat -c %a /etc/haproxy/haproxy.cfg"
    for host in LBS:
        eventually(lambda host=host: operator.lab.console(host, ["bash", "-c", left]).stdout.split(), ["0", "644"])
