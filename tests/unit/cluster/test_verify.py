"""The verdict on a cluster, by table: what is seen in, rows out."""

from copy import deepcopy
from dataclasses import replace
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from runbooks import gates
from runbooks.commands.base import Probe, cmd
from runbooks.commands.certs import Certificate
from runbooks.commands.etcd import Alarm, Look, Member, Status
from runbooks.commands.haproxy import Backend
from runbooks.commands.kubectl import url
from runbooks.commands.node_objects import Node
from runbooks.commands.objects import KUBEADM_CONFIG, LEASES, NODES, Cluster, Lease, Pod, pods_in
from runbooks.commands.verify import Health, HostFacts, Written
from runbooks.errors import CommandError, OutcomeError
from runbooks.inventory.settings import Addons
from runbooks.rules import verify as rules
from runbooks.rules import verify_etcd, verify_hosts, verify_pods
from runbooks.rules.etcd import View
from runbooks.rules.finding import Finding, at_least
from runbooks.view import health
from runbooks.view.health import ClusterReadings, cluster_namespaces, judge
from tests.support.fakes import lb, lost, master, site, without_waiting
from tests.unit.rules.test_lb import HOLDER, STANDBY

pytestmark = pytest.mark.unit

SITE = site()
VERSION = f"v{SITE.kubernetes.version}"
M1, M2, M3 = (master(number) for number in (1, 2, 3))
W1 = SITE.workers[0]
NOW = 1_800_000_000
DAY = 86_400
VIP = url(SITE.endpoint.vip, SITE.endpoint.port)
KEYS = frozenset({"node-role.kubernetes.io/control-plane"})


def node(host, **facts):
    marks = KEYS if host.is_control_plane else frozenset()
    well = Node(
        name=host.name,
        address=str(host.address),
        ready=True,
        reason="KubeletReady",
        pressure=(),
        version=VERSION,
        cordoned=False,
        labels=marks,
        taints=marks,
        runtime="containerd://1.7",
        created=NOW - 60,
    )
    return replace(well, **facts)


def pod(name, where, label="", **facts):
    labels = {"k8s-app": label} if label else {}
    return replace(
        Pod(
            namespace="kube-system",
            name=name,
            node=where.name,
            labels=labels,
            phase="Running",
            ready=True,
            why="",
            leaving=False,
            restarts=0,
            restarted=0,
        ),
        **facts,
    )


def of(name, version=VERSION):
    """What a pod of Kubernetes' own runs."""
    image = f"registry.example:5000/{name}:{version}"
    return {"image": image, "runs": image}


def running():
    """Every pod that a whole cluster has."""
    static = [pod(f"{name}-{host}", host, **of(name)) for host in SITE.control_plane for name in verify_pods.components(SITE)]
    proxies = [pod(f"kube-proxy-{number}", host, "kube-proxy", **of("kube-proxy")) for number, host in enumerate(SITE.nodes)]
    return [*static, *proxies, pod("coredns-1", W1, "kube-dns"), pod("flannel-1", W1, namespace="kube-flannel")]


def cluster(**facts):
    whole = Cluster(
        clock=NOW,
        nodes=tuple(node(host) for host in SITE.nodes),
        pods=tuple(running()),
        leases=(
            Lease("kube-scheduler", "master2_0f1e", NOW - 1, 15),
            Lease("kube-controller-manager", "master1_77aa", NOW - 2, 15),
        ),
        config={
            "clusterName": SITE.name,
            "controlPlaneEndpoint": f"{SITE.endpoint.name}:{SITE.endpoint.port}",
            "networking.podSubnet": str(SITE.networks.pods),
            "networking.serviceSubnet": str(SITE.networks.services),
            "networking.dnsDomain": SITE.kubernetes.domain,
            "kubernetesVersion": VERSION,
        },
        errors={},
    )
    return replace(whole, **facts)


def with_node(host, **facts):
    return cluster(nodes=tuple(node(each, **(facts if each == host else {})) for each in SITE.nodes))


def without(cluster, name):
    return replace(cluster, pods=tuple(each for each in cluster.pods if each.name != name))


def with_pod(name, **facts):
    whole = cluster()
    assert any(each.name == name for each in whole.pods)
    return replace(whole, pods=tuple(replace(each, **facts) if each.name == name else each for each in whole.pods))


def said(rows, state):
    return [
        f"{row.topic} {row.host}: {row.seen}" if row.host else f"{row.topic}: {row.seen}" for row in rows if row.severity == state
    ]


def judged(judge, *args):
    """What is not ok, and how bad it is."""
    return [(row.severity, row.host, row.seen) for row in judge(*args) if row.severity != "ok"]


# ---- a whole cluster


def test_nothing_is_wrong_with_a_whole_cluster():
    whole = cluster()
    namespaces = ("kube-system", "kube-flannel")
    rows = [
        *rules.nodes(SITE, whole),
        *rules.leaders(SITE, whole),
        *verify_pods.pods(SITE, whole, namespaces),
        rules.config(SITE, whole),
    ]
    assert [row for row in rows if row.severity != "ok"] == []
    assert [row.topic for row in rows] == [
        *["node"] * len(SITE.nodes), "leader", "leader", *["static pods"] * 3, "kube-proxy", "coredns", "other pods",
        "kubeadm-config",
    ]  # fmt: skip
    assert [row.host for row in rows if row.topic == "leader"] == ["master2", "master1"]


