"""`baseline` of hosts.yaml on real load balancers: real chronyd, apt, systemd and sysctl. It comes, is put right, and goes again.

lb1 gives time to both. No clock is touched: chronyd is started with -x, and hosts of the lab have no right to set one. The tests depend on
one another, in the order of this file.
"""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from typing import Any

import pytest

from lab.control import Lab
from tests.support import newer
from tests.support.operator import REFUSES, Operator, sh
from tests.support.waiting import eventually

pytestmark = pytest.mark.lab

LBS = ("lb1", "lb2")
SYSCTLS = "/etc/sysctl.d/zz-ha-runbooks-baseline.conf"
MAIN = "/etc/chrony/chrony.conf"
GIVEN: dict[str, Any] = {
    "time": {"service": "chrony", "servers": ["10.1.1.11"]},
    "sysctls": {"net.ipv4.tcp_keepalive_time": "600", "net.ipv4.ip_local_port_range": "20000 60999"},
    "modules": ["nf_conntrack"],
    "hosts": {"10.1.1.5": ["registry.example", "registry"]},
    "unattended_upgrades": "keep-off",
}
# In a host of the lab chronyd may neither set the clock nor have /dev in a mount namespace of its own.
CHRONYD = """
mkdir -p /etc/systemd/system/chrony.service.d /etc/chrony/conf.d
printf '%s\\n' '[Unit]' ConditionCapability= '[Service]' DevicePolicy=auto DeviceAllow= PrivateTmp=no ProtectSystem=no ProtectKernelTunables=no \
    ProtectControlGroups=no ProtectKernelLogs=no >/etc/systemd/system/chrony.service.d/lab.conf
echo 'DAEMON_OPTS="-x -F 1"' >/etc/default/chrony
"""


# As the Red Hat family has it: without conf.d. chronyd only says what it reads there.
RED = "pool 2.rhel.pool.ntp.org iburst\nsourcedir /run/chrony-dhcp\nmakestep 1.0 3"
READS = "chronyd -p -f {} | grep -E '^(server|pool|peer|sourcedir)'"


@pytest.fixture(scope="module")
def operator(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Operator]:
    """An operator, and two LBs in service."""
    operator = Operator(lab, tmp_path_factory.mktemp("operator"))
    operator.good("lb.setup")
    for host in LBS:
        sh(operator, host, CHRONYD)
    sh(operator, "lb1", "printf 'local stratum 8\\nallow\\n' >/etc/chrony/conf.d/lab.conf")
    sh(operator, "lb2", f"printf '{RED}' >/etc/chrony.conf")
    yield operator
    operator.edit(lambda site: site.pop("baseline", None))
    operator.good("lb.setup")
    for host in LBS:
        sh(
            operator,
            host,
            "apt-get -qy purge chrony systemd-timesyncd unattended-upgrades >/dev/null; rm -rf /etc/systemd/system/chrony.service.d",
        )
    newer.withdraw(lab, *LBS)


def wanted(operator: Operator, **keys: Any) -> None:
    operator.edit(lambda site: site.update(baseline=keys))


def off(operator: Operator) -> dict[tuple[str, str], dict[str, Any]]:
    """Return what cluster.diff says of the baseline of load balancers."""
    found = json.loads(operator.inv("cluster.diff", "--json").stdout.splitlines()[0])["differences"]
    return {(each["host"], each["key"]): each for each in found if each["topic"] == "hosts" and each["host"] in LBS}


def text(operator: Operator, host: str, path: str) -> str:
    return sh(operator, host, f"cat {path}")


