"""Hosts behind gateways, on real sshd: an error names the hop on which it happened, once, and its hint is for that hop."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from lab.control import Lab
from tests.lab.engine.test_engine import rekeyed
from tests.support.operator import Operator

pytestmark = pytest.mark.lab

BASTION, SECOND = "10.1.1.201", "10.1.1.103"  # worker1 and master3, which are no hosts of this site
LOOKING = ("doctor", "lb.setup")
ONLY_FROM = (
    "add table inet gate; add chain inet gate in { type filter hook input priority 0; }; "
    "add rule inet gate in tcp dport 22 ip saddr != "
)


@pytest.fixture(scope="module")
def behind(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Operator:
    """An operator whose load balancers are set up. A bastion leads to all of the hosts; the LBs let nobody else in."""
    operator = Operator(lab, tmp_path_factory.mktemp("behind"))
    known = operator.directory / "known_hosts"
    known.write_text(lab.instance.known_hosts.read_text())

    def site(content: dict[str, Any]) -> None:
        content["hosts"] = [host for host in content["hosts"] if host["name"] in {"lb1", "lb2", "master1", "master2"}]
        content["ssh"].update(known_hosts="known_hosts", connect_timeout_s=5, gateway={"address": BASTION})

    operator.good("lb.setup")
    operator.edit(site)
    return operator


@contextmanager
def closed(lab: Lab, *but: str) -> Iterator[None]:
    """sshd of the LBs is open to ``but`` only."""
    for host in ("lb1", "lb2"):
        lab.console(host, ["nft", ONLY_FROM + "{ " + ", ".join(but) + " } drop"], check=True)
    try:
        yield
    finally:
        for host in ("lb1", "lb2"):
            lab.console(host, ["nft", "delete", "table", "inet", "gate"])


@contextmanager
def ways(operator: Operator, gateway: object, **hosts: object) -> Iterator[None]:
    """Other gateways than the bastion, for the site and for single hosts."""
    before = operator.site.read_text()

    def change(content: dict[str, Any]) -> None:
        content["ssh"]["gateway"] = gateway
        for host in content["hosts"]:
            if host["name"] in hosts:
                host["ssh"] = {**(host.get("ssh") or {}), "gateway": hosts[host["name"]]}

    operator.edit(change)
    try:
        yield
    finally:
        operator.site.write_text(before)


def refused(operator: Operator, command: str) -> str:
    done = operator.inv(command)
    assert (done.returncode, "Traceback" in done.stderr) == (4, False), done.stdout + done.stderr
    return done.stderr


def test_it_works_through_one_gateway_and_through_two(behind: Operator) -> None:
    with closed(behind.lab, BASTION):
        behind.sees("lb.status", told="proxy")
    with closed(behind.lab, SECOND), ways(behind, [{"address": BASTION}, {"address": SECOND}]):
        behind.sees("lb.status", told="proxy")
    with closed(behind.lab, BASTION, SECOND), ways(behind, {"address": BASTION}, lb2=[{"address": SECOND}]):
        behind.sees("lb.status", told="proxy")


def test_a_host_that_is_off_behind_a_gateway_is_that_hosts_error(behind: Operator) -> None:
    behind.lab.cut("lb2")
    try:
        done = behind.inv("lb.setup")
    finally:
        behind.lab.heal("lb2")
    assert done.returncode == 4
    assert f"lb2 (10.1.1.12): gateway {BASTION} works, but cannot connect to lb2 port 22" in done.stderr
    assert "check that the host is switched on, and that sshd listens at 10.1.1.12 port 22" in done.stderr


def test_a_gateway_that_is_off_is_one_error_of_every_command(behind: Operator) -> None:
    behind.lab.cut("worker1")
    try:
        for command in LOOKING:
            said = refused(behind, command)
            assert said.count(BASTION) == 1, said
            assert f"gateway {BASTION}: " in said
            assert "every host is behind it" in said
            assert "check that the gateway is switched on" in said
        with ways(behind, None, lb1={"address": BASTION}, master1={"address": BASTION}):
            said = behind.inv("doctor").stdout
            assert said.count(f"gateway {BASTION}") == 1, said
            assert "recover." not in said.partition(f"gateway {BASTION}")[2].partition("->")[2].partition("\n")[0]
            assert "lb1, master1 are behind it" in said
    finally:
        behind.lab.heal("worker1")


def test_a_wrong_login_at_the_gateway_is_the_gateways_error(behind: Operator) -> None:
    with ways(behind, {"address": BASTION, "user": "nobody"}):
        said = refused(behind, "lb.status")
    assert f"gateway {BASTION}: login as nobody was refused" in said
    assert "check user and key of ssh.gateway in hosts.yaml" in said


def test_a_gateway_that_forwards_nothing_is_named(behind: Operator) -> None:
    path = "/etc/ssh/sshd_config.d/forward.conf"
    behind.lab.console("worker1", ["tee", path], stdin="AllowTcpForwarding no\n", check=True)
    behind.lab.console("worker1", ["systemctl", "reload", "ssh"], check=True)
    try:
        said = refused(behind, "lb.status")
    finally:
        behind.lab.console("worker1", ["rm", path], check=True)
        behind.lab.console("worker1", ["systemctl", "reload", "ssh"], check=True)
    assert f"gateway {BASTION}: it lets us in, but forwards no connection" in said
    assert "AllowTcpForwarding" in said


def test_a_gateways_new_key_is_the_gateways_and_only_it_is_replaced(behind: Operator) -> None:
    known = behind.directory / "known_hosts"
    true = known.read_text()
    known.write_text(rekeyed(true, "worker1", "lb1"))
    said = refused(behind, "lb.status")
    assert f"gateway {BASTION}: its host key is not the one in" in said
    assert "inv site.trust --gateways --replace" in said
    done = behind.inv("site.trust", "--host", "lb1", "--replace", "--yes")
    assert (done.returncode, "--gateways --replace" in done.stderr) == (3, True)
    assert "lb1 " not in done.stdout
    assert "lb1" not in behind.good("site.trust", "--gateways", "--replace", "--yes")
    behind.sees("lb.status", told="proxy")
    known.write_text(true)


def test_the_second_gateway_of_two_is_named(behind: Operator) -> None:
    behind.lab.cut("master3")
    try:
        with ways(behind, [{"address": BASTION}, {"address": SECOND}]):
            said = refused(behind, "lb.status")
    finally:
        behind.lab.heal("master3")
    assert f"gateway {SECOND}: gateway {BASTION} works, but cannot connect to {SECOND} port 22" in said


def test_host_keys_are_fetched_through_each_gateway(behind: Operator) -> None:
    known: Path = behind.directory / "known_hosts"
    true = known.read_text()
    known.write_text("")
    try:
        with closed(behind.lab, SECOND), ways(behind, [{"address": BASTION}, {"address": SECOND}]):
            said = behind.good("site.trust", "--host", "lb1", "--yes")
    finally:
        known.write_text(true)
    asked = [line.split("ssh-ed25519")[0].split() for line in said.splitlines() if "SHA256:" in line]
    assert asked == [["gateway", BASTION, BASTION], ["gateway", SECOND, SECOND], ["lb1", "10.1.1.11"]]