@pytest.mark.parametrize("path", [NODES, LEASES, KUBEADM_CONFIG, pods_in("kube-system"), pods_in("kube-flannel")])
def test_what_cannot_be_read_is_never_ok(path):
    blind = replace(cluster(), nodes=(), pods=(), leases=(), config={}, errors={path: "forbidden"})
    rows = [*rules.nodes(SITE, blind), *rules.leaders(SITE, blind), rules.config(SITE, blind)]
    rows += verify_pods.pods(SITE, blind, ("kube-system", "kube-flannel"))
    assert any("forbidden" in row.seen and row.severity != "ok" for row in rows)


# ---- hosts and nodes

FACTS = HostFacts(
    clock=NOW,
    joined=True,
    units={"kubelet": "active", "containerd": "active"},
    manifests=frozenset(),
    sums={},
    openssl=True,
    certificates=(),
    served=None,
)


@pytest.mark.parametrize(
    ("facts", "expected"),
    [
        (FACTS, []),
        (replace(FACTS, units={"kubelet": "failed", "containerd": "active"}), [("fail", "master1", "kubelet is failed")]),
        (
            replace(FACTS, units={"kubelet": "activating", "containerd": "inactive"}),
            [("fail", "master1", "kubelet is activating"), ("fail", "master1", "containerd is inactive")],
        ),
        (replace(FACTS, joined=False, units={"kubelet": "inactive"}), [("fail", "master1", "has not joined the cluster")]),
        (lost(M1), [("fail", "master1", "no answer")]),
        (CommandError("master1: it said nothing about clock\nand more"), [("fail", "master1", "it said nothing about clock")]),
    ],
)
def test_hosts(facts, expected):
    assert judged(rules.hosts, {M1: facts, M2: FACTS}) == expected


EMPTY = replace(FACTS, joined=False)


@pytest.mark.parametrize(
    ("facts", "none"),
    [
        ({M1: EMPTY, M2: EMPTY, W1: EMPTY}, True),
        ({M1: lost(M1), M2: EMPTY}, True),
        ({M1: EMPTY, M2: FACTS}, False),
        ({M1: replace(EMPTY, manifests=frozenset({"etcd"}))}, False),
        ({M1: lost(M1), W1: EMPTY}, False),  # who could tell does not answer
        ({M1: lost(M1)}, False),
    ],
)
def test_no_cluster(facts, none):
    assert rules.no_cluster(facts) is none


@pytest.mark.parametrize(
    ("host", "facts", "state", "seen"),
    [
        (
            W1,
            {"ready": False, "reason": "NodeStatusUnknown: Kubelet stopped posting"},
            "fail",
            "not Ready: NodeStatusUnknown: Kubelet",
        ),
        (W1, {"version": "v1.20.1"}, "ok", "Ready, v1.20.1"),  # `verify_versions` judges it
        (W1, {"pressure": ("DiskPressure", "PIDPressure")}, "fail", "DiskPressure, PIDPressure"),
        (W1, {"cordoned": True}, "warn", "cordoned"),
        (W1, {"cordoned": True, "ready": False}, "fail", "not Ready"),
        (W1, {"cordoned": True, "marked": True}, "warn", "cordoned by an upgrade"),
        (M1, {"labels": frozenset()}, "fail", "lacks the label"),
        (M1, {"taints": frozenset()}, "fail", "lacks the taint"),
        (M1, {"labels": frozenset({"node-role.kubernetes.io/master"})}, "ok", "Ready"),  # kubeadm until 1.23
        (M1, {"taints": frozenset({"node-role.kubernetes.io/master"})}, "ok", "Ready"),
        (W1, {"name": "ip-10-1-1-201"}, "ok", "Ready"),  # found by its address
    ],
)
def test_a_node(host, facts, state, seen):
    rows = {row.host: row for row in rules.nodes(SITE, with_node(host, **facts))}
    assert (rows[host.name].severity, rows[host.name].seen[: len(seen)]) == (state, seen)
    assert bool(rows[host.name].fix) == (state != "ok")
    assert all(row.severity == "ok" for name, row in rows.items() if name != host.name)


def test_a_control_plane_host_that_is_a_worker_too_needs_no_taint():
    both = msgspec.structs.replace(M1, roles=("control-plane", "worker"))
    small = msgspec.structs.replace(SITE, hosts=tuple(both if host == M1 else host for host in SITE.hosts))
    assert not at_least("fail", rules.nodes(small, with_node(M1, taints=frozenset())))
    assert at_least("fail", rules.nodes(small, with_node(M1, labels=frozenset())))


def test_a_host_that_is_no_node_and_a_node_that_is_no_host():
    nodes = [node(host) for host in SITE.nodes if host != W1]
    stranger = replace(nodes[-1], name="old", address="10.9.9.9")
    seen = cluster(nodes=(*nodes, stranger))
    assert judged(rules.nodes, SITE, seen) == [
        ("fail", "worker1", "is not in the cluster"),
        ("warn", "old", "is not in hosts.yaml"),
    ]
    assert judged(rules.nodes, SITE, seen, [W1]) == [("warn", "old", "is not in hosts.yaml")]


