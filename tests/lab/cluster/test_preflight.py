"""Preflight on real hosts: fit ones pass, and what is wrong with others is seen, reported with its fix, and stops cluster.init."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from typing import Any

import pytest

from lab.control import Lab
from lab.kubernetes import Kubernetes
from tests.lab.lb.test_dnf import BECOME, VENDOR, publish
from tests.support.lab import SITE, name
from tests.support.operator import Operator
from tests.support.waiting import eventually

pytestmark = pytest.mark.lab

HOSTS = ("lb1", "master1", "master2", "worker1")
NODES = HOSTS[1:]
VIP = "10.1.1.100"
HARDENING = "/etc/sysctl.d/99-hardening.conf"
WRITTEN = "find / -xdev -newer /run/mark -not -path '/proc/*' -not -path '/sys/*' -not -path '/run/*' -not -path '/var/log/*' -not -path '/var/cache/apt/*' -type f"
SQUAT = "my $s = IO::Socket::INET->new(LocalPort => 6443, Listen => 5, ReuseAddr => 1) or die; sleep 1000"


@pytest.fixture(scope="module")
def operator(machine_before: object, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Operator]:
    """An operator with a small site of hosts that nothing was installed on; the VIP is held by hand, as keepalived would."""
    lab, keep = Lab(f"{name()}-pre"), os.environ.get("HA_LAB_KEEP") == "1"
    if not keep:
        lab.down()
    try:
        lab.up(SITE, HOSTS, Kubernetes())
        shell(lab, "lb1", f"ip address replace {VIP}/32 dev eth0")
        someone = Operator(lab, tmp_path_factory.mktemp("preflight"))
        someone.edit(lambda site: site.update(hosts=[host for host in site["hosts"] if host["name"] in (*HOSTS, "lb2")]))
        someone.edit(lambda site: site["ssh"].update(connect_timeout_s=2))
        yield someone
    finally:
        if not keep:
            lab.down()


def shell(lab: Lab, host: str, text: str) -> str:
    """Run a line of shell on the host's console."""
    return lab.console(host, ["bash", "-c", text], check=True).stdout


def findings(operator: Operator, exits: int = 0) -> list[dict[str, Any]]:
    """What cluster.preflight --json finds."""
    done = operator.inv("cluster.preflight", "--json")
    assert done.returncode == exits, done.stdout + done.stderr
    told = json.loads(done.stdout.splitlines()[0])
    assert told["ok"] == (exits == 0)
    found: list[dict[str, Any]] = told["findings"]
    return found


def problems(found: list[dict[str, Any]]) -> dict[tuple[str, str], tuple[str, str]]:
    """Severity and text of what is not ok, by host and topic; but for the load of the machine, which all hosts share."""
    wrong = [each for each in found if each["severity"] != "ok" and each["topic"] != "load"]
    return {(each["host"], each["topic"]): (each["severity"], each["seen"]) for each in wrong}


def test_fit_hosts_pass_and_are_left_as_they_were(operator: Operator) -> None:
    for host in NODES:
        shell(operator.lab, host, "touch /run/mark")
    found = findings(operator)
    assert problems(found) == {}
    seen = {(each["host"], each["topic"]): each["seen"] for each in found}
    assert seen["master1", "packages"] == "1.20.2 is offered"
    assert seen["master1", "etcd disk"].startswith("p99 ")
    assert seen["master1", "endpoint"] == f"{VIP}:6443 is reachable"
    assert "to master2" in seen["master1", "latency"]
    for host in NODES:
        assert shell(operator.lab, host, WRITTEN).split() == []


