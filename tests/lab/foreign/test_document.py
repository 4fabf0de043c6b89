"""A cluster that somebody has built from the document, with its own HAProxy and keepalived: this tool looks after it, and takes nothing over.

The tests build on one another in the order of this file.
"""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from lab.control import Lab
from lab.saving import frozen
from tests.support import foreign_lb, unnoticed, workloads
from tests.support.foreign import clusters, operators
from tests.support.operator import REFUSES, Operator, holders, vip_on
from tests.support.unnoticed import Asked
from tests.support.waiting import eventually

pytestmark = pytest.mark.lab

MASTERS = clusters.hosts_of("control-plane", "document")
FILES = "sha256sum /etc/haproxy/haproxy.cfg /etc/keepalived/keepalived.conf"
# Through the second VRRP instance, and through the VIP of the API.
ASKED = (
    unnoticed.HEALTH,
    Asked("shop", foreign_lb.SHOP_VIP, 8443, "the shop is open", moves=True),
    Asked("shop-by-the-vip", "10.1.1.100", 8443, "the shop is open"),
)
# The document's front ends for an ingress are not those of hosts.yaml, which has none.
STAYS = ["ingress-http-kept (10.1.1.100:80)", "ingress-https-kept (10.1.1.100:443)", "shop (*:8443)", "the VRRP instance shop"]
KUBECTL = "kubectl --kubeconfig=/etc/kubernetes/admin.conf"
KINDS = ("deployments", "statefulsets", "replicasets", "daemonsets", "replicationcontrollers", "cronjobs", "jobs")
BUSY = f"""
{KUBECTL} wait --for=condition=Ready pod --all --timeout=300s
until {KUBECTL} get jobs -o name | grep often; do sleep 2; done
"""
RUNNING = f"{KUBECTL} get pods -o name; pgrep -fx '{workloads.SLEEP}' || true"


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Operator]:
    """One control plane host."""
    with operators.operator("document", 1, tmp_path_factory.mktemp("small")) as somebody:
        yield somebody


@pytest.fixture(scope="module")
def document(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Operator]:
    """Three control plane hosts and a worker."""
    with operators.operator("document", 3, tmp_path_factory.mktemp("document")) as somebody:
        yield somebody


def test_it_is_looked_at_and_backed_up_as_it_is(small: Operator) -> None:
    before = {host: clusters.run(small.lab, host, FILES) for host in clusters.LBS}
    small.well("backup.run")
    small.good("backup.verify")
    eventually(lambda: operators.seen(small, "fail", "doctor"), set(), 180)
    told = small.inv("doctor").stdout
    assert "HAProxy and keepalived run there with files that this tool has not written" in told
    refused = small.inv("lb.setup")
    assert refused.returncode == REFUSES, refused.stdout + refused.stderr
    assert "--take-over" in refused.stderr
    assert {host: clusters.run(small.lab, host, FILES) for host in clusters.LBS} == before


@pytest.mark.long
def test_the_whole_of_it_is_verified(document: Operator) -> None:
    document.verified()
    assert operators.seen(document, "fail", "doctor") == set()
    assert "LB" in operators.seen(document, "warn", "cluster.verify")
    there = json.loads(document.inv("cluster.diff", "--json").stdout.splitlines()[0])
    assert there["unread"] == []
    assert not [each for each in there["differences"] if each["topic"] in {"by-hand", "nodes"}]


@pytest.mark.long
def test_certificates_are_renewed(document: Operator) -> None:
    read = "openssl x509 -noout -serial -in /etc/kubernetes/pki/apiserver.crt"
    old = {host: clusters.run(document.lab, host, read) for host in MASTERS}
    said = document.done("certs.renew", "--force", "--host", "master2", timeout_s=400)
    assert "it is not taken out there" in said  # of load balancers that are not ours
    new = {host: clusters.run(document.lab, host, read) for host in MASTERS}
    assert [host for host in MASTERS if new[host] != old[host]] == ["master2"]
    document.verified()


@pytest.mark.long
def test_a_member_that_lost_its_data_comes_back(document: Operator) -> None:
    ids = operators.members(document)
    operators.lose_data(document, "master3", "/var/lib/etcd")
    document.done("recover.etcd-member", "--member", "master3", timeout_s=600)
    back = operators.members(document)
    assert back.keys() == ids.keys()
    assert [name for name in ids if back[name] != ids[name]] == ["master3"]
    assert operators.is_kept(document, "master3")
    document.verified()