# ---- API servers


def answers(host, *, error="", failed=(), by_vip_error=""):
    own = [Health(server=url(host.address), what=what, passed=20, failed=failed, error=error) for what in ("livez", "readyz")]
    return [*own, *(Health(server=VIP, what=what, passed=20, failed=(), error=by_vip_error) for what in ("livez", "readyz"))]


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ({M1: answers(M1), M2: answers(M2)}, []),
        (
            {M1: answers(M1, failed=("etcd",)), M2: answers(M2)},
            [("fail", "master1", "livez: failed: etcd; readyz: failed: etcd")],
        ),
        ({M1: answers(M1, error="refused")}, [("fail", "master1", "livez: refused; readyz: refused")]),
        (
            {M1: answers(M1, by_vip_error="EOF"), M2: answers(M2), M3: answers(M3, by_vip_error="EOF")},
            [("fail", "", "livez: EOF; readyz: EOF (asked from master1, master3)")],
        ),
        ({M1: [each for each in answers(M1) if each.server == VIP]}, [("fail", "master1", "it was not asked")]),
        ({}, []),
    ],
)
def test_api_servers(asked, expected):
    assert judged(rules.api_servers, SITE, asked) == expected


def test_who_is_well_is_asked_first_and_who_is_silent_not_at_all():
    asked = {M1: answers(M1, error="refused"), M2: answers(M2, failed=("etcd",)), M3: answers(M3)}
    assert rules.readers(asked) == [M3, M2]
    assert rules.readers({M1: answers(M1, error="refused")}) == []


# ---- leaders


@pytest.mark.parametrize(
    ("leases", "expected"),
    [
        ((), [("fail", "", "kube-scheduler: it has no leader"), ("fail", "", "kube-controller-manager: it has no leader")]),
        ((Lease("kube-scheduler", "", NOW, 15),), [("fail", "", "kube-scheduler: it has no leader")]),
        ((Lease("kube-scheduler", "master1_a", NOW - 16, 15),), [("fail", "master1", "kube-scheduler: its lease was last renewed 16 s ago")]),
        ((Lease("kube-scheduler", "master1_a", NOW - 15, 15),), []),
        ((Lease("kube-scheduler", "master1_a", NOW + 3, 15),), []),  # their clocks differ a little
        ((Lease("kube-scheduler", "master1.company.local_a", NOW, 15),), []),
        ((Lease("kube-scheduler", "alien_a", NOW, 15),), [("warn", "alien", "kube-scheduler is led by alien, which is no control plane host of hosts.yaml")]),
    ],
)  # fmt: skip
def test_leaders(leases, expected):
    other = () if not leases else (Lease("kube-controller-manager", "master3_b", NOW, 15),)
    assert judged(rules.leaders, SITE, cluster(leases=(*leases, *other))) == expected


# ---- pods

NAMESPACES = ("kube-system", "kube-flannel")


def pods_judged(seen, where=SITE):
    return [
        (row.severity, row.topic, row.host, row.seen) for row in verify_pods.pods(where, seen, NAMESPACES) if row.severity != "ok"
    ]


@pytest.mark.parametrize(
    ("seen", "expected"),
    [
        (without(cluster(), "kube-scheduler-master2"), ("fail", "static pods", "master2", "kube-scheduler: missing")),
        (without(cluster(), "etcd-master3"), ("fail", "static pods", "master3", "etcd: missing")),
        (
            with_pod("etcd-master1", ready=False, why="CrashLoopBackOff"),
            ("fail", "static pods", "master1", "etcd: CrashLoopBackOff"),
        ),
        (without(cluster(), "kube-proxy-3"), ("fail", "kube-proxy", "", "not ready on worker1 (missing)")),
        (
            with_pod("kube-proxy-3", ready=False, why="ErrImagePull"),
            ("fail", "kube-proxy", "", "not ready on worker1 (ErrImagePull)"),
        ),
        (without(cluster(), "coredns-1"), ("fail", "coredns", "", "there is none")),
        (with_pod("coredns-1", ready=False, why="Pending"), ("fail", "coredns", "", "coredns-1: Pending")),
        (with_pod("flannel-1", ready=False, why="Init"), ("fail", "other pods", "", "flannel-1 on worker1: Init")),
        (
            with_pod("flannel-1", ready=False, phase="Failed", why="Evicted"),
            ("warn", "other pods", "", "flannel-1 has ended (Evicted)"),
        ),
    ],
)
def test_pods(seen, expected):
    assert pods_judged(seen) == [expected]


def test_pods_of_a_node_that_is_not_ready_are_told_together():
    lost = with_node(M1, ready=False)
    seen = replace(lost, pods=tuple(replace(each, ready=each.node != M1.name, why="not ready") for each in lost.pods))
    assert pods_judged(seen) == [
        (
            "fail",
            "static pods",
            "master1",
            "etcd, kube-apiserver, kube-controller-manager, kube-scheduler: its node is not Ready",
        ),
        ("fail", "kube-proxy", "", "not ready on master1 (its node is not Ready)"),
    ]


