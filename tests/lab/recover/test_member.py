"""One member of etcd is lost, in every way, and comes back: each time with all that the cluster held.

The tests build on one another in the order of this file. They leave the cluster whole.
"""

from __future__ import annotations

import json
import re
import signal
from collections.abc import Iterator
from typing import Any

import pytest

from tests.support import expiry, planted
from tests.support.loss import leader, lose_data, not_leading
from tests.support.operator import Operator, sh
from tests.support.stock import CONFIG_MAPS, STOCK, WIDGETS
from tests.support.waiting import eventually

pytestmark = pytest.mark.lab

KUBECTL = ["kubectl", "--kubeconfig=/etc/kubernetes/admin.conf"]
MASTERS = ("master1", "master2", "master3")


@pytest.fixture(scope="module", autouse=True)
def left_whole(saved: Operator) -> Iterator[None]:
    """Whatever fails here, the next module finds a cluster."""
    yield
    saved.lab.on(*MASTERS)
    saved.lab.heal(*MASTERS)
    for host in MASTERS:
        saved.inv("recover.etcd-member", "--member", host, "--no-backup", timeout_s=600)
    saved.good("cluster.init", timeout_s=900)
    for host in ("master3", "worker1"):
        planted.pull_out(saved, "master1", host)


def etcdctl(saved: Operator, host: str, *words: str) -> str:
    pki = "/etc/kubernetes/pki/etcd"
    flags = f"--cacert={pki}/ca.crt --cert={pki}/server.crt --key={pki}/server.key"
    find = "crictl ps -q --state running --label io.kubernetes.container.name=etcd"
    return sh(saved, host, f"crictl exec $({find}) etcdctl {flags} {' '.join(words)}")


def whole(saved: Operator) -> None:
    """The proof of each recovery: cluster.verify is green, and every object is there with its content."""
    saved.verified()  # the kubelet of 1.20 is slow to call a pod ready
    for host in MASTERS:  # each has a store of its own behind it
        server = [*KUBECTL, f"--server=https://{address(saved, host)}:6443", "-n", STOCK]
        found = saved.lab.console(host, [*server, "get", "configmaps", "-o", "json"], check=True, timeout_s=60)
        maps = [each for each in json.loads(found.stdout)["items"] if each["metadata"]["name"].startswith("configmap-")]
        assert len(maps) == CONFIG_MAPS
        assert all(each["data"]["number"] == each["metadata"]["labels"]["number"] for each in maps)
        widgets = saved.lab.console(host, [*server, "get", "widgets", "-o", "name"], check=True).stdout
        assert len(widgets.split()) == WIDGETS


def address(saved: Operator, name: str) -> str:
    return str(saved.lab.site().host(name).address)


def members(saved: Operator) -> dict[str, str]:
    """Return the members' IDs by their names."""
    return {each["name"]: each["id"] for each in json.loads(saved.good("etcd.members", "--json"))}


def killed_after(saved: Operator, number: int, *words: str) -> tuple[int, int]:
    """Run a command and SIGKILL it after its procedure's ``number``-th step; return how it ended, and how many steps there are."""
    steps = total = 0

    def over(event: dict[str, Any]) -> bool:
        nonlocal steps, total
        if event["event"] == "begin" and event["procedure"] == words[0]:
            steps, total = 0, len(event["steps"])
        steps += event["event"] == "step" and total > 0
        return steps == number

    exited, _ = saved.follow(*words, when=over, act=lambda process, _: process.send_signal(signal.SIGKILL))
    return exited, total


