"""The load balancer pair on real hosts: set up, changed, refused, failed over, interrupted.

The tests depend on one another, in the order of this file.
"""

from __future__ import annotations

import json
import re
import shutil
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from lab.control import Lab
from lab.process import Done
from runbooks.commands import packages, prepare
from runbooks.commands.base import Command, script
from runbooks.commands.haproxy import set_servers
from runbooks.lb.traffic import BACKENDS
from tests.support import ROOT
from tests.support.operator import Operator, holders, vip_on
from tests.support.waiting import eventually

pytestmark = pytest.mark.lab

CFG = "/etc/haproxy/haproxy.cfg"
NEWER = ["find", "/etc", "/usr/local", "/usr/libexec", "/var/lib", "-newer", "/proc/1"]  # what was written since boot
LBS = ("lb1", "lb2")
LISTS, SOURCES = "/var/lib/apt/lists/lock", "/etc/apt/sources.list.d"
# Locks a file as apt does: until a program was seen (when one is named), and for some seconds more.
HOLD = (
    "use Fcntl; sysopen(F, $ARGV[0], O_RDWR) or die; my $lock = pack('ssx4qqix4', F_WRLCK, 0, 0, 0, 0);"
    "fcntl(F, F_SETLK, $lock) or die; if ($ARGV[2]) { select(undef, undef, undef, 0.02) until `pgrep -x $ARGV[2]` } sleep $ARGV[1]"
)

# Accepts connections, and is no API server that says it is ready.
UNREADY = (
    "use IO::Socket::INET; $SIG{PIPE} = 'IGNORE'; $all = IO::Socket::INET->new(LocalPort => 6443, Listen => 9) or die;"
    'while ($one = $all->accept) { print $one "served\n"; close $one }'
)


@pytest.fixture(scope="module")
def operator(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Operator]:
    """An operator, and two LBs on which nothing was ever installed."""
    lab.reset(*LBS)
    yield Operator(lab, tmp_path_factory.mktemp("operator"))
    lab.heal(*LBS)
    lab.on(*LBS)


def maxconn(number: int) -> Callable[[dict[str, Any]], None]:
    def change(site: dict[str, Any]) -> None:
        site["load_balancer"]["limits"] = {"maxconn": number}

    return change


def events(text: str, kind: str) -> list[dict[str, Any]]:
    return [event for event in map(json.loads, text.splitlines()) if event["event"] == kind]


def moments() -> list[object]:
    """Every signal at each of the changes; all but one of them at each are long."""
    signals = (signal.SIGINT, signal.SIGTERM, signal.SIGKILL)
    return [
        pytest.param(number, how, marks=() if how == signals[number % 3] else pytest.mark.long)
        for number in (1, 2, 3, 4)
        for how in signals
    ]


def pids(lab: Lab, host: str) -> str:
    """The processes and the moments of the last (re)load of both services: changes when either is restarted or reloaded."""
    shown = lab.console(host, ["systemctl", "show", "haproxy", "keepalived", "-p", "MainPID", "-p", "InvocationID"]).stdout
    stamps = ["stat", "-c", "%y", "/run/ha-runbooks/haproxy.cfg.loaded", "/run/ha-runbooks/keepalived.conf.loaded"]
    return shown + lab.console(host, stamps).stdout


def test_a_plan_touches_nothing(operator: Operator) -> None:
    before = {host: operator.lab.console(host, NEWER).stdout for host in LBS}
    text = operator.good("lb.setup", "--plan")
    assert "+    bind 10.1.1.100:6443" in text
    assert "nothing was touched" in text
    for host in LBS:
        assert operator.lab.console(host, ["test", "-e", "/run/ha-runbooks"]).returncode == 1
        assert operator.lab.console(host, NEWER).stdout == before[host]