@pytest.mark.long
def test_a_worker_leaves_and_comes_back(document: Operator) -> None:
    document.done("cluster.remove", "--host", "worker1", timeout_s=400)
    assert "worker1" not in clusters.kubectl(document.lab, "master1", "get", "nodes", "-o", "name")
    document.done("cluster.join", "--host", "worker1", timeout_s=600)
    document.verified()


@pytest.mark.long
def test_an_upgrade_would_not_be_refused(document: Operator) -> None:
    document.verified()
    document.well("backup.run")
    assert operators.seen(document, "fail", "upgrade.plan", "--to", "1.20.3") == set()


@pytest.mark.long
def test_a_recovery_is_rehearsed_from_its_last_set_and_nothing_of_the_owners_runs_on_the_twin(document: Operator) -> None:
    """The owner's Pods would run: on a host whose kubelet runs on the twin, with an image that is there; a CronJob is due.

    One restore makes the twin, the rehearsed procedure is the second. The cluster stands still meanwhile: two of them are too much for one machine.
    """
    everything = json.dumps({"apiVersion": "v1", "kind": "List", "items": workloads.on("master1")})
    clusters.kubectl(document.lab, "master1", "apply", "-f", "-", stdin=everything)
    clusters.run(document.lab, "master1", BUSY)
    document.good("backup.run")
    clusters.run(
        document.lab, "master1", f"{KUBECTL} delete {','.join(KINDS)} --all --wait=false; {KUBECTL} delete pods --all --now"
    )
    twin = Lab(f"{document.lab.instance.name}-r")
    words = ("recover.etcd-quorum", "--workers", "none", "--keep", "--lab", twin.instance.name, "--json")
    try:
        with frozen(document.lab.instance):
            done = document.inv("rehearse", *words, timeout_s=1200)
            assert done.returncode == 0, done.stdout + done.stderr
            eventually(lambda: clusters.run(twin, "master1", RUNNING), "", 120)
            there = {kind: clusters.kubectl(twin, "master1", "get", kind, "-o", "name").split() for kind in KINDS}
    finally:
        twin.down()
    (found,) = [each for each in map(json.loads, done.stdout.splitlines()) if each["event"] == "rehearsal"]
    assert (found["verdict"], found["stopped"]) == ("it gets through", "")
    assert all(there.values()), there
    assert any("workloads runs: their images" in each for each in found["changed_on_the_twin"])
    assert any("1 Pod without a workload: default/bare" in each for each in found["changed_on_the_twin"])
    document.verified()


@pytest.mark.long
def test_it_is_upgraded(document: Operator) -> None:
    document.done("upgrade.run", "--to", "1.20.3", timeout_s=1800)
    versions = clusters.kubectl(
        document.lab, "master1", "get", "nodes", "-o", "jsonpath={.items[*].status.nodeInfo.kubeletVersion}"
    )
    assert set(versions.split()) == {"v1.20.3"}
    assert operators.is_kept(document, "master1")
    document.verified()


@pytest.mark.long
def test_its_load_balancers_are_taken_over_and_nobody_notices(document: Operator) -> None:
    """With a shop of somebody else in the document's files: a front end and a VRRP instance more."""
    foreign_lb.add_the_shop(document.lab)
    vip_on(document.lab, "lb1")
    eventually(lambda: holders(document.lab, foreign_lb.SHOP_VIP), ["lb2"])
    refused = document.inv("lb.setup")
    assert refused.returncode == REFUSES, refused.stdout + refused.stderr
    for host in clusters.LBS:
        assert f"{host}: stays as it is: {', '.join(STAYS)}" in refused.stderr
    unnoticed.unnoticed(document, ASKED, "lb.setup", "--take-over")
    document.idle("lb.setup")
    eventually(lambda: holders(document.lab, foreign_lb.SHOP_VIP), ["lb2"])  # it is back where it was
    told = json.loads(document.well("lb.status", "--json"))["lbs"]
    assert [told[host]["kept"] for host in clusters.LBS] == [STAYS] * 2
    document.verified()


@pytest.mark.long
def test_its_load_balancers_are_given_back_and_nobody_notices(document: Operator) -> None:
    vip_on(document.lab, "lb1")
    unnoticed.unnoticed(document, ASKED, "lb.rollback", "--original")
    for host in clusters.LBS:
        assert 'string "the shop is open' in clusters.run(document.lab, host, "cat /etc/haproxy/haproxy.cfg")
    eventually(lambda: holders(document.lab, foreign_lb.SHOP_VIP), ["lb2"])
    document.verified()