def test_what_is_wrong_is_found_where_it_is_and_nowhere_else(operator: Operator) -> None:
    """Everything at once: one look costs the same."""
    lab = operator.lab
    shell(lab, "master1", f"systemd-run -q --unit=squatter perl -MIO::Socket::INET -e '{SQUAT}'")
    shell(lab, "master1", "hostname wrong; mkdir -p /var/lib/etcd/lost+found /var/lib/etcd/aside-20260101T000000Z")
    shell(lab, "master2", "mount -t tmpfs -o size=3g tmpfs /var/lib/etcd; fallocate -l 2500m /var/lib/etcd/ballast")
    shell(lab, "master2", "iptables -A INPUT -p tcp --dport 2380 -j DROP; ip link set eth0 mtu 1400")
    shell(lab, "worker1", r"sed 's/^10\.1\.1\.100 /10.1.1.99 /' /etc/hosts >/tmp/hosts; cat /tmp/hosts >/etc/hosts")
    shell(lab, "worker1", "mkdir -p /etc/kubernetes/manifests; touch /etc/kubernetes/manifests/old.yaml")
    for host in ("master2", "worker1"):
        shell(lab, host, "echo 0123456789abcdef0123456789abcdef >/run/clone; mount --bind /run/clone /etc/machine-id")
    shell(lab, "worker1", f"echo net.ipv4.ip_forward=0 >{HARDENING}")
    shell(lab, "worker1", "echo 'deb file:/srv/vendor sid main' >/etc/apt/sources.list.d/vendor.list")
    shell(lab, "worker1", r"""printf '#!/bin/sh\necho 1000000000.5\n' >/usr/local/bin/date; chmod +x /usr/local/bin/date""")
    try:
        found = problems(findings(operator, exits=1))
        refused = operator.inv("cluster.init")
    finally:
        shell(lab, "master1", "systemctl stop squatter; hostname master1")
        shell(lab, "master2", "umount /var/lib/etcd /etc/machine-id; iptables -F; ip link set eth0 mtu 1500")
        shell(
            lab,
            "worker1",
            f"umount /etc/machine-id; rm -r /usr/local/bin/date /etc/kubernetes /etc/apt/sources.list.d/vendor.list {HARDENING}; sed -i.old s/10.1.1.99/10.1.1.100/ /tmp/hosts; cat /tmp/hosts >/etc/hosts",
        )
    expected = {
        ("master1", "ports"): ("fail", "6443 is taken by perl"),
        ("worker1", "at boot"): ("warn", f"{HARDENING} sets net.ipv4.ip_forward = 0 at boot"),
        ("worker1", "packages"): (
            "warn",
            "the repository file:/srv/vendor sid cannot be used: does not have a Release file",
        ),
        ("worker1", "leftovers"): ("fail", "left by another cluster: /etc/kubernetes/manifests/old.yaml"),
        ("master1", "hostname"): ("warn", "the host calls itself wrong"),
        ("master2", "space"): ("fail", "/var/lib/etcd: 572.0 MiB free (19 %)"),
        ("master2", "etcd files"): ("fail", "/var/lib/etcd has files that are not etcd's: ballast"),
        ("master2", "reachable"): ("fail", "master1 does not reach master2:2380"),
        ("master2", "MTU"): ("warn", "MTU 1400 on eth0, and 1500 elsewhere"),
        ("master2", "identity"): ("fail", "the same /etc/machine-id as worker1"),
        ("worker1", "identity"): ("fail", "the same /etc/machine-id as master2"),
        ("worker1", "name"): ("fail", f"k8s-api.company.local is 10.1.1.99 there, not {VIP}"),
    }
    clock = found.pop(("worker1", "clock"))
    assert clock[0] == "fail"
    assert "s apart from master" in clock[1]
    assert found == expected
    # The gate of cluster.init: one clear error with every reason and its fix, and nothing has been installed.
    assert refused.returncode == 3, refused.stdout + refused.stderr
    for (host, topic), (severity, seen) in expected.items():
        assert (f"{host}: {topic}: {seen}" in refused.stderr) == (severity == "fail")
    assert "-> stop that program, or move it to another port" in refused.stderr
    assert operator.lab.console("master2", ["test", "-e", "/usr/bin/containerd"]).returncode == 1
    assert problems(findings(operator)) == {}