def test_an_installation_that_is_interrupted_converges(operator: Operator) -> None:
    """Ctrl-C while the package managers run: the most dangerous moment."""
    assert operator.strike(1, signal.SIGINT, "lb.setup") == 130
    # Now the usual morning of a host: unattended-upgrades renews the lists, and somebody's repository is gone.
    eventually(lambda: operator.lab.console("lb2", ["perl", "-e", HOLD, LISTS, "0"]).returncode, 0)  # what was struck has ended
    for host in LBS:
        operator.lab.console(host, ["systemd-run", "-q", "--unit=another", "perl", "-e", HOLD, LISTS, "2", "apt-get"], check=True)
        operator.lab.console(host, ["tee", f"{SOURCES}/vendor.list"], stdin="deb file:/srv/vendor sid main\n", check=True)
    text = operator.good("lb.setup", "--json")
    assert {event["outcome"] for event in events(text, "step")} <= {"changed", "nothing to do", "ok"}
    for host in LBS:
        told = [event["note"] for event in events(text, "note") if event["host"] == host]
        assert re.fullmatch(r"waited \d+ s for perl \(process \d+\), which used the package manager", told[0])
        assert told[1] == "the package repository file:/srv/vendor sid cannot be used: does not have a Release file"
    vip_on(operator.lab, "lb1")


def test_what_cannot_be_installed_is_named_with_the_repository_that_cannot_be_used(operator: Operator) -> None:
    def program(command: Command) -> Done:
        return operator.lab.console("lb1", ["bash", "-o", "pipefail", "-s"], stdin=f"export LC_ALL=C\n{command.program}")

    def install(patience_s: int) -> Done:
        variables = {"PACKAGES": ["no-such-package"], "PATIENCE": str(patience_s)}
        return program(script("packages-install", variables, after=("packages",)))

    failed = install(9)
    assert failed.returncode == 100
    *_, repository, last = failed.stderr.splitlines()
    assert repository == "E: The repository 'file:/srv/vendor sid Release' does not have a Release file."
    assert last == "E: Unable to locate package no-such-package"
    absent = program(prepare.pin_packages("1.20.2"))
    assert absent.returncode == packages.NOT_OFFERED
    assert absent.stderr.splitlines()[-2:] == [
        repository,
        "the package repositories of this host offer no kubeadm 1.20.2; they offer: none at all",
    ]
    operator.lab.console("lb1", ["systemd-run", "-q", "--unit=another", "perl", "-e", HOLD, LISTS, "60"], check=True)
    held = install(1)
    assert held.returncode == packages.BUSY
    assert re.search(r"in use by perl \(process \d+\), which has not ended within 1 s$", held.stderr)
    operator.lab.console("lb1", ["systemctl", "stop", "another"], check=True)
    for host in LBS:
        operator.lab.console(host, ["rm", f"{SOURCES}/vendor.list"], check=True)


def test_both_serve(operator: Operator) -> None:
    status = json.loads(operator.well("lb.status", "--json"))
    assert status["problems"] == []
    for host in LBS:
        state = status["lbs"][host]
        assert (state["haproxy"]["active"], state["haproxy"]["enabled"]) == ("active", "enabled")
        assert (state["stats"], state["metrics"], state["api"]) == ("200", "200", "open")
        assert {each["server"] for each in state["backends"] if each["proxy"] == "api"} == {"master1", "master2", "master3"}
    assert operator.lab.console("lb1", ["sysctl", "-n", "net.ipv4.ip_nonlocal_bind"]).stdout.strip() == "1"


def test_a_second_run_does_nothing(operator: Operator) -> None:
    before = {host: pids(operator.lab, host) for host in LBS}
    assert "nothing to do: 18 steps" in operator.good("lb.setup")
    assert {host: pids(operator.lab, host) for host in LBS} == before
    assert operator.lab.console("lb1", ["find", "/run/ha-runbooks", "-name", "*.lock"]).stdout == ""