def killed_on_the_way(saved: Operator, *words: str, brief: bool) -> int:
    """Kill a command after its first step, go on with --resume until the second one is done, and so on; return the steps.

    ``brief``: only after the first one, the one in the middle, and the last but one.
    """
    code, total = killed_after(saved, 1, *words)
    for number in (total // 2, total - 1) if brief else range(2, total):
        assert code == -signal.SIGKILL
        code, _ = killed_after(saved, number, *words, "--resume")
    assert code == -signal.SIGKILL
    saved.good(*words, "--resume", timeout_s=600)
    return total


def test_a_member_that_is_well_is_left_alone(saved: Operator) -> None:
    said = saved.good("recover.etcd-member", "--member", "master2")
    assert "it is healthy: nothing to repair" in said
    assert "nothing to do" in said.splitlines()[-1]
    unknown = saved.inv("recover.etcd-member", "--member", "10.1.1.199")
    assert (unknown.returncode, "10.1.1.199" in unknown.stderr) == (2, True), unknown.stderr


@pytest.mark.long
def test_a_stopped_one_is_only_started(saved: Operator) -> None:
    """Its data is good: no removal, the same identity afterwards."""
    before = members(saved)
    sh(
        saved,
        "master3",
        "systemctl stop kubelet; mkdir -p /root/away; mv /etc/kubernetes/manifests/etcd.yaml /root/away/; pkill -x etcd",
    )
    sh(
        saved,
        "master3",
        "mkdir -p /etc/kubernetes/ha-runbooks-parked; mv /root/away/etcd.yaml /etc/kubernetes/ha-runbooks-parked/",
    )
    said = saved.good("recover.etcd-member", "--member", before["master3"], "--diff", timeout_s=300)
    assert "it has to be started" in said
    assert "member remove" not in said
    assert members(saved) == before


@pytest.mark.long
def test_the_first_hosts_data_directory_is_lost(saved: Operator) -> None:
    """Issue 5, (2): its manifest lets it begin a cluster of its own, with the identity that the others still know."""
    before = members(saved)
    expiry.knock(saved, "master1")  # what its log says of others' certificates is no fault of its own
    lose_data(saved, "master1")
    plan = saved.good("recover.etcd-member", "--member", "10.1.1.101", "--plan")
    assert "nothing was touched" in plan
    assert members(saved) == before
    said = saved.good("recover.etcd-member", "--member", "10.1.1.101", "--diff", timeout_s=400)
    assert "joins again as an empty member" in said
    assert f"etcdctl member remove {before['master1']}" in said
    after = members(saved)
    assert set(after) == set(MASTERS)
    assert after["master1"] != before["master1"]
    whole(saved)


@pytest.mark.long
def test_the_leaders_log_is_corrupt(saved: Operator) -> None:
    """Issue 5, (3): what is left of it is kept."""
    host = leader(saved)
    spoil = (
        "f=$(ls -t /var/lib/etcd/member/wal/*.wal | head -n 1); dd if=/dev/urandom of=$f bs=1k count=8 seek=4 conv=notrunc 2>&1"
    )
    sh(saved, host, f"systemctl stop kubelet; pkill -9 -x etcd; sleep 0.2; {spoil}; systemctl start kubelet")
    eventually(lambda: "crc" in saved.lab.console(host, ["bash", "-c", LAST_WORDS]).stdout)
    said = saved.good("recover.etcd-member", "--member", host, timeout_s=400)
    assert "its write-ahead log is corrupt" in said
    kept = re.search(r"its old data is kept in (\S+);", said)
    assert kept
    assert "db" in sh(saved, host, f"ls {kept[1]}/member/snap")
    whole(saved)


LAST_WORDS = "crictl logs $(crictl ps -a -q --last 1 --label io.kubernetes.container.name=etcd) 2>&1 | tail -n 5"


@pytest.mark.long
def test_a_learner_that_is_stuck(saved: Operator) -> None:
    """Added, never started: as an interrupted join of newer kubeadm leaves it."""
    not_leading(saved, "master2")
    old = members(saved)["master2"]
    sh(saved, "master2", "systemctl stop kubelet; pkill -9 -x etcd; rm -rf /var/lib/etcd/member")
    etcdctl(saved, "master1", "member", "remove", old)
    etcdctl(saved, "master1", "member", "add", "master2", "--learner", "--peer-urls=https://10.1.1.102:2380")
    said = saved.good("recover.etcd-member", "--member", "master2", timeout_s=400)
    assert "joins again as an empty member" in said
    assert not any(each["learner"] for each in json.loads(saved.good("etcd.members", "--json")))


def test_only_we_cannot_reach_it(saved: Operator) -> None:
    """A member that the others find healthy is not removed only because this machine cannot reach it."""
    sh(saved, "master3", "nft add table inet test; nft 'add chain inet test in { type filter hook input priority 0; }'; "
       "nft add rule inet test in tcp dport 22 drop")  # fmt: skip
    done = saved.inv("recover.etcd-member", "--member", "master3", "--diff")
    sh(saved, "master3", "nft delete table inet test")
    assert (done.returncode, "its member of etcd is healthy" in done.stderr) == (3, True), done.stdout + done.stderr
    assert "ran on" not in done.stdout


def test_what_would_cost_the_quorum_is_refused(saved: Operator) -> None:
    saved.lab.off("master2")
    done = saved.inv("recover.etcd-member", "--member", "master3", "--rejoin", "--no-backup", "--diff", timeout_s=300)
    saved.lab.on("master2")
    assert done.returncode == 3, done.stdout + done.stderr
    assert "its member must not be removed" in done.stderr
    assert "recover.etcd-quorum" in done.stderr
    assert "ran on" not in done.stdout
    saved.well("etcd.status")  # its member is back


def raise_corrupt(saved: Operator, host: str) -> None:
    """Give the member of ``host`` the alarm CORRUPT, as etcd's own check does; etcdctl has no command for that, etcd's API has."""
    pki = "/etc/kubernetes/pki/etcd"
    alarm = json.dumps({"action": "ACTIVATE", "memberID": str(int(members(saved)[host], 16)), "alarm": "CORRUPT"})
    flags = f"-sSf --cacert {pki}/ca.crt --cert {pki}/server.crt --key {pki}/server.key"
    # The member may have been started a moment ago, by the test before.
    sh(saved, host, f"curl --retry 30 --retry-connrefused {flags} https://127.0.0.1:2379/v3/maintenance/alarm -d '{alarm}'")


@pytest.mark.long
def test_a_running_member_with_the_alarm_corrupt_and_killed_after_every_step(saved: Operator) -> None:
    """Issue 12, 4, and issue 5, (9): it runs and serves, and joins again all the same; its old data is kept, the alarm is off."""
    before, kept = (
        members(saved),
        sh(saved, "master2", "ls -d /var/lib/etcd*/*aside-* /var/lib/etcd*aside-* 2>/dev/null; true").split(),
    )
    raise_corrupt(saved, "master2")
    saved.sees("doctor", told="-> inv recover.etcd-member --member master2 --rejoin")
    other = saved.inv("recover.etcd-member", "--member", "master3", "--rejoin", "--no-backup")
    assert (other.returncode, "--member master2 --rejoin" in other.stderr) == (3, True), other.stderr
    assert killed_on_the_way(saved, "recover.etcd-member", "--member", "master2", "--rejoin", "--no-backup", brief=False) > 9
    after = members(saved)
    assert after["master2"] != before["master2"]
    assert {name: after[name] for name in ("master1", "master3")} == {name: before[name] for name in ("master1", "master3")}
    now = sh(saved, "master2", "ls -d /var/lib/etcd*/*aside-* /var/lib/etcd*aside-* 2>/dev/null; true").split()
    (old,) = set(now) - set(kept)
    assert "db" in sh(saved, "master2", f"ls {old}/member/snap")
    assert etcdctl(saved, "master1", "alarm", "list").strip() == ""
    whole(saved)


def test_gone_for_good_and_replaced_by_an_empty_one(saved: Operator, *, brief: bool) -> None:
    """Issue 5, (4), and (9) for it; and an empty worker comes back the same way. What people set on the nodes comes back too.

    The worker's Node is deleted by hand: then the set that was made before knows it.
    """
    for host in ("master3", "worker1"):
        planted.plant(saved, "master1", host, cordon=host == "worker1")
    pod_cidr = planted.planted(saved, "master1", "worker1")["podCIDR"]
    saved.lab.off("master3")
    done = saved.inv("recover.etcd-member", "--member", "master3", timeout_s=300)
    assert done.returncode == 5, done.stdout + done.stderr
    assert "inv recover.node --host master3" in done.stderr
    assert set(members(saved)) == {"master1", "master2"}
    saved.lab.reset("master3", "worker1", trust=False)
    for command in (("recover.etcd-member", "--member"), ("recover.node", "--host")):
        unknown = saved.inv(*command, "master3", "--diff")
        assert (unknown.returncode, "inv site.trust --host master3 --replace" in unknown.stderr) == (4, True), unknown.stderr
        assert "ran on" not in unknown.stdout
    saved.good("site.trust", "--host", "master3,worker1", "--replace", "--yes")
    plan = saved.good("recover.etcd-member", "--member", "10.1.1.103", "--plan")
    assert "the host is empty" in plan
    assert killed_on_the_way(saved, "recover.node", "--host", "master3", "--no-backup", brief=brief) > 8
    there = planted.planted(saved, "master1", "master3")
    assert there == planted.expected(there["podCIDR"])
    planted.kubectl(saved, "master1", "delete", "node", "worker1")
    planted.let_a_pod_wait(saved, "master1")
    said = saved.good("recover.node", "--host", "worker1", timeout_s=600)
    assert re.search(r"its node has again \(from the set \w+\): labels .*cordoned", said)
    assert planted.node_of_the_pod(saved, "master1") == ""
    assert planted.planted(saved, "master1", "worker1") == planted.expected(pod_cidr, cordoned=True)
    for host in ("master3", "worker1"):
        planted.pull_out(saved, "master1", host)
    whole(saved)
    assert "nothing to replace" in saved.good("recover.node", "--host", "master3")
