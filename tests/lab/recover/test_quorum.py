"""etcd's quorum is lost: what must not be restored is refused, all three members and one of three come back from a set.

The tests build on one another in the order of this file. They leave the cluster whole, with the stock in it.
"""

from __future__ import annotations

import json
import re
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.loss import without_quorum
from tests.support.operator import Operator, edit_manifest
from tests.support.stock import STOCK, WHOLE, counted, kubectl, works
from tests.support.waiting import eventually

pytestmark = pytest.mark.lab

MASTERS = ("master1", "master2", "master3")
RESTORE = ("recover.etcd-quorum", "--yes-restore", "ha-cluster")
LOSE_DATA = "systemctl stop kubelet; rm -rf /var/lib/etcd/member; pkill -9 -x etcd; systemctl start kubelet"
INIT_WROTE = (
    "sed -i -e '/initial-cluster-state/d' -e 's|--initial-cluster=.*|--initial-cluster=master1=https://10.1.1.101:2380|' "
    "/etc/kubernetes/manifests/etcd.yaml"
)
COUNT = "ls -d /var/lib/etcd/aside-restore-* 2>/dev/null | wc -l"
LEFT = "ls /var/lib/ha-runbooks/etcd-restore; ls -d /var/lib/etcd/restored-new"


@pytest.fixture(scope="module")
def lost(saved: Operator) -> Iterator[Operator]:
    """An operator with one set of the stock. Whatever fails here, the next module finds a cluster."""
    clean(saved)
    saved.good("backup.run")
    yield saved
    saved.lab.on(*MASTERS)
    saved.lab.heal(*MASTERS)
    clean(saved)
    if saved.inv("cluster.join", "--host", ",".join(MASTERS), timeout_s=900).returncode:
        saved.good("cluster.reset", "--yes-destroy", "ha-cluster", timeout_s=300)
        saved.good("cluster.init", timeout_s=900)


def clean(operator: Operator) -> None:
    """Delete what restores have left on a lab that is kept."""
    for host in MASTERS:
        operator.lab.console(host, ["bash", "-c", "rm -rf /var/lib/etcd/aside-restore-* /var/lib/ha-runbooks/etcd-restore"])


def create(operator: Operator, name: str) -> None:
    done = kubectl(operator, "-n", STOCK, "create", "configmap", name, "--from-literal=a=b")
    assert done.returncode == 0, done.stderr


def revisions(operator: Operator) -> dict[str, int]:
    """Return each member's revision that answers."""
    hosts = json.loads(operator.inv("etcd.status", "--json").stdout.splitlines()[0])["hosts"]
    return {host: each["status"]["revision"] for host, each in hosts.items() if each.get("status")}


def watched(operator: Operator, version: int) -> str:
    """Return what a watch that was last told of ``version`` gets now."""
    path = f"/api/v1/namespaces/{STOCK}/configmaps?watch=1&resourceVersion={version}&timeoutSeconds=5"
    done = kubectl(operator, "get", "--raw", path)
    return done.stdout + done.stderr


# ---- what is refused


def untouched(operator: Operator, *hosts: str) -> bool:
    """Whether no host was asked to do anything."""
    return all(operator.lab.console(host, ["ls", "/var/lib/ha-runbooks/etcd-restore"]).returncode for host in hosts)


def test_a_cluster_that_has_its_quorum_is_not_restored(lost: Operator) -> None:
    for more in ((), ("--from-member", "master1"), ("--plan",)):
        done = lost.inv(*RESTORE, *more)
        assert (done.returncode, "etcd has a quorum" in done.stderr) == (3, True), done.stdout + done.stderr
    assert untouched(lost, *MASTERS)


@pytest.mark.long
def test_a_majority_that_only_has_to_be_started_is_not_restored_over(lost: Operator) -> None:
    for host in ("master2", "master3"):
        lost.lab.console(
            host, ["bash", "-c", "mv /etc/kubernetes/manifests/etcd.yaml /root/; systemctl stop kubelet; pkill -9 -x etcd"]
        )
    try:
        done = lost.inv(*RESTORE)
    finally:
        for host in ("master2", "master3"):
            lost.lab.console(host, ["bash", "-c", "mv /root/etcd.yaml /etc/kubernetes/manifests/; systemctl start kubelet"])
    assert done.returncode == 3, done.stdout + done.stderr
    assert "a majority of the members has its data and can be started" in done.stderr
    assert "inv recover.etcd-member --member master2" in done.stderr
    assert untouched(lost, *MASTERS)
    eventually(lambda: lost.trouble("etcd.status"), "")


