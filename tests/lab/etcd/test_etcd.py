"""etcd of a real kubeadm cluster: status, leadership, defragmentation, and a NOSPACE alarm.

The tests build on one another in the order of this file. They leave the cluster healthy.
"""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.operator import Operator
from tests.support.waiting import eventually

pytestmark = pytest.mark.lab

MASTERS = ("master1", "master2", "master3")
MIB = 1024 * 1024
MANIFEST = "/etc/kubernetes/manifests/etcd.yaml"
QUOTA = 40 * MIB
# etcdctl from the container's file system, with our standard input: the image has no shell, and an argument may have 128 KiB at most.
ETCDCTL = (
    "pki=/etc/kubernetes/pki/etcd; pid=$(pgrep -xo etcd); etcdctl() { nsenter --target \"$pid\" --mount etcdctl --cacert=$pki/ca.crt"
    " --cert=$pki/server.crt --key=$pki/server.key --endpoints=https://127.0.0.1:2379 \"$@\"; };"
)  # fmt: skip
FILL = (
    ETCDCTL
    + "head -c 1000000 /dev/zero | tr '\\0' x >/tmp/fill; for i in $(seq $times); do etcdctl put fill </tmp/fill || break; done"
)
COMPACT = ETCDCTL + "etcdctl compact --physical $(etcdctl get fill -w json | grep -o '\"revision\":[0-9]*' | grep -o '[0-9]*')"
# Written elsewhere and then moved: the kubelet takes every file beside the manifest for a pod.
LIMIT = f"cd /etc/kubernetes && sed 's/^    - etcd$/&\\n    - --quota-backend-bytes={QUOTA}/' {MANIFEST} >etcd.new && cp {MANIFEST} etcd.kept && mv etcd.new {MANIFEST}"
UNLIMIT = f"cd /etc/kubernetes && [ ! -e etcd.kept ] || mv etcd.kept {MANIFEST}"


@pytest.fixture(scope="module", autouse=True)
def left_healthy(cluster: Operator) -> Iterator[None]:
    """Leave a healthy etcd for the next module, whatever fails in this one."""
    yield
    cluster.lab.on(*MASTERS)
    for host in MASTERS:
        shell(cluster, host, UNLIMIT)
    healthy(cluster)
    cluster.inv("etcd.disarm")
    shell(cluster, "master1", ETCDCTL + "etcdctl del fill")


def shell(cluster: Operator, host: str, text: str) -> str:
    """Run ``text`` with bash on the host's console."""
    done = cluster.lab.console(host, ["bash", "-c", text])
    return done.stdout + done.stderr


def status(cluster: Operator) -> dict[str, Any]:
    """Return what etcd.status --json prints."""
    first: dict[str, Any] = json.loads(cluster.inv("etcd.status", "--json").stdout.splitlines()[0])
    return first


def member(seen: dict[str, Any], host: str) -> dict[str, Any]:
    found: dict[str, Any] = seen["hosts"][host]["status"]
    return found


def leader(cluster: Operator) -> str:
    seen = status(cluster)
    return next((host for host in MASTERS if (member(seen, host) or {}).get("leads")), "")


def healthy(cluster: Operator) -> None:
    """Wait until alarms are the only problems."""
    eventually(lambda: [each for each in status(cluster)["problems"] if not each.startswith("alarm ")], [], 240)


def events(text: str, kind: str) -> list[dict[str, Any]]:
    return [event for event in map(json.loads, text.splitlines()) if event["event"] == kind]


def write(cluster: Operator, host: str = "master1") -> str:
    """Write and delete an object through the API server; return kubectl's output."""
    kubectl = "kubectl --kubeconfig /etc/kubernetes/admin.conf --request-timeout=10s"
    return shell(cluster, host, f"{kubectl} create configmap etcd-test --from-literal=a=b; {kubectl} delete configmap etcd-test")


# ---- looking


def test_three_healthy_voters(cluster: Operator) -> None:
    healthy(cluster)
    assert "3 of 3 members are healthy; 1 more may fail" in cluster.well("etcd.status")
    seen = json.loads(cluster.well("etcd.status", "--json").splitlines()[0])
    assert (seen["ok"], seen["problems"]) == (True, [])
    assert [member(seen, host)["leads"] for host in MASTERS].count(True) == 1
    assert len({member(seen, host)["version"] for host in MASTERS}) == 1
    assert all(member(seen, host)["lag"] < 1000 for host in MASTERS)


def test_members(cluster: Operator) -> None:
    listed = json.loads(cluster.good("etcd.members", "--json"))
    assert {each["name"]: each["host"] for each in listed} == {host: host for host in MASTERS}
    assert not any(each["learner"] for each in listed)