@pytest.mark.parametrize("facts", [{"phase": "Succeeded", "ready": False}, {"leaving": True, "ready": False}])
def test_pods_that_are_done_or_leaving_are_not_missed(facts):
    assert pods_judged(with_pod("flannel-1", **facts)) == []


def test_an_addon_that_is_off_is_not_missed():
    bare = msgspec.structs.replace(
        SITE, kubernetes=msgspec.structs.replace(SITE.kubernetes, addons=Addons(coredns=False, kube_proxy=False))
    )
    kept = tuple(each for each in cluster().pods if not each.labels)
    assert pods_judged(cluster(pods=kept), bare) == []
    # Whatever the site brings under the same label is a pod like any other.
    own = pod("dns-1", W1, "kube-dns", ready=False, why="Pending")
    assert pods_judged(cluster(pods=(*kept, own)), bare) == [("fail", "other pods", "", "dns-1 on worker1: Pending")]


@pytest.mark.parametrize(("ago", "told"), [(240, True), (3599, True), (3600, False)])
def test_recent_restarts_are_told_but_not_wrong(ago, told):
    rows = verify_pods.pods(SITE, with_pod("etcd-master1", restarts=3, restarted=NOW - ago), NAMESPACES)
    row = next(row for row in rows if row.host == "master1")
    assert row.severity == "ok"
    assert (row.seen == f"4 ready; restarted: etcd {ago // 60} min ago (3 in all)") is told


@given(st.sets(st.sampled_from([each.name for each in running()])))
def test_every_pod_that_is_not_ready_fails_something(broken):
    seen = cluster(pods=tuple(replace(each, ready=False, why="x") if each.name in broken else each for each in cluster().pods))
    assert bool(at_least("fail", verify_pods.pods(SITE, seen, NAMESPACES))) == bool(broken)


# ---- certificates, CAs

PKI = "/etc/kubernetes/pki"
SERVING = Certificate(path=f"{PKI}/apiserver.crt", ends=NOW + 364 * DAY, fingerprint="AA:BB")
CA = Certificate(path=f"{PKI}/ca.crt", ends=NOW + 3649 * DAY, fingerprint="CC")
KUBELET = Certificate(path="/var/lib/kubelet/pki/kubelet-client-current.pem", ends=NOW + 300 * DAY, fingerprint="DD")
WITH = replace(FACTS, certificates=(SERVING, CA, KUBELET), served=replace(SERVING, path="served"))


def ending(certificate, days):
    changed = replace(certificate, ends=int(NOW + days * DAY))
    kept = tuple(changed if each == certificate else each for each in WITH.certificates)
    served = replace(changed, path="served") if certificate == SERVING else WITH.served
    return replace(WITH, certificates=kept, served=served)


@pytest.mark.parametrize(
    ("facts", "state", "seen", "cure"),
    [
        (WITH, "ok", "3 of them, the first to end: kubelet-client-current.pem, in 300 days", ""),
        (ending(SERVING, 30), "ok", "3 of them, the first to end: pki/apiserver.crt, in 30 days", ""),
        (ending(SERVING, 29.9), "warn", "pki/apiserver.crt ends in 29 days", "inv certs.renew"),
        (ending(SERVING, 7), "warn", "pki/apiserver.crt ends in 7 days", "inv certs.renew"),
        (ending(SERVING, 6.9), "fail", "pki/apiserver.crt ends in 6 days", "inv certs.renew"),
        (ending(SERVING, -2), "fail", "pki/apiserver.crt ended 2 days ago", "inv certs.renew"),
        (ending(CA, 20), "warn", "pki/ca.crt ends in 20 days", "kubeadm does not renew a CA"),
        (
            ending(KUBELET, 1),
            "fail",
            "kubelet-client-current.pem ends in 1 day",
            "the kubelet renews its own",
        ),
        (
            replace(WITH, openssl=False, certificates=()),
            "warn",
            "openssl is not installed there",
            "kubeadm certs check-expiration",
        ),
        (replace(WITH, certificates=()), "fail", "there is none", "kubeadm certs check-expiration"),
        (replace(WITH, served=None), "ok", "3 of them", ""),  # a silent API server has a row of its own
        (
            replace(WITH, served=Certificate(path="served", ends=NOW + 2 * DAY, fingerprint="FF")),
            "fail",
            "the API server serves another certificate than pki/apiserver.crt; that one ends in 2 days",
            "inv certs.renew",
        ),
    ],
)
def test_certificates(facts, state, seen, cure):
    row = verify_hosts.certificates(SITE, M1, facts)
    assert (row.severity, row.seen[: len(seen)]) == (state, seen)
    assert cure in row.fix
    assert bool(row.fix) == bool(cure)


def test_a_certificate_that_the_site_wants_served_is_not_the_file_of_kubeadm():
    own = msgspec.structs.replace(SITE.kubernetes.extra_args, api_server={"tls-cert-file": "/etc/ssl/own.crt"})
    with_own = msgspec.structs.replace(SITE, kubernetes=msgspec.structs.replace(SITE.kubernetes, extra_args=own))
    facts = replace(WITH, served=Certificate(path="served", ends=NOW + 200 * DAY, fingerprint="FF"))
    assert verify_hosts.certificates(with_own, M1, facts).severity == "ok"
    assert verify_hosts.certificates(SITE, M1, facts).severity == "fail"


