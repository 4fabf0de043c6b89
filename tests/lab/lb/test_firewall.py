"""Load balancers behind firewalld: closed before lb.setup; after it open for what is needed and for nothing else."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from lab.control import Lab
from tests.lab.lb.test_setup import LBS, events
from tests.support.operator import Operator, vip_on

pytestmark = pytest.mark.lab

STEP = "open the firewall (firewalld)"
FOREIGN = 'rule family="ipv4" source address="10.9.9.0/24" service name="https" accept'
PEERS = {"lb1": "10.1.1.12", "lb2": "10.1.1.11"}
ADDRESSES = {"lb1": "10.1.1.11", "lb2": "10.1.1.12"}
PORTS = ("6443/tcp", "9000/tcp", "8405/tcp", "80/tcp", "443/tcp")

# Sends packets of VRRP's protocol to an address; hears those that the firewall lets through to this host, and says from whom.
SEND = """
import socket, sys, time
out = socket.socket(socket.AF_INET, socket.SOCK_RAW, 112)
for _ in range(20):
    try: out.sendto(b"not an advert", (sys.argv[1], 0))
    except OSError: pass
    time.sleep(0.05)
"""
HEAR = """
import socket, sys, time
ear = socket.socket(socket.AF_INET, socket.SOCK_RAW, 112)
ear.settimeout(0.2)
print("ready", flush=True)
heard, end = set(), time.monotonic() + 3
while time.monotonic() < end:
    try: heard.add(ear.recvfrom(2048)[1][0])
    except TimeoutError: pass
print(*sorted(heard))
"""
CONNECT = """
import socket, sys
try:
    socket.create_connection((sys.argv[1], int(sys.argv[2])), timeout=2)
    print("open")
except ConnectionRefusedError: print("refused")
except (OSError, TimeoutError): print("blocked")
"""


@pytest.fixture(scope="module")
def operator(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Operator]:
    """An operator, and two fresh LBs with a firewalld that lets nothing in but SSH, and one rule of another owner."""
    lab.reset(*LBS)

    def protect(host: str) -> None:
        install = "apt-get -q update && DEBIAN_FRONTEND=noninteractive apt-get -q -y install --no-install-recommends firewalld"
        lab.console(host, ["bash", "-c", install], check=True)
        for when in ([], ["--permanent"]):
            lab.console(host, ["firewall-cmd", *when, "--zone=public", f"--add-rich-rule={FOREIGN}"], check=True)

    with ThreadPoolExecutor() as pool:
        list(pool.map(protect, LBS))
    yield Operator(lab, tmp_path_factory.mktemp("firewall"))
    lab.reset(*LBS)


def connect(lab: Lab, where: str, address: str, port: int) -> str:
    """Try a connection from the host ``where``: open, refused or blocked."""
    argv = lab.netns_of(where, [sys.executable, "-c", CONNECT, address, str(port)])
    return subprocess.run(argv, capture_output=True, text=True, check=True).stdout.strip()


def vrrp_reaches(lab: Lab, target: str, *senders: str) -> set[str]:
    """Return the addresses from which packets of VRRP's protocol reach ``target``."""
    ear = subprocess.Popen(lab.netns_of(target, [sys.executable, "-c", HEAR]), stdout=subprocess.PIPE, text=True)
    assert ear.stdout
    assert ear.stdout.readline() == "ready\n"
    mouths = [subprocess.Popen(lab.netns_of(each, [sys.executable, "-c", SEND, ADDRESSES[target]])) for each in senders]
    heard = ear.communicate(timeout=30)[0]
    for mouth in mouths:
        mouth.wait(timeout=30)
    return set(heard.split())


def firewall(lab: Lab, host: str, *when: str) -> tuple[set[str], set[str]]:
    """Return the ports and the rich rules of the zone, as firewall-cmd lists them."""
    ports = lab.console(host, ["firewall-cmd", *when, "--zone=public", "--list-ports"], check=True).stdout
    rules = lab.console(host, ["firewall-cmd", *when, "--zone=public", "--list-rich-rules"], check=True).stdout
    return set(ports.split()), set(rules.splitlines())


def vrrp(host: str) -> str:
    return f'rule family="ipv4" source address="{PEERS[host]}" protocol value="vrrp" accept'


def open_as_wanted(lab: Lab) -> None:
    for host in LBS:
        for when in ([], ["--permanent"]):
            assert firewall(lab, host, *when) == (set(PORTS), {FOREIGN, vrrp(host)})