def test_a_change_is_planned_as_its_diff_only_and_reloads_the_standby_first(operator: Operator) -> None:
    operator.edit(maxconn(4000))
    plan = operator.good("lb.setup", "--plan", "--json")
    changed = [
        line
        for event in events(plan, "diff")
        for line in event["diff"].splitlines()
        if line[:1] in "+-" and line[:3] not in {"+++", "---"}
    ]
    marks = {line[:1] for line in changed if line[1:].split()[0] == "description"}  # the digest that HAProxy tells
    assert marks == {"-", "+"}
    assert {line for line in changed if "description" not in line} == {"-    maxconn 3000", "+    maxconn 4000"}
    before = {
        host: operator.lab.console(host, ["systemctl", "show", "haproxy", "keepalived", "-p", "InvocationID"]).stdout
        for host in LBS
    }

    done = operator.good("lb.setup", "--json")
    steps = [event["step"] for event in events(done, "step") if event["outcome"] == "changed"]
    assert steps == [
        f"{host}: {what}"
        for host in ("lb2", "lb1")
        for what in ("check and install the configuration", "run haproxy with this configuration")
    ]
    # Reloaded, not restarted: systemd's invocations are the same ones.
    after = {
        host: operator.lab.console(host, ["systemctl", "show", "haproxy", "keepalived", "-p", "InvocationID"]).stdout
        for host in LBS
    }
    assert after == before
    vip_on(operator.lab, "lb1")


def test_a_broken_template_is_refused_on_the_standby_and_touches_nothing(operator: Operator, tmp_path: Path) -> None:
    checkout = tmp_path / "checkout"
    shutil.copytree(
        ROOT, checkout, ignore=shutil.ignore_patterns(".git", ".venv", ".*_cache", "__pycache__", ".runbooks", ".hypothesis")
    )
    template = checkout / "templates" / "haproxy.cfg.j2"
    template.write_text(template.read_text().replace("option redispatch", "option redispatsch"))
    before = {host: pids(operator.lab, host) + operator.lab.console(host, ["cat", CFG]).stdout for host in LBS}

    done = Operator(operator.lab, operator.directory, checkout).inv("lb.setup", "--json")
    assert done.returncode == 3
    assert "lb2 refuses the new configuration; nothing was changed there" in done.stderr
    assert "unknown option 'redispatsch'" in done.stderr  # haproxy's own words
    assert {event["host"] for event in events(done.stdout, "change")} == {"lb2"}
    assert {host: pids(operator.lab, host) + operator.lab.console(host, ["cat", CFG]).stdout for host in LBS} == before
    assert json.loads(operator.well("lb.status", "--json"))["ok"]


def test_rollback_brings_the_former_configuration_back_and_again_forth(operator: Operator) -> None:
    operator.good("lb.rollback")
    assert "maxconn 3000" in operator.lab.console("lb1", ["cat", CFG]).stdout
    operator.good("lb.rollback")
    assert "maxconn 4000" in operator.lab.console("lb2", ["cat", CFG]).stdout
    operator.idle("lb.setup")


def test_render_writes_what_the_hosts_have(operator: Operator, tmp_path: Path) -> None:
    operator.good("lb.render", "--to", str(tmp_path))
    for host in LBS:
        assert (tmp_path / host / CFG.lstrip("/")).read_text() == operator.lab.console(host, ["cat", CFG]).stdout


def test_haproxy_stopped_the_vip_moves_and_comes_back(operator: Operator) -> None:
    operator.lab.console("lb1", ["systemctl", "stop", "haproxy"])
    vip_on(operator.lab, "lb2")
    assert operator.sees("lb.status", told="lb1: haproxy is inactive").returncode == 1
    operator.lab.console("lb1", ["systemctl", "start", "haproxy"])
    vip_on(operator.lab, "lb1")


def test_haproxy_killed_the_vip_moves_and_comes_back(operator: Operator) -> None:
    def masters() -> int:
        return operator.lab.console("lb2", ["journalctl", "-u", "keepalived", "-o", "cat"]).stdout.count("Entering MASTER STATE")

    before = masters()
    pid = operator.lab.console("lb1", ["systemctl", "show", "haproxy", "-p", "MainPID", "--value"]).stdout.strip()
    operator.lab.console("lb1", ["kill", "-KILL", pid])
    eventually(masters, before + 1)
    vip_on(operator.lab, "lb1")
    assert json.loads(operator.well("lb.status", "--json"))["ok"]