SUMS = {"ca.crt": "aaaaaaaaaaaa", "sa.pub": "bbbbbbbbbbbb", "front-proxy-ca.crt": "cccccccccccc", "etcd/ca.crt": "dddddddddddd"}


@pytest.mark.parametrize(
    ("second", "expected"),
    [
        (replace(FACTS, sums=SUMS), []),
        (
            replace(FACTS, sums=SUMS | {"sa.pub": "ffffffffffff"}),
            ["sa.pub differs: bbbbbbbb on master1 master3, ffffffff on master2"],
        ),
        (replace(FACTS, sums={}, joined=False), []),
        (lost(M2), []),
    ],
)
def test_what_control_planes_share(second, expected):
    same = replace(FACTS, sums=SUMS)
    assert [row.seen for row in at_least("fail", verify_hosts.shared(SITE, {M1: same, M2: second, M3: same}))] == expected


def test_a_ca_that_is_missing_everywhere_is_not_the_same_everywhere():
    bare = replace(FACTS, sums={"ca.crt": "a"})
    assert [row.severity for row in verify_hosts.shared(SITE, {M1: bare, M2: bare})] == ["fail"]
    assert verify_hosts.shared(SITE, {M1: lost(M1)}) == []


# ---- load balancers

UP = tuple(
    Backend(proxy="api", server=host.name, status="UP", since_s=5, check="L7OK 200", sessions=3) for host in SITE.control_plane
)
INGRESS = tuple(
    Backend(proxy=proxy, server=host.name, status="UP", since_s=5, check="L4OK", sessions=0)
    for proxy in ("ingress-http", "ingress-https")
    for host in SITE.workers
)
LB1, LB2 = lb(1), lb(2)
# Nothing of these tells keepalived's state, and HAProxy's socket is anywhere.
THEIRS = replace(HOLDER, vrrp="", haproxy_runs=None, stats="", metrics="", foreign=True)
SET_UP_BY_OTHERS = "HAProxy and keepalived run there with files that this tool has not written: no command takes a server out there before it stops"


@pytest.mark.parametrize(
    ("seen", "expected"),
    [
        ({LB1: (HOLDER, UP), LB2: (STANDBY, UP)}, []),
        ({LB1: (replace(HOLDER, stats=""), UP), LB2: (STANDBY, UP)}, [("fail", "lb1", "the stats page does not answer")]),
        (
            {LB1: (HOLDER, UP), LB2: (replace(STANDBY, haproxy_runs="older"), UP)},
            [("warn", "lb2", "haproxy runs another configuration than its file has: a restart would bring that one, or fail")],
        ),
        ({LB1: (HOLDER, UP), LB2: (replace(STANDBY, drained=True), UP)}, [("warn", "lb2", "drained: it does not take the VIP")]),
        (
            {LB1: (HOLDER, (*UP[:2], replace(UP[2], status="DOWN", check="L4CON refused"))), LB2: (STANDBY, UP)},
            [("fail", "lb1", "master3 is DOWN (L4CON refused)")],
        ),
        ({LB1: (HOLDER, None), LB2: (STANDBY, UP)}, [("fail", "lb1", "HAProxy does not answer on its socket")]),
        (
            {LB1: (replace(HOLDER, haproxy_runs=None), None), LB2: (STANDBY, UP)},
            [("fail", "lb1", "haproxy does not answer on its socket")],
        ),
        ({LB1: (HOLDER, ()), LB2: (STANDBY, UP)}, [("fail", "lb1", "there is no API server behind it")]),
        (
            {
                LB1: (
                    HOLDER,
                    (*UP, Backend(proxy="ingress-http", server="worker1", status="DOWN", since_s=1, check="", sessions=0)),
                ),
                LB2: (STANDBY, UP),
            },
            [("warn", "", "ingress-http: 1 of 1 DOWN (seen by lb1)")],
        ),
        (
            {LB1: (THEIRS, None), LB2: (replace(THEIRS, holds_vip=False), None)},
            [("warn", "lb1", SET_UP_BY_OTHERS), ("warn", "lb2", SET_UP_BY_OTHERS)],
        ),
        ({LB1: (STANDBY, UP), LB2: (STANDBY, UP)}, [("fail", "", "the VIP is on no LB")]),
        ({LB1: (HOLDER, UP), LB2: lost(LB2)}, [("fail", "lb2", "no answer")]),
    ],
)
def test_load_balancers(seen, expected):
    assert judged(verify_hosts.load_balancers, seen) == expected


# ---- etcd

IDS = {M1: "a1", M2: "a2", M3: "a3"}
MEMBERS = tuple(
    Member(id=each, name=host.name, peer_urls=(f"https://{host.address}:2380",), client_urls=(f"https://{host.address}:2379",))
    for host, each in IDS.items()
)


