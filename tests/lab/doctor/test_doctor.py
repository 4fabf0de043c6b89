"""The doctor on a real cluster: one cause is one finding, and the command that it names is the right one.

The tests build on one another in the order of this file. They leave the cluster whole.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from tests.lab.cluster.test_members import whole
from tests.support.operator import Operator
from tests.support.waiting import again, eventually

pytestmark = pytest.mark.lab

PEERS = {"master1": "10.1.1.101", "master2": "10.1.1.102"}


@pytest.fixture(scope="module", autouse=True)
def left_whole(cluster: Operator) -> Iterator[None]:
    """Whatever fails here, the next module finds a cluster."""
    cluster.good("cluster.init", timeout_s=900)
    whole(cluster)
    yield
    everyone = [host.name for host in cluster.lab.site().hosts]
    cluster.lab.on(*everyone)
    cluster.lab.heal(*everyone)
    cluster.good("cluster.init", timeout_s=900)


def examined(operator: Operator) -> tuple[int, list[dict[str, Any]]]:
    """Return the exit status, and what somebody has to do something about, but for the load of the machine that all hosts share."""
    done = operator.inv("doctor", "--json")
    said = json.loads(done.stdout.splitlines()[0])
    grave = [each for each in said["findings"] if each["severity"] != "note"]
    assert said["ok"] == (not grave)
    assert done.returncode == (1 if grave else 0)
    busy = [each for each in grave if each["topic"] == "load" and each["seen"].startswith("load ")]
    return (1 if grave != busy else 0), [each for each in grave if each not in busy]


def settled(operator: Operator, number: int) -> list[dict[str, Any]]:
    """Return the findings once there are ``number`` of them: what follows from a cause comes and goes with it within seconds."""
    seen: list[tuple[int, list[dict[str, Any]]]] = []

    def wrong() -> list[dict[str, Any]] | int:
        seen.append(examined(operator))
        return number if len(seen[-1][1]) == number else seen[-1][1]

    eventually(wrong, number, 120)
    status, grave = seen[-1]
    assert status == (1 if grave else 0)
    return grave


def test_without_a_backup_that_is_what_it_says_and_nothing_else(saved: Operator) -> None:
    (only,) = settled(saved, 1)
    assert (only["severity"], only["topic"], only["fix"]) == ("warn", "backup", "inv backup.run")
    text = saved.sees("doctor", told="-> inv backup.run\n")
    assert text.returncode == 1
    assert re.search(r"^warn +backup +there is no good set$", text.stdout, re.MULTILINE)


def test_nothing_is_wrong_with_a_whole_cluster(saved: Operator) -> None:
    saved.good("backup.run", timeout_s=300)
    settled(saved, 0)
    well = re.compile(r"nothing is wrong|^ha-cluster: 1 warning.*\n\n.*\nwarn +load ")
    said = again(lambda: saved.inv("doctor").stdout, lambda said: not well.search(said), 120)
    assert well.search(said), said


def test_a_host_without_power_is_one_finding(saved: Operator) -> None:
    saved.lab.off("master3")
    try:
        (only,) = settled(saved, 1)
        assert (only["severity"], only["host"]) == ("warn", "master3")
        assert "inv recover.node --host master3" in only["fix"]
        assert "2 of 3 control plane hosts are left" in only["why"]
    finally:
        saved.lab.on("master3")
    settled(saved, 0)


@pytest.mark.long
def test_parked_pods_are_one_finding_and_its_command_brings_them_back(saved: Operator) -> None:
    park = "mkdir -p /etc/kubernetes/ha-runbooks-parked && cd /etc/kubernetes/manifests && mv etcd.yaml kube-apiserver.yaml ../ha-runbooks-parked/"
    saved.lab.console("master2", ["bash", "-c", park], check=True)
    (only,) = settled(saved, 1)
    assert (only["severity"], only["host"]) == ("warn", "master2")
    assert only["seen"] == "its static pods are parked: etcd, kube-apiserver"
    program, *words = only["fix"].split()
    assert program == "inv"
    saved.good(*words, "--no-backup", timeout_s=400)
    settled(saved, 0)


@contextmanager
def blocked(operator: Operator) -> Iterator[None]:
    """Nothing passes between the members of master1 and master2, in either direction."""
    rules = [("INPUT", "-s", "--dport"), ("INPUT", "-s", "--sport"), ("OUTPUT", "-d", "--dport"), ("OUTPUT", "-d", "--sport")]
    lines = [f"{chain} {side} {PEERS['master1']} -p tcp {port} 2380 -j DROP" for chain, side, port in rules]
    operator.lab.console("master2", ["bash", "-c", "; ".join(f"iptables -I {line}" for line in lines)], check=True)
    try:
        yield
    finally:
        operator.lab.console("master2", ["bash", "-c", "; ".join(f"iptables -D {line}" for line in lines)], check=True)


@pytest.mark.long
def test_members_that_do_not_reach_each_other_are_one_finding(saved: Operator) -> None:
    with blocked(saved):
        (only,) = settled(saved, 1)
        assert (only["severity"], only["host"]) == ("warn", "master1, master2")
        assert "master1 to master2 and master2 to master1 at port 2380" in only["seen"]
        assert "let TCP 2380 pass between 10.1.1.101 and 10.1.1.102" in only["fix"]
    settled(saved, 0)


@pytest.mark.long
def test_two_hosts_without_power_are_the_quorum_lost(saved: Operator) -> None:
    """What follows from the loss (API servers, nodes, pods, backends) is not told; what brought it about is."""
    saved.lab.off("master2", "master3")
    try:
        first, *others = settled(saved, 3)
        assert (first["severity"], first["topic"]) == ("fail", "etcd")
        assert "1 of 3 members" in first["seen"] or "0 of 3 members" in first["seen"]
        assert "switch on master2 or master3" in first["fix"]
        assert "inv recover.etcd-quorum" in first["fix"]
        assert [each["host"] for each in others] == ["master2", "master3"]
    finally:
        saved.lab.on("master2", "master3")
    settled(saved, 0)


@pytest.mark.long
def test_nobody_answers(saved: Operator) -> None:
    everyone = [host.name for host in saved.lab.site().hosts]
    saved.lab.cut(*everyone)
    try:
        done = saved.inv("doctor")
        assert done.returncode == 4, done.stdout + done.stderr
    finally:
        saved.lab.heal(*everyone)
    settled(saved, 0)


@contextmanager
def on_host(operator: Operator, host: str, plant: str, mend: str) -> Iterator[None]:
    """Something is wrong on a host, until it is mended."""
    operator.lab.console(host, ["bash", "-c", plant], check=True)
    try:
        yield
    finally:
        operator.lab.console(host, ["bash", "-c", mend], check=True)


def test_no_inode_left_on_a_load_balancer_and_a_file_system_that_became_read_only(saved: Operator) -> None:
    """Bytes are free, inodes are not: the fix finds many small files, and does not look for large ones."""
    there = "/var/lib/kubelet"  # nothing of an LB is there, and the doctor looks at it on every host
    fill = f"for i in {{1..20}}; do >{there}/$i; done 2>&-; mount -o remount,ro {there}"
    with on_host(saved, "lb2", f"mount -t tmpfs -o nr_inodes=16,size=1m none {there}; {fill}", f"umount {there}"):
        status, found = examined(saved)
        read_only, full = (each for each in found if each["host"] == "lb2")
        assert status == 1
        assert {(each["severity"], each["topic"]) for each in (read_only, full)} == {("fail", "disk")}
        assert read_only["seen"] == f"{there} is read-only"
        assert f"{there} has 0 % of its inodes free" in full["seen"]
        assert f"du -x --inodes --max-depth=5 {there}" in full["fix"]


@pytest.mark.long
def test_a_kubelet_at_its_cpu_limit(saved: Operator) -> None:
    """The least limit that there is, 1 % of a core, in a cgroup as systemd and LXC make them."""
    cgroup = "/sys/fs/cgroup/cpu/tight"
    pids = "$(pidof kubelet)"
    plant = f"mkdir {cgroup}; echo 1000 >{cgroup}/cpu.cfs_quota_us; echo {pids} >{cgroup}/cgroup.procs"
    mend = f"for pid in $(cat {cgroup}/cgroup.procs); do echo $pid >{cgroup}/../cgroup.procs; done; sleep 0.2; rmdir {cgroup}"
    with on_host(saved, "worker1", plant, mend):
        limit = re.compile(r"kubelet: a CPU limit of 1 % of a core stops it \d+ % of the time \(cgroup /tight\)")
        eventually(lambda: [each["host"] for each in examined(saved)[1] if limit.fullmatch(each["seen"])], ["worker1"], 60)