def test_hosts_that_are_only_out_of_reach_may_have_the_quorum(lost: Operator) -> None:
    """Their SSH is broken, and their etcd is not: a restore beside them would make two clusters of one."""
    for host in ("master2", "master3"):
        lost.lab.console(host, ["bash", "-c", "systemctl stop ssh; pkill -x sshd; true"])
    lost.lab.console("master1", ["bash", "-c", "mv /etc/kubernetes/manifests/etcd.yaml /root/; pkill -9 -x etcd"])
    try:
        done = lost.inv(*RESTORE, "--insist")
    finally:
        lost.lab.console("master1", ["bash", "-c", "mv /root/etcd.yaml /etc/kubernetes/manifests/; systemctl restart kubelet"])
        for host in ("master2", "master3"):
            lost.lab.console(host, ["systemctl", "start", "ssh"])
    assert done.returncode == 3, done.stdout + done.stderr
    assert "are alive, and may have the quorum" in done.stderr
    assert untouched(lost, "master1")
    eventually(lambda: lost.trouble("etcd.status"), "")


# ---- three of three lost, every host alive


def test_a_cluster_that_began_by_itself_on_an_empty_disk_is_not_taken_for_the_old_one(lost: Operator) -> None:
    """The first host's manifest says what kubeadm init wrote: without data it begins a cluster of its own."""
    lost.lab.console("master1", ["bash", "-c", INIT_WROTE], check=True)
    for host in MASTERS:
        lost.lab.console(host, ["bash", "-c", LOSE_DATA])
    eventually(lambda: "master1" in revisions(lost), seconds=120)
    done = lost.inv(*RESTORE)
    assert done.returncode == 3, done.stdout + done.stderr
    assert "it is a cluster of one" in done.stderr
    assert "--insist" in done.stderr


def test_an_etcd_that_does_not_know_its_flags_is_refused_before_anything_is_stopped(lost: Operator) -> None:
    """kubeadm 1.36 writes this flag for etcd 3.6; the etcd of this cluster would end at once."""
    plant, mend = r"s|^    - --data-dir|    - --feature-gates=InitialCorruptCheck=true\n&|", "/feature-gates/d"
    lost.lab.console("master3", ["bash", "-c", edit_manifest("etcd", plant)], check=True)
    try:
        done = lost.inv(*RESTORE, "--insist", "--plan")
    finally:
        lost.lab.console("master3", ["bash", "-c", edit_manifest("etcd", mend)], check=True)
    assert (done.returncode, "nothing was stopped, because etcd would not start" in done.stderr) == (3, True), done.stderr
    assert "does not take --feature-gates of its etcd.yaml" in done.stderr
    assert "etcd 3.6 and newer" in done.stderr
    assert "master1: etcd" not in done.stderr


@pytest.mark.parametrize(
    ("words", "exit_status", "named"),
    [
        (("recover.etcd-quorum", "--insist"), 3, "it was not confirmed"),
        (("recover.etcd-quorum", "--insist", "--yes-restore", "other"), 3, "'other' is not the cluster's name"),
        ((*RESTORE, "--insist", "--backup", "20200101T000000Z"), 2, "no set called"),
        ((*RESTORE, "--insist", "--snapshot", "/none"), 2, "no such file"),
        ((*RESTORE, "--insist", "--from-member", "master2"), 2, "no database that can be read"),
        ((*RESTORE, "--insist", "--from-member", "master2", "--backup", "x"), 2, "exclude one another"),
    ],
    ids=["nobody asked", "another name", "no set", "no file", "no database", "two sources"],
)
def test_what_cannot_be_restored_is_refused(lost: Operator, words: tuple[str, ...], exit_status: int, named: str) -> None:
    done = lost.inv(*words)
    assert (done.returncode, named in done.stderr) == (exit_status, True), done.stdout + done.stderr
    assert untouched(lost, *MASTERS)


def test_a_broken_snapshot_is_refused(lost: Operator, tmp_path: Path) -> None:
    (path,) = (lost.directory / "sets").glob("2*/etcd/master1.db")
    content = bytearray(path.read_bytes())
    for name, changed in (("cut", content[:-1000]), ("flipped", content[:5000] + bytes([content[5000] ^ 1]) + content[5001:])):
        (tmp_path / name).write_bytes(changed)
        done = lost.inv(*RESTORE, "--insist", "--snapshot", str(tmp_path / name))
        assert done.returncode == 3, done.stdout + done.stderr
        assert "SHA-256" in done.stderr
    database = tmp_path / "database"
    database.write_bytes(content[:-32])
    done = lost.inv("recover.etcd-quorum", "--yes-restore", "ha-cluster", "--snapshot", str(database))
    assert done.returncode == 3
    assert untouched(lost, *MASTERS)