def etcd_view(**facts):
    well = Status(
        member="a1",
        cluster="c",
        version="3.5.16",
        size=4 << 20,
        in_use=2 << 20,
        leader="a2",
        term=3,
        index=1000,
        applied=1000,
        revision=900,
    )
    said = {host: Look(replace(well, member=each, **facts), MEMBERS, serves=True) for host, each in IDS.items()}
    return View(said)


def test_etcd_in_order_says_how_it_is():
    (row,) = verify_etcd.rows(etcd_view())
    assert row == Finding(
        "ok",
        topic="etcd",
        seen="3 members healthy, leader master2, no alarms, at most 0 entries behind, data files of at most 4.0 MiB; 1 may fail",
    )


def test_etcd_out_of_order():
    rows = verify_etcd.rows(etcd_view(alarms=(Alarm("a1", "NOSPACE"),)))
    assert [(row.severity, row.seen) for row in rows] == [("fail", "alarm NOSPACE of master1")]
    rows = verify_etcd.rows(View({**etcd_view().said, M3: "no answer"}))
    assert [(row.severity, row.host, row.seen) for row in rows] == [("fail", "master3", "no answer")]
    nobody = replace(etcd_view().said[M1], members=MEMBERS[:2])
    rows = verify_etcd.rows(View({M1: nobody, M2: replace(etcd_view().said[M2], members=MEMBERS[:2]), M3: "no answer"}))
    assert [(row.host, row.seen) for row in rows] == [("", "master3: no answer"), ("", "master3 has no member")]


def test_versions_of_etcd_that_differ_are_odd_not_wrong():
    said = dict(etcd_view().said)
    look = said[M1]
    said[M1] = replace(look, status=replace(look.status, version="3.5.15"))
    assert [row.severity for row in verify_etcd.rows(View(said))] == ["warn"]


# ---- a write, kubeadm's record


@pytest.mark.parametrize(
    ("result", "state", "seen"),
    [
        (Written({"created": 12, "read": 8, "deleted": 9}, ""), "ok", "an object created (12 ms), read (8 ms), deleted (9 ms)"),
        (Written({"created": 12}, "get: EOF"), "fail", "get: EOF"),
        (lost(M1), "fail", "no answer"),
    ],
)
def test_written(result, state, seen):
    row = rules.written(M1, result)
    assert (row.topic, row.host, row.severity, row.seen) == ("write by VIP", "master1", state, seen)


@pytest.mark.parametrize(
    ("key", "value", "seen"),
    [
        ("clusterName", "kubernetes", f"clusterName is kubernetes, hosts.yaml says {SITE.name}"),
        ("networking.podSubnet", "10.0.0.0/8", f"networking.podSubnet is 10.0.0.0/8, hosts.yaml says {SITE.networks.pods}"),
        ("controlPlaneEndpoint", "10.1.1.101:6443", "controlPlaneEndpoint is 10.1.1.101:6443, hosts.yaml says"),
        ("controlPlaneEndpoint", f"{SITE.endpoint.vip}:6443", None),
    ],
)
def test_what_kubeadm_remembers(key, value, seen):
    row = rules.config(SITE, cluster(config=cluster().config | {key: value}))
    assert (row.severity, row.seen.startswith(seen) if seen else True) == ("warn" if seen else "ok", True)


# ---- all of it


def everything(**hosts):
    """What is seen of a whole site; ``hosts`` say something else."""
    found = {}
    for host in SITE.hosts:
        said = {"facts": replace(WITH, sums=SUMS)} if host.is_node else {}
        if host.is_control_plane:
            said |= {"health": answers(host), "etcd": etcd_view().said[host]}
        if host.is_lb:
            said |= {"lb": HOLDER if host == LB1 else STANDBY, "backends": (*UP, *INGRESS)}
        found[host] = hosts.get(host.name, said)
    return ClusterReadings(found, M1, cluster(), NAMESPACES)


def test_an_api_server_that_the_load_balancers_do_not_know():
    """The other two serve, so nothing else is wrong: a cluster was said to be whole that loses its API with them."""
    seen = everything()
    for host in (LB1, LB2):
        seen.hosts[host]["backends"] = (*UP[:2], *INGRESS)
    (only,) = [row for row in judge(SITE, seen) if row.severity != "ok"]
    assert (only.severity, only.topic, only.host, only.seen) == ("fail", "LB servers", "lb1, lb2", "api does not know master3")
    assert only.fix == "inv lb.setup"


def test_a_whole_site_is_ok_in_every_row():
    rows = judge(SITE, everything())
    assert {row.severity for row in rows} == {"ok"}
    # A row for each thing that the document's verification asks for.
    assert {row.topic for row in rows} == {
        "API server", "API by VIP", "etcd", "node", "leader", "static pods", "kube-proxy", "coredns", "other pods", "kubeadm-config",
        "certificates", "CAs", "LB", "VIP", "versions",
    }  # fmt: skip


@pytest.mark.parametrize("host", SITE.hosts, ids=str)
def test_a_host_that_does_not_answer_fails_and_hides_nobody(host):
    whole, rows = judge(SITE, everything()), judge(SITE, everything(**{host.name: lost(host)}))
    assert any(row.severity == "fail" and row.host == host.name and row.seen == "no answer" for row in rows)
    assert not any(row.severity == "ok" and row.host == host.name for row in rows)
    others = {(row.topic, row.host) for row in whole if row.host not in {host.name, ""}}
    assert others <= {(row.topic, row.host) for row in rows} | {("VIP", "lb1")}