def test_services_that_would_ask_a_proxy_for_the_cluster(operator: Operator) -> None:
    """From a drop-in and from a file of variables; what the login finds in /etc/environment is kept from our commands."""
    lab = operator.lab
    units, proxy = "/run/systemd/system", "http://user:geheim@10.1.1.250:3128"
    for unit in ("kubelet", "containerd"):
        shell(
            lab,
            "master1",
            f"printf '[Service]\nExecStart=/bin/true\n' >{units}/{unit}.service; mkdir -p {units}/{unit}.service.d",
        )
    shell(lab, "master1", f"printf 'http_proxy={proxy}\nHTTPS_PROXY={proxy}\n' >/etc/environment")
    shell(lab, "master1", f"printf 'HTTPS_PROXY={proxy}\nno_proxy=\"10.0.0.0/8,localhost\"\n' >/etc/default/kubelet")
    shell(lab, "master1", f"printf '[Service]\nEnvironmentFile=-/etc/default/kubelet\n' >{units}/kubelet.service.d/proxy.conf")
    line = f'Environment="http_proxy={proxy}" "NO_PROXY=10.0.0.0/8,.company.local"'
    shell(lab, "master1", f"printf '%s\n' '[Service]' '{line}' >{units}/containerd.service.d/proxy.conf; systemctl daemon-reload")
    try:
        found = findings(operator)
    finally:
        shell(
            lab,
            "master1",
            f"rm -r {units}/kubelet.service* {units}/containerd.service* /etc/default/kubelet; systemctl daemon-reload",
        )
        shell(lab, "master1", ": >/etc/environment")
    assert problems(found) == {
        ("master1", "proxies"): ("warn", "kubelet would ask its proxy for k8s-api.company.local"),
    }
    assert "geheim" not in json.dumps(found)


def test_hosts_that_cannot_be_looked_at_are_rows_and_the_others_are_judged(operator: Operator) -> None:
    lab = operator.lab
    lab.cut("master2")
    shell(lab, "worker1", "mv /etc/sudoers.d/ops /root/")
    try:
        found = findings(operator, exits=1)
        refused = operator.inv("cluster.init")
    finally:
        lab.heal("master2")
        shell(lab, "worker1", "mv /root/ops /etc/sudoers.d/")
    assert problems(found).keys() == {("master2", "login"), ("worker1", "login")}
    assert "ops cannot run commands there as root" in problems(found)["worker1", "login"][1]
    assert sum(each["host"] == "master1" for each in found) >= 23
    assert refused.returncode == 4, refused.stdout + refused.stderr
    assert "master2 (10.1.1.102)" in refused.stderr
    assert "worker1 (10.1.1.201)" in refused.stderr


def test_a_vip_that_nobody_holds(operator: Operator) -> None:
    shell(operator.lab, "lb1", f"ip address del {VIP}/32 dev eth0")
    try:
        found = findings(operator, exits=1)
    finally:
        shell(operator.lab, "lb1", f"ip address add {VIP}/32 dev eth0")
    assert problems(found).keys() == {(host, "endpoint") for host in NODES}
    for host in NODES:  # one that has just asked in vain who has it may be told so once more
        eventually(
            lambda host=host: shell(operator.lab, host, f"ping -c 1 -W 1 {VIP} >/dev/null && echo it answers || true"),
            "it answers\n",
        )


def test_a_version_that_no_repository_has(operator: Operator) -> None:
    operator.edit(lambda site: site["kubernetes"].update(version="1.20.99"))
    try:
        done = operator.inv("cluster.preflight")
    finally:
        operator.edit(lambda site: site["kubernetes"].update(version="1.20.2"))
    assert done.returncode == 1
    assert "3 checks failed on master1, master2, worker1" in done.stderr
    assert "kubeadm 1.20.99 is not offered (there is 1.20.3-1.1, 1.20.2-1.1)" in done.stdout
    assert not any(line.startswith("ok ") for line in done.stdout.splitlines())


def test_a_host_of_the_red_hat_family(operator: Operator) -> None:
    """Real dnf, and packages that are stand-ins."""
    lab = operator.lab
    lab.console("worker1", ["bash", "-c", BECOME], check=True)
    programs = dict.fromkeys(("kubeadm", "kubelet", "cri-tools"), "1.20.2-0") | {"containerd.io": "1.6.20-3.1.el9"}
    publish(lab, "worker1", programs)
    found = problems(findings(operator, exits=1))
    assert found == {("worker1", "packages"): ("fail", "kubectl 1.20.2 is not offered (there is none)")}
    publish(lab, "worker1", {"kubectl": "1.20.2-0"})
    # As the community's repository file has it: excluded, and installed with --disableexcludes.
    shell(lab, "worker1", "echo 'exclude=kubeadm kubelet kubectl' >>/etc/yum.repos.d/rehearsal.repo")
    assert problems(findings(operator)) == {}
    lab.console("worker1", ["tee", "/etc/yum.repos.d/vendor.repo"], stdin=VENDOR, check=True)
    ((severity, seen),) = problems(findings(operator)).values()
    assert severity == "warn"
    assert seen.startswith("the repository vendor cannot be used: Curl error (37): Couldn't read a file")