def test_killed_in_the_middle_the_same_command_brings_it_about(operator: Operator) -> None:
    before = {host: text(operator, host, "/etc/hosts") for host in LBS}
    sh(operator, "lb1", f"echo '# mine' >{SYSCTLS}")
    wanted(operator, **GIVEN)
    assert operator.strike(1, signal.SIGKILL, "lb.setup", named="conf.d/ha-runbooks.conf") == -signal.SIGKILL
    operator.good("lb.setup")
    for host in LBS:
        assert text(operator, host, "/etc/hosts").startswith(before[host])
        assert sh(operator, host, "getent hosts registry").split() == ["10.1.1.5", "registry.example", "registry"]
        assert sh(operator, host, "sysctl -n net.ipv4.tcp_keepalive_time net.ipv4.ip_local_port_range").split() == [
            "600",
            "20000",
            "60999",
        ]
        assert sh(operator, host, "systemctl is-active chrony; systemctl is-enabled chrony").split() == ["active", "enabled"]
        assert sh(operator, host, READS.format(MAIN)) == "server 10.1.1.11 iburst\n"
    assert sh(operator, "lb2", READS.format("/etc/chrony.conf")) == "server 10.1.1.11 iburst\n"
    assert text(operator, "lb1", f"{SYSCTLS}.before-ha-runbooks") == "# mine\n"
    operator.idle("lb.setup")
    assert off(operator) == {}


def test_chronyd_asks_this_server_and_no_other(operator: Operator) -> None:
    sh(operator, "lb2", "systemctl restart chrony")  # it began before lb1, and would ask again after a minute
    eventually(lambda: sh(operator, "lb2", "chronyc -n -c sources").split(",")[1:4], ["*", "10.1.1.11", "8"], 60)
    assert len(sh(operator, "lb2", "chronyc -n -c sources").splitlines()) == 1


@pytest.mark.long
def test_unattended_upgrades_take_other_packages_and_not_haproxy(operator: Operator) -> None:
    newer.publish(operator.lab, "lb2", {"haproxy": "+lab1", "socat": "+lab1"})
    sh(
        operator,
        "lb2",
        "apt-get -q update; DEBIAN_FRONTEND=noninteractive apt-get -qy install --no-install-recommends unattended-upgrades;"
        "echo 'Unattended-Upgrade::Origins-Pattern { \"origin=*\"; };' >/etc/apt/apt.conf.d/99test; unattended-upgrade; rm /etc/apt/apt.conf.d/99test",
    )
    assert newer.version(operator.lab, "lb2", "socat").endswith("+lab1")
    assert not newer.version(operator.lab, "lb2", "haproxy").endswith("+lab1")


def test_what_was_changed_by_hand_is_named_and_put_right(operator: Operator) -> None:
    sh(operator, "lb1", "sysctl -qw net.ipv4.tcp_keepalive_time=7200; systemctl -q disable --now chrony")
    sh(
        operator,
        "lb2",
        "sed -i 's/ registry$/ other/; 1i 10.9.9.9 registry' /etc/hosts; rm /etc/apt/apt.conf.d/90ha-runbooks-keep-off",
    )
    found = off(operator)
    assert {(*where, each["there"]) for where, each in found.items()} == {
        ("lb1", "sysctl net.ipv4.tcp_keepalive_time", "7200"),
        ("lb1", "time service chrony", "not started at boot (disabled)"),
        ("lb2", "/etc/hosts", "different"),
        ("lb2", "/etc/hosts: registry", "10.9.9.9"),
        ("lb2", "/etc/apt/apt.conf.d/90ha-runbooks-keep-off", None),
    }
    assert "-10.1.1.5\tregistry.example other" in found["lb2", "/etc/hosts"]["diff"]
    assert {each["fix"] for where, each in found.items() if where[1] != "/etc/hosts: registry"} == {"inv lb.setup"}
    assert "registry is 10.9.9.9, and hosts.yaml says 10.1.1.5: delete the name" in operator.good("lb.setup")
    assert list(off(operator)) == [("lb2", "/etc/hosts: registry")]
    sh(operator, "lb2", "sed -i 1d /etc/hosts")
    assert off(operator) == {}