def test_hosts_that_have_not_joined_are_told_once():
    empty = {"facts": replace(FACTS, joined=False, units={"kubelet": "inactive"}), "health": answers(M3, error="no such file")}
    seen = everything(master3=empty | {"etcd": Look(None, why="etcd does not run here")})
    seen.cluster = cluster(nodes=tuple(node(host) for host in SITE.nodes if host != M3))
    told = [row.topic for row in judge(SITE, seen) if row.host == "master3"]
    assert told == ["host", "etcd"]  # its member still counts for the quorum


def test_a_procedure_that_joins_nobody_does_not_wait_for_a_host_that_has_not_joined():
    """recover.etcd-quorum waited three minutes for a worker that was only in hosts.yaml, and failed."""
    seen = everything(worker1={"facts": replace(FACTS, joined=False, units={"kubelet": "inactive"})})
    seen.cluster = cluster(nodes=tuple(node(host) for host in SITE.nodes if host.name != "worker1"))
    assert [(row.topic, row.host) for row in health.wrong(SITE, seen)] == [("host", "worker1")]
    assert health.wrong(SITE, seen, joined_only=True) == []
    seen.hosts[M3] = lost(M3)  # one that does not answer may have joined
    assert {row.host for row in health.wrong(SITE, seen, joined_only=True)} >= {"master3"}


class Proof:
    """A cluster as the proof sees it: ``objects`` from one API server, everything by ``look``. Counts both, and the writes."""

    site = SITE

    def __init__(self, monkeypatch: Any, objects: Any, seen: Any) -> None:
        self.objects, self.seen = objects, seen
        self.asked: list[str] = []
        self.unanswered = 0  # so many writes fail
        monkeypatch.setattr(gates, "look", self._look)
        monkeypatch.setattr(gates, "write_through_vip", self._write)

    def read_each(self, probes: Any, *, fresh: bool) -> Any:
        self.asked += [f"objects {host}" for host in probes]
        return dict.fromkeys(probes, self.objects)

    def _look(self, run: Any, *, fresh: bool) -> Any:
        self.asked.append("everything" if fresh else "what is not known")
        return self.seen

    def _write(self, run: Any, host: Any) -> Any:
        self.asked.append(f"write {host}")
        if self.unanswered:
            self.unanswered -= 1
            return Finding("fail", topic="write by VIP", host=host.name, seen="create timeout", fix="inv lb.status")
        return Finding("ok", topic="write by VIP", host=host.name, seen="written")


def whole() -> Any:
    seen = everything()
    seen.reader = M2
    return seen


def test_the_proof_asks_only_for_nodes_and_pods_until_they_are_ready(monkeypatch):
    waiting = cluster(nodes=tuple(replace(node(host), ready=host != M3) for host in SITE.nodes))
    proof: Any = Proof(monkeypatch, waiting, whole())
    step = gates.cluster_verified(SITE)
    seen = step.done(proof)
    assert not seen
    assert "master3: node: not Ready" in seen.seen
    assert proof.asked == ["objects master1"]


def test_the_proof_looks_at_everything_and_writes_before_it_is_content(monkeypatch):
    proof: Any = Proof(monkeypatch, cluster(), whole())
    step = gates.cluster_verified(SITE)
    assert step.done(proof)
    step.verify(proof)
    assert proof.asked == ["objects master1", "everything", "write master2"]
    proof.seen.hosts[M3] = lost(M3)
    assert not step.done(proof)
    assert proof.asked[3:] == ["objects master2", "everything"]


def test_a_write_that_fails_is_tried_again_for_a_while(monkeypatch):
    proof: Any = Proof(monkeypatch, cluster(), whole())
    step = gates.cluster_verified(SITE)
    assert step.done(proof)
    proof.unanswered = 2
    with without_waiting():
        step.verify(proof)
    assert proof.asked[2:] == ["write master2"] * 3
    proof.unanswered = 1000
    monkeypatch.setattr(gates, "WRITTEN_WITHIN_S", 0)
    with pytest.raises(OutcomeError, match="create timeout") as raised:
        step.verify(proof)
    assert raised.value.hint == "inv lb.status"


def test_the_proof_of_a_procedure_that_has_looked_ahead_asks_only_for_what_is_not_known(monkeypatch):
    proof: Any = Proof(monkeypatch, cluster(), whole())
    assert gates.cluster_verified(SITE, fresh=False).done(proof)
    assert proof.asked == ["objects master1", "what is not known"]


@pytest.mark.parametrize("objects", [lost(M1), cluster(errors={NODES: "refused"})], ids=["silent", "refused"])
def test_an_api_server_that_does_not_tell_decides_nothing(monkeypatch, objects):
    proof: Any = Proof(monkeypatch, objects, whole())
    assert gates.cluster_verified(SITE).done(proof)
    assert proof.asked == ["objects master1", "everything"]