def test_three_of_three_are_restored_at_once(lost: Operator) -> None:
    lost.lab.console("worker1", ["mv", "/etc/kubernetes/kubelet.conf", "/root/"], check=True)  # as if it were in no cluster
    plan = lost.good("recover.etcd-quorum", "--insist", "--plan")
    assert re.search(r"restore +the set", plan)
    assert re.search(r"onto +master1, master2, master3", plan)
    assert re.search(r"not joined +worker1 is in hosts.yaml and in no cluster: it is not waited for", plan)
    assert untouched(lost, *MASTERS)
    before = lost.good("backup.show", "--json")
    revision = json.loads(before)["manifest"]["etcd"]["revision"]
    try:
        said = lost.good(*RESTORE, "--insist", timeout_s=600)
    finally:
        lost.lab.console("worker1", ["mv", "/root/kubelet.conf", "/etc/kubernetes/"])
    assert "a quorum, which is given up (--insist)" in said
    assert "worker1 is in hosts.yaml, but has not joined: inv cluster.join --host worker1" in said
    assert counted(lost) == WHOLE
    assert min(revisions(lost).values()) > revision + 1_000_000_000
    assert "too old resource version" in watched(lost, revision)
    works(lost)
    lost.verified()
    sets = [path.name for path in (lost.directory / "sets").glob("2*")]
    assert len(sets) == 2
    for host in MASTERS:  # the old data is there, nothing secret is left over, and an empty disk begins no cluster any more
        assert lost.lab.console(host, ["bash", "-c", COUNT]).stdout.strip() == "1"
        left = lost.lab.console(host, ["bash", "-c", LEFT]).stdout.split()
        assert sorted(left) == ["aside", "done"]
        manifest = lost.lab.console(host, ["cat", "/etc/kubernetes/manifests/etcd.yaml"]).stdout
        assert "--initial-cluster-state=existing" in manifest
        assert all(f"{name}=https://" in manifest for name in MASTERS)
    again = lost.inv(*RESTORE)
    assert (again.returncode, "etcd has a quorum" in again.stderr) == (3, True)


# ---- two of three hosts lost


def strike(operator: Operator, steps: int, *words: str) -> tuple[int, list[dict[str, Any]]]:
    """Kill a command with SIGKILL as soon as ``steps`` more steps are over; return how it ended, and what it said.

    Never after a procedure's last step: whether its end is recorded by then would be chance.
    """
    left, missing = 0, steps

    def over(event: dict[str, Any]) -> bool:
        nonlocal left, missing
        if event["event"] == "begin":
            left = len(event["steps"])
            if event["procedure"] == words[0]:
                missing = steps
            if event["procedure"] == "backup.run":
                missing = 1_000  # the restore itself is over
        if event["event"] == "step":
            left -= 1
            missing -= event["outcome"] in {"changed", "ok"}
        return missing <= 0 < left

    exited, events = operator.follow(*words, when=over, act=lambda process, _: process.send_signal(signal.SIGKILL))
    return exited, [*events, {"error": operator.last_words}]


@pytest.mark.long
def test_one_of_three_goes_on_with_a_set_and_is_killed_after_every_step(lost: Operator) -> None:
    """Two hosts are off for good. The survivor has newer data, which is given up on purpose; each run is killed, and goes on."""
    newest = max(path.name for path in (lost.directory / "sets").glob("2*"))
    create(lost, "after-the-set")
    top = max(revisions(lost).values())
    without_quorum(lost, "master2", "master3")
    plan = lost.good(*RESTORE, "--plan")
    assert "the database on master1" in plan  # by itself it would take the newer one
    told = lost.good(*RESTORE, "--backup", newest, "--plan")
    assert f"configmaps/{STOCK}/after-the-set" in told
    assert "without   master2: " in told
    code, rounds, said = -9, 0, []
    while code == -signal.SIGKILL:
        # Once without --resume, in the middle: what was done is then seen on the hosts.
        go_on = [*RESTORE, "--backup", newest] if rounds in {0, 8} else ["recover.etcd-quorum", "--resume"]
        code, said = strike(lost, 1, *go_on)
        rounds += 1
        assert rounds < 40, said
    assert code == 5, said
    assert rounds > 15
    assert "inv cluster.join --host master2,master3" in said[-1]["error"]
    assert counted(lost) == WHOLE
    assert kubectl(lost, "-n", STOCK, "get", "configmap", "after-the-set").returncode == 1
    assert revisions(lost)["master1"] > top + 900_000_000
    assert "too old resource version" in watched(lost, top)
    members = json.loads(lost.inv("etcd.members", "--json").stdout)
    assert [each["name"] for each in members] == ["master1"]
    assert lost.lab.console("master1", ["bash", "-c", COUNT]).stdout.strip() == "2"
    works(lost)


@pytest.mark.long
def test_the_lost_hosts_come_back_as_empty_machines(lost: Operator) -> None:
    lost.lab.reset("master2", "master3")
    lost.good("cluster.join", "--host", "master2,master3", timeout_s=900)
    lost.verified()
    assert counted(lost) == WHOLE