def test_latencies_of_every_member(cluster: Operator) -> None:
    """This machine's disk may be too slow for etcd; the exit status has to fit the numbers."""
    done = cluster.inv("etcd.perf", "--json")
    seen = json.loads(done.stdout.splitlines()[0])
    assert set(seen["hosts"]) == set(MASTERS)
    slow = False
    for numbers in seen["hosts"].values():
        assert numbers["fsync"]["p99_s"] > 0
        assert 0 < numbers["quota_share"] < 0.5
        slow |= numbers["fsync"]["samples"] >= 100 and numbers["fsync"]["p99_s"] >= 0.010
        slow |= numbers["commit"]["samples"] >= 100 and numbers["commit"]["p99_s"] >= 0.025
        slow |= numbers["round_trip"]["samples"] >= 100 and numbers["round_trip"]["p99_s"] >= 0.150
    assert done.returncode == int(slow)


def test_nothing_to_do_for_a_healthy_etcd(cluster: Operator) -> None:
    cluster.idle("etcd.defrag")
    cluster.idle("etcd.disarm")


# ---- leading


def test_the_leadership_moves_to_the_chosen_member(cluster: Operator) -> None:
    old = leader(cluster)
    new = next(host for host in MASTERS if host != old)
    assert "would change" in cluster.good("etcd.move-leader", "--to", new, "--plan")
    assert leader(cluster) == old
    cluster.good("etcd.move-leader", "--to", new)
    assert leader(cluster) == new
    cluster.idle("etcd.move-leader", "--to", new)
    cluster.good("etcd.move-leader")
    assert leader(cluster) not in {new, ""}


def test_a_worker_cannot_lead(cluster: Operator) -> None:
    done = cluster.inv("etcd.move-leader", "--to", "worker1")
    assert done.returncode == 2
    assert "that is no member of etcd; the members are master1 (" in done.stderr


@pytest.mark.long
def test_with_one_off_the_others_are_asked(cluster: Operator) -> None:
    old = leader(cluster)
    cluster.lab.off(old)
    try:
        done = cluster.sees("etcd.status", told="2 of 3 members are healthy; one more loss stops all writes")
        assert done.returncode == 1
        assert f"error: {old} (" in done.stderr
        assert cluster.good("etcd.members").count(" voter ") == 3
        eventually(lambda: leader(cluster) not in {old, ""}, seconds=240)
        refused = cluster.inv("etcd.move-leader", "--to", old)
        assert (refused.returncode, f"{old} is not healthy" in refused.stderr) == (3, True)
        refused = cluster.inv("etcd.defrag", "--force")
        assert refused.returncode == 3
    finally:
        cluster.lab.on(old)
    healthy(cluster)


# ---- the data file


def sizes(cluster: Operator) -> list[int]:
    seen = status(cluster)
    return [member(seen, host)["size"] for host in MASTERS]


@pytest.mark.long
def test_a_fragmented_file_shrinks_and_the_leader_comes_last(cluster: Operator) -> None:
    assert "OK" in shell(cluster, "master1", "times=115;" + FILL)
    assert "compacted revision" in shell(cluster, "master1", COMPACT)
    assert min(sizes(cluster)) > 100 * MIB
    eventually(lambda: max(member(status(cluster), host)["in_use"] for host in MASTERS) < 50 * MIB, seconds=240)
    plan = cluster.good("etcd.defrag", "--plan")
    assert plan.count("would run on") == 4
    assert min(sizes(cluster)) > 100 * MIB
    last = leader(cluster)
    changes = events(cluster.good("etcd.defrag", "--json"), "change")
    assert [each["command"].split()[1] for each in changes] == ["defrag", "defrag", "move-leader", "defrag"]
    assert (changes[2]["host"], changes[3]["host"]) == (last, last)
    assert max(sizes(cluster)) < 60 * MIB
    cluster.idle("etcd.defrag")
    cluster.well("etcd.status")


def test_a_nospace_alarm_is_ended_also_after_an_interruption(cluster: Operator) -> None:
    """When one member reaches its quota, the whole cluster refuses every write."""
    shell(cluster, "master2", LIMIT)
    eventually(
        lambda: f"quota-backend-bytes={QUOTA}" in shell(cluster, "master2", "tr '\\0' ' ' </proc/$(pgrep -xo etcd)/cmdline"),
        seconds=240,
    )
    healthy(cluster)
    assert "database space exceeded" in shell(cluster, "master1", "times=60;" + FILL)
    assert "database space exceeded" in write(cluster)
    done = cluster.sees("etcd.status", told="next:  inv etcd.disarm")
    assert (done.returncode, "alarm NOSPACE of master2" in done.stderr) == (1, True), done.stderr
    refused = cluster.inv("etcd.defrag")
    assert (refused.returncode, "inv etcd.disarm" in refused.stderr) == (3, True)
    assert "7 of 12 steps would change something" in cluster.good("etcd.disarm", "--plan")
    assert "database space exceeded" in write(cluster)

    assert cluster.strike(3, signal.SIGINT, "etcd.disarm") == 130
    assert "database space exceeded" in write(cluster)
    healthy(cluster)
    cluster.good("etcd.disarm")
    assert "configmap/etcd-test created" in write(cluster)
    cluster.well("etcd.status")
    assert max(sizes(cluster)) < QUOTA
    cluster.idle("etcd.disarm")