def test_the_proof_of_a_procedure_that_joins_nobody_looks_at_everything_at_once(monkeypatch):
    """A Node that an outsider left would never get ready."""
    proof: Any = Proof(monkeypatch, cluster(), whole())
    assert gates.cluster_verified(SITE, joined_only=True).done(proof)
    assert proof.asked == ["everything"]


def test_a_procedure_that_joins_nobody_does_not_wait_for_a_master_that_has_not_joined():
    """Its etcd has no host in its findings, and its server has the LB's."""
    out = {"facts": replace(FACTS, joined=False, units={"kubelet": "inactive"}), "health": answers(M3, error="no such file")}
    seen = everything(master3=out | {"etcd": Look(None, why="etcd does not run here")})
    members = tuple(each for each in seen.hosts[M1]["etcd"].members if each.name != M3.name)
    for host in (M1, M2):
        seen.hosts[host]["etcd"] = replace(seen.hosts[host]["etcd"], members=members)
    seen.cluster = cluster(nodes=tuple(node(host) for host in SITE.nodes if host != M3))
    for host in (LB1, LB2):
        seen.hosts[host]["backends"] = (*UP[:2], replace(UP[2], status="DOWN"), *INGRESS)
    assert {(row.topic, row.host) for row in health.wrong(SITE, deepcopy(seen))} >= {
        ("host", "master3"),
        ("etcd", ""),
        ("LB", "lb1"),
    }
    assert health.wrong(SITE, deepcopy(seen), joined_only=True) == []
    for host in (M1, M2):  # the member of a host that was replaced by an empty machine counts for the quorum
        seen.hosts[host]["etcd"] = etcd_view().said[host]
    assert {row.topic for row in health.wrong(SITE, deepcopy(seen), joined_only=True)} == {"etcd", "LB"}


def test_without_any_api_server_the_rest_is_still_judged():
    seen = everything()
    seen.cluster = "no API server answers"
    rows = judge(SITE, seen)
    assert [(row.topic, row.seen) for row in at_least("fail", rows)] == [("objects", "no API server answers")]
    assert {"API server", "etcd", "certificates", "LB"} <= {row.topic for row in rows}


def test_pods_of_which_pod_network_are_asked_for(tmp_path):
    def having(cni):
        return msgspec.structs.replace(SITE, kubernetes=msgspec.structs.replace(SITE.kubernetes, cni=cni))

    manifest, broken = tmp_path / "cni.yaml", tmp_path / "broken.yaml"
    manifest.write_text(
        "kind: Role\nmetadata: {namespace: not-this}\n---\nkind: DaemonSet\nmetadata: {name: net, namespace: my-net}\n---\n"
    )
    broken.write_text("a: [")
    assert cluster_namespaces(having("flannel")) == ("kube-system", "kube-flannel")
    assert cluster_namespaces(having(manifest)) == ("kube-system", "my-net")
    for unknown in ("none", None, tmp_path / "missing.yaml", broken):
        assert "calico-system" in cluster_namespaces(having(unknown))


# ---- what is asked besides


class Answers:
    """Hosts that say what ``everything`` has, and objects or errors by host; remembers which parts were asked of whom."""

    def __init__(self, seen, objects):
        self.seen, self.objects, self.asked = seen, objects, []
        self.site = SITE

    def read_each(self, probes, *, fresh):
        assert fresh
        if len(probes) > 1:
            return {host: self.seen.hosts[host] for host in probes}
        ((host, probe),) = probes.items()
        shown = [str(part.command).split()[0] for part in probe.parts]
        self.asked.append((host.name, shown))
        said = self.objects.get(host, cluster())
        if isinstance(said, Exception):
            return {host: said}
        names = {"verify-cluster": said, "date": 7}
        return {host: {"objects" if each == "verify-cluster" else "extra": names[each] for each in shown}}


MORE = health.More(reader=lambda _: {"extra": Probe(cmd("date"), float)})


def test_what_a_command_asks_besides_goes_with_the_objects():
    run: Any = Answers(everything(), {})
    seen = health.look(run, MORE)
    assert (seen.reader, seen.extra) == (M1, {"extra": 7})
    assert run.asked == [("master1", ["verify-cluster", "date"])]


def test_a_server_that_is_not_well_is_asked_for_the_objects_first():
    """Without a quorum each of the others may take its whole time, or fail, on one server after the other."""
    sick = {f"master{number}": {"health": answers(master(number), failed=("etcd",))} for number in (1, 2, 3)}
    seen = everything(**{name: everything().hosts[SITE.host(name)] | said for name, said in sick.items()})
    gone = cluster(errors={NODES: "etcdserver: request timed out"})
    run: Any = Answers(seen, {M1: lost(M1), M2: gone})
    found = health.look(run, MORE)
    assert (found.reader, found.extra) == (M3, {"extra": 7})
    assert run.asked == [
        ("master1", ["verify-cluster"]),
        ("master2", ["verify-cluster"]),
        ("master3", ["verify-cluster"]),
        ("master3", ["date"]),
    ]
    run = Answers(seen, dict.fromkeys((M1, M2, M3), gone))
    found = health.look(run, MORE)
    assert (found.reader, found.cluster, found.extra) == (None, "etcdserver: request timed out", {})
    assert [parts for _, parts in run.asked] == [["verify-cluster"]] * 3
