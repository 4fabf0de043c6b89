"""The engine against real sshd and sudo: who may connect, what an error says, what is left of an interrupted command."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from lab.control import Lab
from tests.support import ROOT
from tests.support.operator import Operator
from tests.support.waiting import eventually

pytestmark = pytest.mark.lab

HOLDER = """1
{expires}
{{"run": "r1", "user": "kim", "machine": "ops2", "pid": 4711, "what": "inv cluster.init", "since": "2026-01-01 03:00:00 UTC"}}
"""


@pytest.fixture
def operator(lab: Lab, tmp_path: Path) -> Operator:
    """An operator with a known_hosts of their own."""
    operator = Operator(lab, tmp_path)
    operator.known = tmp_path / "known_hosts"  # type: ignore[attr-defined]
    (tmp_path / "known_hosts").write_text(lab.instance.known_hosts.read_text())
    operator.edit(lambda site: site["ssh"].update(known_hosts="known_hosts"))
    return operator


def rekeyed(known: str, host: str, donor: str) -> str:
    """known_hosts in which ``host`` has the key of ``donor``."""
    key = next(line.split(" ", 1)[1] for line in known.splitlines() if line.startswith(f"{donor},"))
    return (
        "\n".join(f"{line.split(' ', 1)[0]} {key}" if line.startswith(f"{host},") else line for line in known.splitlines()) + "\n"
    )


def test_the_example_site_sends_nothing_outside_of_the_lab(tmp_path: Path) -> None:
    """In a namespace where every address has a route, nothing leaves while commands run on the shipped hosts.yaml."""
    said = tmp_path / "said"
    script = f"""
        set -eu
        ip link set lo up
        [ ! -d /proc/sys/net/ipv6 ] || echo 1 >/proc/sys/net/ipv6/conf/default/disable_ipv6
        ip link add out0 type veth peer name in0
        ip link set out0 up; ip link set in0 up
        ip address add 203.0.113.1/24 dev out0; ip route add default dev out0
        for words in lb.status lb.setup "lb.setup --plan" lb.failover lb.rollback "site.trust --yes" site.lock "site.unlock --yes"; do
            code=0; {sys.executable} -m invoke $words >>{said} 2>&1 || code=$?
            [ $code = 3 ] || {{ echo "$words exited $code: $(cat {said})"; exit 1; }}
        done
        ip -s -j link show in0
    """
    done = subprocess.run(["unshare", "-n", "bash", "-c", script], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    # A link of IPv6 speaks by itself as soon as it is up; these are made without it.
    assert json.loads(done.stdout)[0]["stats64"]["rx"]["packets"] == 0
    assert said.read_text().count("is the example site") == 8


def test_a_wrong_host_key_is_one_clear_refusal(operator: Operator) -> None:
    known = operator.directory / "known_hosts"
    known.write_text(rekeyed(known.read_text(), "lb2", "lb1"))
    done = operator.inv("lb.setup")
    assert done.returncode == 4
    assert "lb2 (10.1.1.12): its host key is not the one in" in done.stderr
    assert "inv site.trust --host lb2 --replace" in done.stderr
    assert "Traceback" not in done.stderr


def test_trust_shows_asks_records_and_replaces(operator: Operator) -> None:
    known = operator.directory / "known_hosts"
    true = known.read_text()
    known.write_text("")
    assert operator.inv("site.trust", "--host", "lb1,lb2").returncode == 3  # nobody is here to ask
    assert known.read_text() == ""
    said = operator.good("site.trust", "--host", "lb1,lb2", "--yes")
    wanted = subprocess.run(
        ["ssh-keygen", "-lf", str(operator.lab.instance.known_hosts)], capture_output=True, text=True, check=True
    )
    for host in ("lb1", "lb2"):
        fingerprint = next(line.split()[1] for line in wanted.stdout.splitlines() if f"{host}," in line)
        assert fingerprint in said
    subprocess.run(["ssh-keygen", "-q", "-H", "-f", str(known)], check=True, capture_output=True)  # as Debian keeps them
    assert "recorded" not in operator.good("site.trust", "--host", "lb1,lb2", "--yes")

    known.write_text(rekeyed(true, "lb2", "lb1"))
    assert operator.inv("site.trust", "--host", "lb2", "--yes").returncode == 3
    operator.good("site.trust", "--host", "lb2", "--replace", "--yes")
    assert operator.inv("lb.status").returncode != 4


def test_unknown_unreachable_and_refused_are_each_one_clear_error(operator: Operator) -> None:
    known = operator.directory / "known_hosts"
    true = known.read_text()
    known.write_text("\n".join(line for line in true.splitlines() if not line.startswith("lb2,")) + "\n")
    done = operator.inv("lb.setup")
    assert (done.returncode, "its host key is not in" in done.stderr) == (4, True)
    known.write_text(true)

    operator.edit(lambda site: site["ssh"].update(connect_timeout_s=2))
    operator.lab.cut("lb2")
    done = operator.inv("lb.setup")
    operator.lab.heal("lb2")
    assert (done.returncode, "lb2 (10.1.1.12): no answer" in done.stderr) == (4, True)

    operator.edit(lambda site: site["ssh"].update(user="nobody"))
    done = operator.inv("lb.setup")
    assert (done.returncode, "login as nobody was refused" in done.stderr) == (4, True)


def test_missing_sudo_is_told_apart_from_a_failing_command(operator: Operator) -> None:
    operator.lab.console("lb2", ["mv", "/etc/sudoers.d/ops", "/root/ops.sudoers"])
    try:
        done = operator.inv("lb.setup")
    finally:
        operator.lab.console("lb2", ["mv", "/root/ops.sudoers", "/etc/sudoers.d/ops"])
    assert done.returncode == 4
    assert "lb2 (10.1.1.12): ops cannot run commands there as root" in done.stderr
    assert "/etc/sudoers.d" in done.stderr


def test_another_operators_lock_is_respected_shown_broken_and_expires(operator: Operator) -> None:
    path = "/run/ha-runbooks/ha-cluster.lock"

    def put(expires: int) -> None:
        for host in ("lb1", "lb2"):
            operator.lab.console(host, ["mkdir", "-p", "/run/ha-runbooks"])
            operator.lab.console(host, ["tee", path], stdin=HOLDER.format(expires=expires))

    def differ(site: dict[str, Any]) -> None:
        site["load_balancer"]["limits"] = {"maxconn": 3000 + int(time.time()) % 1000}

    operator.edit(differ)
    put(int(time.time()) + 100)
    done = operator.inv("lb.setup")
    assert done.returncode == 3
    assert "kim@ops2 (pid 4711) has been running inv cluster.init since 2026-01-01 03:00:00 UTC" in done.stderr
    assert "kim@ops2" in operator.good("site.lock")
    assert operator.inv("site.unlock").returncode == 3
    operator.good("site.unlock", "--yes")
    assert "is not locked" in operator.good("site.lock")
    put(int(time.time()) - 1)
    operator.good("lb.setup")
    assert "is not locked" in operator.good("site.lock")


def test_what_runs_on_a_host_ends_when_we_are_killed(operator: Operator) -> None:
    """Not only the command itself: everything that it has started."""
    program = (
        "from pathlib import Path; from runbooks.inventory.load import load_site; from runbooks.engine.namespace import enter;"
        "from runbooks.engine.ssh import Ssh; from runbooks.commands.base import cmd;"
        f"site = load_site(Path({str(operator.site)!r})).site; enter(site);"
        "Ssh(site).run(site.hosts[0], cmd('bash', '-c', 'sleep 4242 & sleep 4243', timeout=600))"
    )
    process = subprocess.Popen([sys.executable, "-c", program], cwd=ROOT)

    def running() -> str:
        return operator.lab.console("lb1", ["pgrep", "-x", "-a", "sleep"]).stdout

    eventually(lambda: "sleep 4242" in running() and "sleep 4243" in running(), seconds=30)
    process.kill()
    process.wait()
    eventually(lambda: [line for line in running().splitlines() if "sleep 424" in line], [], 30)


def test_a_command_that_never_ends_is_ended_on_the_host(operator: Operator) -> None:
    program = (
        "from pathlib import Path; from runbooks.inventory.load import load_site; from runbooks.engine.namespace import enter;"
        "from runbooks.engine.ssh import Ssh; from runbooks.commands.base import cmd;"
        f"site = load_site(Path({str(operator.site)!r})).site; enter(site);"
        "Ssh(site).run(site.hosts[0], cmd('sleep', '4245', timeout=1))"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False)
    assert "lb1: `sleep 4245` did not finish in 1 s and was ended" in done.stderr
    assert "sleep 4245" not in operator.lab.console("lb1", ["pgrep", "-x", "-a", "sleep"]).stdout


def test_two_operators_at_the_same_time_one_works_the_other_is_told(
    operator: Operator, tmp_path_factory: pytest.TempPathFactory
) -> None:
    operator.edit(lambda site: site["load_balancer"].update(limits={"maxconn": 7001}))
    other = Operator(operator.lab, tmp_path_factory.mktemp("other"))
    other.edit(lambda site: site["load_balancer"].update(limits={"maxconn": 7002}))
    done: dict[str, subprocess.CompletedProcess[str]] = {}
    threads = [
        threading.Thread(target=lambda who=who, name=name: done.update({name: who.inv("lb.setup")}))
        for name, who in (("a", operator), ("b", other))
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(each.returncode for each in done.values()) in ([0, 3], [0, 0], [3, 3])
    for each in done.values():
        assert each.returncode == 0 or "ha-cluster is locked: " in each.stderr
    operator.good("lb.setup")
    for host in ("lb1", "lb2"):
        assert "maxconn 7001" in operator.lab.console(host, ["cat", "/etc/haproxy/haproxy.cfg"]).stdout


def test_names_of_hosts_and_logins_may_have_dots(operator: Operator) -> None:
    """In hosts.yaml, HAProxy, keepalived, flags, the lock and the report."""
    names = {"lb1": "kube-lb1.dc1.example.com", "lb2": "lb2.dc1", "master1": "kube-m1.dc1.example.com"}
    user = "svc.ansible"
    login = f"""useradd --badname --create-home --shell /bin/bash {user}
        install -d -o {user} -g {user} -m 700 /home/{user}/.ssh
        install -o {user} -g {user} -m 600 /home/ops/.ssh/authorized_keys /home/{user}/.ssh/authorized_keys
        echo '{user} ALL=(ALL) NOPASSWD: ALL' >/etc/sudoers.d/svc-ansible"""
    for host in ("lb1", "lb2"):
        operator.lab.console(host, ["sh", "-ec", login], check=True)

    def rename(site: dict[str, Any]) -> None:
        site["ssh"]["user"] = user
        for host in site["hosts"]:
            host["name"] = names.get(host["name"], host["name"])

    before = operator.site.read_text()
    operator.edit(rename)
    try:
        assert "kube-lb1.dc1.example.com: check and install the configuration  [changed" in operator.good("lb.setup")
        shown = operator.inv("lb.status").stdout
        assert re.search(r"lb2\.dc1 +api +kube-m1\.dc1\.example\.com +", shown), shown
        done = operator.inv("lb.failover", "--to", "kube-lb2")
        assert (done.returncode, "kube-lb1.dc1.example.com, lb2.dc1" in done.stderr) == (2, True)
    finally:
        operator.site.write_text(before)
        for host in ("lb1", "lb2"):
            operator.lab.console(host, ["sh", "-c", f"rm -f /etc/sudoers.d/svc-ansible; userdel -rf {user}"])