def test_haproxy_hung_on_one_moves_the_vip_and_on_both_leaves_it_on_one(operator: Operator) -> None:
    """Checks that fail everywhere, as on slow machines, must not take the VIP away: a slow LB is better than none."""

    def signalled(host: str, name: str) -> None:
        operator.lab.console(host, ["systemctl", "kill", f"--signal={name}", "haproxy"], check=True)

    def hung() -> list[str]:
        return [host for host in LBS if operator.lab.console(host, ["test", "-e", "/run/ha-runbooks/hung"]).returncode == 0]

    signalled("lb1", "STOP")
    vip_on(operator.lab, "lb2")
    signalled("lb2", "STOP")
    eventually(hung, ["lb1", "lb2"])
    vip_on(operator.lab, "lb1")  # by its priority: they are equally bad
    for host in LBS:
        signalled(host, "CONT")
    eventually(hung, [])
    vip_on(operator.lab, "lb1")


def test_servers_that_fail_their_check_are_better_than_none(operator: Operator) -> None:
    def through_the_vip() -> str:
        ask = ["bash", "-c", "exec 3<>/dev/tcp/10.1.1.100/6443; cat <&3"]
        return operator.lab.console("lb1", ["timeout", "5", *ask]).stdout

    def api(host: str) -> dict[str, str]:
        told = json.loads(operator.well("lb.status", "--json"))["lbs"][host]["backends"]
        return {each["server"]: each["status"] for each in told if each["proxy"] == "api"}

    def set_state(state: str) -> None:
        program = set_servers([f"{each}/master1" for each in BACKENDS], state).program
        assert operator.lab.console("lb1", ["bash", "-s"], stdin=program).returncode == 0

    operator.lab.console("master1", ["systemd-run", "-q", "--unit=listener", "perl", "-e", UNREADY], check=True)
    eventually(through_the_vip, "served\n")
    assert api("lb1") == {"master1": "DOWN", "master2": "DOWN", "master3": "DOWN"}
    set_state("maint")  # a host that was taken out gets none in any case
    assert through_the_vip() == ""
    assert api("lb1")["master1"] == "MAINT"
    set_state("ready")
    eventually(through_the_vip, "served\n")
    operator.lab.console("master1", ["systemctl", "stop", "listener"])


def test_a_power_cut_moves_the_vip_and_the_host_comes_back_by_itself(operator: Operator) -> None:
    operator.lab.off("lb1")
    eventually(lambda: "10.1.1.100" in operator.lab.console("lb2", ["ip", "address"]).stdout, True)
    operator.lab.on("lb1")
    vip_on(operator.lab, "lb1")
    operator.idle("lb.setup")


def test_a_cut_and_healed_network_leaves_one_holder(operator: Operator) -> None:
    operator.lab.cut("lb1")
    eventually(lambda: "lb2" in holders(operator.lab), True)
    operator.lab.heal("lb1")
    vip_on(operator.lab, "lb1")


def test_a_planned_hand_over_and_back(operator: Operator) -> None:
    assert "0 failed" in operator.good("lb.failover")
    assert holders(operator.lab) == ["lb2"]
    assert json.loads(operator.well("lb.status", "--json"))["lbs"]["lb1"]["drained"]
    operator.idle("lb.failover", "--to", "lb2")
    operator.good("lb.failover")
    assert holders(operator.lab) == ["lb1"]


def test_a_hand_over_to_an_lb_that_cannot_serve_is_refused(operator: Operator) -> None:
    operator.lab.console("lb2", ["systemctl", "stop", "haproxy"])
    done = operator.inv("lb.failover")
    assert done.returncode == 3
    assert "lb2 cannot take the VIP: haproxy is inactive" in done.stderr
    assert holders(operator.lab) == ["lb1"]
    operator.lab.console("lb2", ["systemctl", "start", "haproxy"])
    assert operator.inv("lb.failover", "--to", "lb3").returncode == 2


