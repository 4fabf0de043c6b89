"""After an interruption only what may still be starting is waited for."""

from __future__ import annotations

from dataclasses import replace

import pytest

from runbooks.commands import upgrade_kubeadm
from runbooks.commands.base import Answer
from runbooks.commands.haproxy import Backend
from runbooks.commands.objects import Cluster
from runbooks.rules.finding import Finding
from runbooks.upgrade.rules import starting
from runbooks.upgrade.rules.starting import YOUNG_S
from tests.unit.cluster.test_verify import M1, M2, NOW, W1, node, pod

pytestmark = pytest.mark.unit

NODES = {host.name: host.name for host in (M1, M2, W1)}
QUIET = dict.fromkeys(NODES, YOUNG_S)


def progress(*lines):
    return upgrade_kubeadm.parse(Answer(0, "\n".join(["unit inactive", *lines])))


def cluster(*pods, **turned):
    nodes = tuple(replace(node(host), turned=NOW - turned.get(host.name, 10_000)) for host in (M1, M2, W1))
    return Cluster(clock=NOW, nodes=nodes, pods=pods, leases=(), config={}, errors={})


def row(topic, host="", seen="not Ready"):
    return Finding("fail", topic=topic, host=host, seen=seen)


@pytest.mark.parametrize(
    ("lines", "age"),
    [
        (["started host 9000", "started kubelet 7"], 7),
        (["started host 4"], 4),  # its kubelet does not run yet
        (["started host 9000", "started kubelet 9000", "manifest etcd 60", "manifest kube-scheduler 8000"], 60),
        (["started host 9000", "started kubelet 9000", "up kube-apiserver 12"], 12),
        (["started host 9000", "started kubelet 9000"], 9000),
        ([], YOUNG_S),
    ],
)
def test_the_youngest_thing_of_a_host_counts(lines, age):
    assert starting.ages({"master1": progress(*lines)}, "no API server answers", {}) == {"master1": age}


def test_a_node_that_has_turned_and_a_pod_that_is_new_count_too():
    old = {host.name: progress("started host 9000") for host in (M1, M2)}
    found = starting.ages(old, cluster(master1=20, worker1=5), NODES)
    assert (found["master1"], found["master2"]) == (20, 9000)
    assert "worker1" not in found, "a host that does not answer does not come back by waiting"
    late = pod("coredns-1", M2, ready=False, created=NOW - 30)
    assert starting.ages(old, cluster(late), NODES)["master2"] == 30
    assert starting.ages(old, cluster(replace(late, node="")), NODES)[starting.CLUSTER] == 30
    assert starting.ages(old, cluster(replace(late, ready=True)), NODES)["master2"] == 9000


def test_a_server_that_the_load_balancers_do_not_use_since_a_moment_may_only_have_been_slow():
    old = {M2.name: progress("started host 9000")}
    late = Backend(proxy="api", server=M2.name, status="DOWN", since_s=4, check="L6TOUT", sessions=0)
    assert starting.ages(old, "no API server answers", {}, [late]) == {M2.name: 4}
    assert starting.ages(old, "no API server answers", {}, [replace(late, status="UP"), replace(late, server="x")]) == {
        M2.name: 9000
    }


def test_a_container_that_ends_again_and_again_is_not_starting():
    old = {M2.name: progress("started host 9000")}
    late = pod("flannel-1", M2, ready=False, created=NOW - 9000, restarted=NOW - 3)
    assert starting.ages(old, cluster(replace(late, why="ContainerCreating")), NODES)["master2"] == 3
    assert starting.ages(old, cluster(replace(late, why="CrashLoopBackOff")), NODES)["master2"] == 9000


@pytest.mark.parametrize(
    ("found", "waits"),
    [
        ([], False),
        ([row("node", "master1")], True),
        ([row("etcd", "master1")], True),
        ([row("LB", "lb1", "master1 is DOWN (* L7TOUT)")], True),
        ([row("node", "master2")], False),
        ([row("node", "master1, master2")], False),
        ([row("host", "worker1", "no answer")], False),
        ([row("kube-proxy", "", "not ready on master1")], True),  # of no host: something may be starting somewhere
        ([row("coredns")], True),
        ([row("VIP", "lb1")], False),
        ([row("CAs")], False),
        ([row("node", "master1"), row("node", "master2")], False),
        ([row("node", "master1"), row("coredns")], True),
    ],
)
def test_it_is_waited_for_as_long_as_all_that_is_wrong_may_pass(found, waits):
    assert (bool(found) and not starting.hopeless(found, QUIET | {"master1": 7})) is waits
    assert not found or starting.hopeless(found, QUIET), "nothing is young"