def test_what_the_kernel_makes_of_a_value_is_said_and_is_no_difference(operator: Operator) -> None:
    rounded = {"net.ipv4.tcp_keepalive_intvl": "0x4b", "net.ipv4.neigh.eth0.retrans_time_ms": "1001"}  # ticks of 1, 4 or 10 ms
    wanted(operator, **GIVEN | {"sysctls": {**GIVEN["sysctls"], **rounded}})
    said = operator.good("lb.setup")
    assert "net.ipv4.tcp_keepalive_intvl: the kernel has made 75 of 0x4b" in said
    assert off(operator) == {}
    operator.idle("lb.setup")
    sh(operator, "lb2", "sysctl -qw net.ipv4.tcp_keepalive_intvl=76")
    assert {(*where, each["there"]) for where, each in off(operator).items()} == {
        ("lb2", "sysctl net.ipv4.tcp_keepalive_intvl", "76")
    }
    wanted(operator, **GIVEN)
    operator.good("lb.setup")


def test_a_symbolic_link_is_named_and_neither_replaced_nor_followed(operator: Operator) -> None:
    path, theirs = "/etc/haproxy/haproxy.cfg", "/srv/theirs.cfg"
    sh(operator, "lb2", f"mv {path} {theirs}; echo '# mine' >>{theirs}; ln -s {theirs} {path}")
    before = text(operator, "lb2", theirs)
    try:
        found = json.loads(operator.inv("cluster.diff", "--json").stdout.splitlines()[0])["differences"]
        (named,) = [each for each in found if (each["host"], each["key"]) == ("lb2", path)]
        done = operator.inv("lb.setup")
        assert (sh(operator, "lb2", f"readlink {path}"), text(operator, "lb2", theirs)) == (f"{theirs}\n", before)
    finally:
        sh(operator, "lb2", f"sed -i '$d' {theirs}; cp --remove-destination {theirs} {path}; chmod 0644 {path}")
    assert named["there"] == "a symbolic link"
    assert "cp --remove-destination" in named["fix"]
    assert done.returncode == REFUSES, done.stdout
    assert f"lb2: this is a symbolic link, and only a file is written: {path}" in done.stderr
    operator.idle("lb.setup")


def test_a_sysctl_that_the_kernel_does_not_have_is_an_error_before_the_next_host(operator: Operator) -> None:
    wanted(operator, **GIVEN | {"sysctls": {"net.ipv4.no_such_thing": "1"}})
    done = operator.inv("lb.setup")
    assert done.returncode == 1
    assert "no_such_thing" in done.stderr
    assert "no_such_thing" not in text(operator, "lb1", SYSCTLS), "the standby is changed first"
    wanted(operator, **GIVEN)
    operator.good("lb.setup")


@pytest.mark.long
def test_another_service_takes_its_place_and_what_is_deleted_goes(operator: Operator) -> None:
    whole = text(operator, "lb2", "/usr/share/chrony/chrony.conf")
    assert text(operator, "lb2", MAIN) != whole
    wanted(operator, time={"service": "timesyncd", "servers": ["10.1.1.11"]}, hosts=GIVEN["hosts"])
    refused = operator.inv("lb.setup")
    assert refused.returncode == 3
    assert "time service timesyncd is masked" in refused.stderr  # as the lab makes its hosts
    for host in LBS:
        sh(operator, host, "systemctl -q unmask systemd-timesyncd")
    assert "systemd does not start systemd-timesyncd here" in operator.good("lb.setup")
    operator.idle("lb.setup")
    for host in LBS:
        assert "NTP=10.1.1.11\n" in text(operator, host, "/etc/systemd/timesyncd.conf.d/zz-ha-runbooks.conf")
        assert sh(operator, host, "systemctl is-active chrony || true") == "inactive\n"
        assert text(operator, host, MAIN) == whole, "its own servers are on again"
    assert text(operator, "lb2", "/etc/chrony.conf") == RED
    operator.edit(lambda site: site.pop("baseline"))
    assert {key for _, key in off(operator)} == {"/etc/hosts", "/etc/systemd/timesyncd.conf.d/zz-ha-runbooks.conf"}
    operator.good("lb.setup")
    left = (
        "find /etc -name '*ha-runbooks*' | grep -v 'service.d\\|ha-runbooks-lb\\|before-ha-runbooks'; grep ha-runbooks /etc/hosts"
    )
    assert [sh(operator, host, f"{left} || true") for host in LBS] == ["", ""]
    operator.idle("lb.setup")