@pytest.mark.parametrize(("number", "how"), moments())
def test_interrupted_at_any_change_and_run_again_converges(operator: Operator, number: int, how: signal.Signals) -> None:
    wanted = 5000 + 10 * number + how
    operator.edit(maxconn(wanted))
    expected = -how if how == signal.SIGKILL else 130
    assert operator.strike(number, how, "lb.setup") == expected, operator.last_words
    operator.good("lb.setup")
    for host in LBS:
        assert f"maxconn {wanted}" in operator.lab.console(host, ["cat", CFG]).stdout
        assert operator.lab.console(host, ["find", "/etc/haproxy", "/etc/keepalived", "-name", "*.new"]).stdout == ""
    operator.idle("lb.setup")
    eventually(lambda: len(holders(operator.lab)), 1)


def test_an_interrupted_run_can_be_resumed_by_its_journal(operator: Operator) -> None:
    operator.edit(maxconn(6000))
    operator.strike(3, signal.SIGKILL, "lb.setup")
    text = operator.good("lb.setup", "--resume", "--json")
    skipped = [event["step"] for event in events(text, "step") if event["outcome"] == "done before"]
    assert "lb2: check and install the configuration" in skipped
    assert "maxconn 6000" in operator.lab.console("lb1", ["cat", CFG]).stdout
    assert operator.inv("lb.setup", "--resume").returncode == 2  # nothing is interrupted any more


def test_vrrp_version_2_keeps_its_secret(operator: Operator) -> None:
    def older(site: dict[str, Any]) -> None:
        site["load_balancer"]["vrrp"] |= {"version": 2, "advert_ms": 1000}

    operator.edit(older)
    said = operator.good("lb.setup", "--plan") + operator.good("lb.setup", "--json")
    secrets = {}
    for host in LBS:
        conf = operator.lab.console(host, ["cat", "/etc/keepalived/keepalived.conf"]).stdout
        secrets[host] = conf.split("auth_pass ")[1].split()[0]
        assert operator.lab.console(host, ["stat", "-c", "%a", "/etc/keepalived/keepalived.conf"]).stdout.strip() == "600"
    assert secrets["lb1"] == secrets["lb2"]
    assert len(secrets["lb1"]) == 8
    assert secrets["lb1"] not in said
    assert "auth_pass ***" in said
    kept = [
        path for path in (operator.directory / ".runbooks").rglob("*") if path.is_file() and secrets["lb1"] in path.read_text()
    ]
    assert [path.stat().st_mode & 0o777 for path in kept] == [0o600]
    operator.idle("lb.setup")
    vip_on(operator.lab, "lb1")
    for host in LBS:  # eight characters can be guessed from their digest
        assert operator.lab.console(host, ["stat", "-c", "%a", "/run/ha-runbooks/keepalived.conf.loaded"]).stdout == "600\n"


def test_a_second_operator_without_the_password_does_not_replace_it(operator: Operator, tmp_path: Path) -> None:
    second = Operator(operator.lab, tmp_path)
    second.site.write_text(operator.site.read_text())
    confs = {host: operator.lab.console(host, ["cat", "/etc/keepalived/keepalived.conf"]).stdout for host in LBS}
    kept = next((operator.directory / ".runbooks").rglob("vrrp-auth-pass"))
    mine = tmp_path / kept.relative_to(operator.directory)
    for command in ("lb.setup", "recover.vip"):
        done = second.inv(command)
        assert done.returncode == 3, done.stdout + done.stderr
        assert "lb1, lb2: there is a VRRP password, and this machine does not have it" in done.stderr
        assert f"to {mine}" in done.stderr
    assert not mine.exists()
    assert {host: operator.lab.console(host, ["cat", "/etc/keepalived/keepalived.conf"]).stdout for host in LBS} == confs
    shutil.copy2(kept, mine)  # as the error says
    second.idle("lb.setup")