def test_before_it_the_firewall_blocks_clients_and_vrrp(operator: Operator) -> None:
    for host in LBS:
        assert connect(operator.lab, "worker1", ADDRESSES[host], 6443) == "blocked"
        assert connect(operator.lab, "worker1", ADDRESSES[host], 22) == "open"
    assert vrrp_reaches(operator.lab, "lb1", "lb2") == set()


def test_a_plan_names_what_would_be_opened_and_opens_nothing(operator: Operator) -> None:
    plan = operator.good("lb.setup", "--plan", "--json")
    for host in LBS:
        (said,) = [
            event["command"] for event in events(plan, "change") if event["host"] == host and "firewall" in event["command"]
        ]
        assert said == f"firewall-allow in zone public, now and after a restart: {', '.join([*PORTS, vrrp(host)])}"
        assert firewall(operator.lab, host) == firewall(operator.lab, host, "--permanent") == (set(), {FOREIGN})


def test_it_opens_the_firewall_and_the_pair_works(operator: Operator) -> None:
    done = operator.good("lb.setup", "--json")
    assert [event["outcome"] for event in events(done, "step") if STEP in event["step"]] == ["changed", "changed"]
    vip_on(operator.lab, "lb1")
    open_as_wanted(operator.lab)
    for port in (6443, 80, 443):
        assert connect(operator.lab, "worker1", "10.1.1.100", port) == "open"
    for host in LBS:
        assert connect(operator.lab, "worker1", ADDRESSES[host], 9000) == "open"
        assert connect(operator.lab, "worker1", ADDRESSES[host], 8405) == "open"
        assert connect(operator.lab, "worker1", ADDRESSES[host], 8404) == "blocked"


def test_vrrp_comes_in_from_the_peer_only(operator: Operator) -> None:
    assert vrrp_reaches(operator.lab, "lb2", "lb1", "worker1") == {"10.1.1.11"}


def test_a_second_run_does_nothing(operator: Operator) -> None:
    assert "nothing to do: 18 steps" in operator.good("lb.setup")
    open_as_wanted(operator.lab)


def test_the_vip_moves_through_the_firewall_and_back(operator: Operator) -> None:
    operator.lab.console("lb1", ["systemctl", "stop", "haproxy"])
    vip_on(operator.lab, "lb2")
    assert connect(operator.lab, "worker1", "10.1.1.100", 6443) == "open"
    operator.lab.console("lb1", ["systemctl", "start", "haproxy"])
    vip_on(operator.lab, "lb1")


@pytest.mark.long
def test_it_survives_a_restart_of_firewalld_and_of_the_host(operator: Operator) -> None:
    operator.lab.console("lb2", ["systemctl", "restart", "firewalld"], check=True)
    operator.lab.off("lb1")
    operator.lab.on("lb1")
    vip_on(operator.lab, "lb1")
    open_as_wanted(operator.lab)
    operator.idle("lb.setup")


@pytest.mark.long
@pytest.mark.parametrize(
    ("when", "said"), [([], "now"), (["--permanent"], "after a restart")], ids=["only for now", "only for after a restart"]
)
def test_a_closed_port_is_opened_again_where_it_is_missing(operator: Operator, when: list[str], said: str) -> None:
    operator.lab.console("lb2", ["firewall-cmd", *when, "--zone=public", "--remove-port=6443/tcp"], check=True)
    done = operator.good("lb.setup", "--json")
    assert [event["command"] for event in events(done, "change")] == [f"firewall-allow in zone public, {said}: 6443/tcp"]
    open_as_wanted(operator.lab)


@pytest.mark.long
def test_a_range_that_covers_a_port_is_enough_and_stays(operator: Operator) -> None:
    for when in ([], ["--permanent"]):
        for words in ("--remove-port=6443/tcp", "--add-port=6000-7000/tcp"):
            operator.lab.console("lb2", ["firewall-cmd", *when, "--zone=public", words], check=True)
    operator.idle("lb.setup")
    assert "6000-7000/tcp" in firewall(operator.lab, "lb2")[0]


@pytest.mark.long
def test_the_zone_of_the_interface_is_what_counts(operator: Operator) -> None:
    """The interface is moved to another zone: from then on that zone's rules apply."""
    operator.lab.console("lb2", ["firewall-cmd", "--zone=internal", "--change-interface=eth0"], check=True)
    done = operator.good("lb.setup", "--json")
    (said,) = [event["command"] for event in events(done, "change")]
    assert said.startswith("firewall-allow in zone internal, now and after a restart: 6443/tcp")
    assert json.loads(operator.well("lb.status", "--json"))["ok"]
    operator.idle("lb.setup")
