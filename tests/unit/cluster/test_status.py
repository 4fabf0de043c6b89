"""The quick look at a cluster, by table."""

from dataclasses import replace

import msgspec
import pytest

from runbooks.cluster.rules import status as rules
from runbooks.commands.etcd import Look
from runbooks.commands.verify import HostStatus
from runbooks.rules.etcd import View
from runbooks.rules.finding import told
from tests.support.fakes import lb, lost
from tests.unit.cluster.test_verify import M1, M2, M3, SITE, W1, cluster, etcd_view, node, with_node
from tests.unit.rules.test_lb import STANDBY

pytestmark = pytest.mark.unit

UNITS = {"kubelet": "active", "containerd": "active"}
MASTER = HostStatus(units=UNITS, joined=True, manifests=frozenset({"etcd", "kube-apiserver"}), api="ok", running=None)
WORKER = HostStatus(units=UNITS, joined=True, manifests=frozenset(), api="", running=None)
EMPTY = HostStatus(
    units={"kubelet": "inactive", "containerd": "active"}, joined=False, manifests=frozenset(), api="", running=None
)


def seen(**other):
    found = {host: MASTER if host.is_control_plane else WORKER for host in SITE.nodes}
    return found | {host: other[host.name] for host in found if host.name in other}


def view(**other):
    return View({host: other.get(host.name, look) for host, look in etcd_view().said.items()})


# ---- is there a cluster?


@pytest.mark.parametrize(
    ("hosts", "none"),
    [
        (dict.fromkeys((M1, M2, M3, W1), EMPTY), True),
        ({M1: lost(M1), M2: EMPTY, M3: lost(M3)}, True),
        ({M1: EMPTY, M2: MASTER}, False),
        ({M1: lost(M1), M2: lost(M2)}, False),  # nobody can tell
        ({M1: lost(M1), W1: EMPTY}, False),  # a worker cannot tell
        ({M1: replace(EMPTY, manifests=frozenset({"etcd"}))}, False),  # begun, and not finished
    ],
)
def test_no_cluster(hosts, none):
    assert rules.no_cluster(hosts) is none


# ---- what is wrong


def test_nothing():
    assert rules.problems(SITE, seen(), view(), cluster()) == []


@pytest.mark.parametrize(
    ("hosts", "etcd", "objects", "expected"),
    [
        (seen(master1=lost(M1)), view(master1="no answer"), cluster(), ["master1: host: no answer"]),
        (seen(worker1=replace(WORKER, units={"kubelet": "failed", "containerd": "active"})), view(), cluster(), ["worker1: host: kubelet is failed"]),
        (seen(master2=replace(MASTER, api="EOF")), view(), cluster(), ["master2: API server: EOF"]),
        (seen(master2=replace(MASTER, api="")), view(), cluster(), ["master2: API server: there is none"]),
        (
            seen(master3=EMPTY),
            view(master3=Look(None, why="etcd does not run here")),
            cluster(nodes=tuple(node(host) for host in (M1, M2, *SITE.workers))),
            ["master3: host: an empty machine: it was replaced or reset, and the cluster still counts the old one"],
        ),
        (seen(), view(), cluster(nodes=tuple(node(host) for host in (M1, M2, M3, *SITE.workers[1:]))), ["worker1: host: has not joined the cluster"]),
        (seen(), view(), with_node(W1, ready=False, reason="x" * 300), [f"worker1: node: not Ready: {'x' * 157}..."]),
        (seen(), view(), cluster(nodes=(*cluster().nodes, replace(node(W1), name="old", address="10.9.9.9"))), ["old: node: not in hosts.yaml"]),
        (seen(), view(master3=Look(None, why="etcd does not run here")), cluster(), ["etcd: master3: etcd does not run here"]),
    ],
)  # fmt: skip
def test_problems(hosts, etcd, objects, expected):
    assert [told(each) for each in rules.problems(SITE, hosts, etcd, objects)] == expected


def test_without_any_api_server_each_host_still_tells_its_own():
    silent = replace(MASTER, api="not ready: etcd")
    found = rules.problems(SITE, seen(master1=lost(M1), master2=silent, master3=silent), view(master1="no answer"), None)
    assert [told(each) for each in found] == [
        "master1: host: no answer",
        "master2: API server: not ready: etcd",
        "master3: API server: not ready: etcd",
    ]
    assert rules.next_look(None, found) == "inv doctor"


def test_external_etcd_is_not_ours_to_judge():
    external = msgspec.structs.replace(SITE, kubernetes=msgspec.structs.replace(SITE.kubernetes, etcd="external"))
    assert rules.problems(external, seen(), view(master3="no answer"), cluster()) == []


def test_where_to_go_on():
    def after(cluster, **hosts):
        return rules.next_look(cluster, rules.problems(SITE, seen(**hosts), view(), cluster))

    assert after(cluster(nodes=tuple(node(host) for host in SITE.control_plane)), worker1=EMPTY).startswith("inv doctor")
    others = cluster(nodes=tuple(node(host) for host in SITE.nodes if host != W1))
    assert after(others, worker1=EMPTY) == "inv cluster.join --host worker1"
    assert after(cluster(), worker1=EMPTY) == "inv recover.node --host worker1"  # its Node is left
    assert "inv recover.node --host worker1" in after(cluster(), worker1=lost(W1))


def test_load_balancers_that_do_not_answer_and_a_vip_that_nobody_holds():
    found = rules.of_balancers({lb(1): STANDBY, lb(2): lost(lb(2))})
    assert [told(each) for each in found] == ["lb2: LB: no answer", "VIP: the VIP is on no LB"]
    assert rules.of_balancers({}) == []


# ---- words


@pytest.mark.parametrize(
    ("said", "word"),
    [
        ({}, "follower"),
        ({"leader": "a1"}, "leader"),
        ({"leader": ""}, "no leader"),
        ({"learner": True}, "learner"),
    ],
)
def test_what_a_member_is(said, word):
    assert rules.etcd_word(etcd_view(**said), M1) == word


def test_what_a_member_that_does_not_serve_is():
    look = etcd_view().said[M1]
    assert rules.etcd_word(View({M1: replace(look, serves=False)}), M1) == "no quorum"
    assert rules.etcd_word(View({M1: Look(None, why="x")}), M1) == "down"
    assert rules.etcd_word(View({M1: "no answer"}), M1) == "?"
    assert rules.etcd_word(View({}), M1) == "?"
