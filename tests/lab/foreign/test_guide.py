"""A cluster as kubeadm's own guide has it: nodes with FQDN names, etcd's data on a file system of its own at another place, flags of kubelets in
/etc/default/kubelet, and load balancers that serve something else as well.

The tests build on one another in the order of this file.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace

import pytest

from tests.support import unnoticed
from tests.support.foreign import clusters, operators
from tests.support.operator import REFUSES, Operator, holders, vip_on
from tests.support.unnoticed import Asked
from tests.support.waiting import eventually

pytestmark = [pytest.mark.lab, pytest.mark.long]

FIRST, SECOND, THIRD = clusters.hosts_of("control-plane", "guide")
(WORKER,) = clusters.hosts_of("worker", "guide")
FLAGS = "cat /etc/default/kubelet; tr '\\0' ' ' </proc/$(pgrep -x kubelet)/cmdline | grep -o -- '--max-pods=[0-9]*'"
# Through the second VRRP instance, and through the VIP of the API.
ASKED = (
    unnoticed.HEALTH,
    Asked("shop", clusters.SHOP, 8080, "the shop is open"),
    Asked("shop-by-the-vip", "10.1.1.100", 8080, "the shop is open"),
)
SWITCHED = tuple(replace(each, moves=each.address == clusters.SHOP) for each in ASKED)  # lb2, which has it, stands aside


@pytest.fixture(scope="module")
def guide(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Operator]:
    """Three control plane hosts and a worker."""
    with operators.operator("guide", 3, tmp_path_factory.mktemp("guide")) as somebody:
        yield somebody


def test_it_is_verified_by_the_name_that_its_certificates_have(guide: Operator) -> None:
    """They have the endpoint's name, and not the VIP."""
    served = "openssl x509 -noout -text -in /etc/kubernetes/pki/apiserver.crt"
    text = clusters.run(guide.lab, FIRST, served)
    assert ("DNS:api.site.example" in text, "10.1.1.100" in text) == (True, False)
    guide.verified()
    assert operators.seen(guide, "fail", "doctor") == set()


def test_what_it_was_built_with_is_no_difference(guide: Operator) -> None:
    there = json.loads(guide.inv("cluster.diff", "--json").stdout.splitlines()[0])
    assert there["unread"] == []
    keys = {each["key"] for each in there["differences"]}
    assert not keys & {"clusterName", "etcd.local.dataDir", "controlPlaneEndpoint"}
    assert not [each for each in there["differences"] if each["topic"] in {"by-hand", "nodes"}]


def test_it_is_backed_up(guide: Operator) -> None:
    guide.well("backup.run")
    assert f"etcd/{THIRD}.db" in guide.good("backup.verify")


def test_certificates_are_renewed(guide: Operator) -> None:
    guide.done("certs.renew", "--force", "--host", SECOND, timeout_s=400)
    guide.verified()


def test_a_member_that_lost_its_data_comes_back_on_its_own_file_system(guide: Operator) -> None:
    ids = operators.members(guide)
    operators.lose_data(guide, THIRD, "/data/etcd")
    guide.done("recover.etcd-member", "--member", THIRD, timeout_s=600)
    assert operators.members(guide).keys() == ids.keys()
    assert clusters.run(guide.lab, THIRD, "mountpoint -q /data/etcd; ls -d /data/etcd/member; ls /var/lib/etcd").split() == [
        "/data/etcd/member",
        "disk",
    ]
    assert operators.is_kept(guide, THIRD)
    guide.verified()


def test_a_control_plane_host_is_removed_with_its_data_and_joins_again(guide: Operator) -> None:
    clusters.run(guide.lab, THIRD, "mkdir -p /data/etcd/lost+found")  # as on a disk of its own
    guide.done("cluster.remove", "--host", THIRD, timeout_s=400)
    assert clusters.run(guide.lab, THIRD, "mountpoint -q /data/etcd; ls -d /data/etcd/member || true") == ""
    guide.done("cluster.join", "--host", THIRD, timeout_s=600)
    assert operators.is_kept(guide, THIRD)
    guide.verified()


def test_the_flags_of_kubelets_stay_the_owners(guide: Operator) -> None:
    there = clusters.run(guide.lab, WORKER, FLAGS)
    assert "--max-pods=80" in there.splitlines()[-1]
    guide.done("cluster.remove", "--host", WORKER, timeout_s=400)
    guide.done("cluster.join", "--host", WORKER, timeout_s=600)
    assert clusters.run(guide.lab, WORKER, FLAGS) == there
    guide.verified()


def test_it_is_upgraded(guide: Operator) -> None:
    there = clusters.run(guide.lab, FIRST, FLAGS)
    guide.well("backup.run")
    assert operators.seen(guide, "fail", "upgrade.plan", "--to", "1.20.3") == set()
    guide.done("upgrade.run", "--to", "1.20.3", timeout_s=1800)
    assert clusters.run(guide.lab, FIRST, FLAGS) == there
    versions = clusters.kubectl(guide.lab, FIRST, "get", "nodes", "-o", "jsonpath={.items[*].status.nodeInfo.kubeletVersion}")
    assert set(versions.split()) == {"v1.20.3"}
    assert clusters.run(guide.lab, FIRST, "ls -d /data/etcd/member").strip() == "/data/etcd/member"
    guide.verified()


def test_its_load_balancers_are_taken_over_and_nobody_notices(guide: Operator) -> None:
    vip_on(guide.lab, "lb1")
    eventually(lambda: holders(guide.lab, clusters.SHOP), ["lb2"])
    refused = guide.inv("lb.setup")
    assert refused.returncode == REFUSES, refused.stdout + refused.stderr
    assert (
        "HAProxy also reads /etc/haproxy/conf.d/shop.cfg, which is not from lb.setup; it serves shop (*:8080)" in refused.stderr
    )
    assert "the VRRP instance shop" in refused.stderr
    unnoticed.unnoticed(guide, SWITCHED, "lb.setup", "--take-over", client=WORKER)
    guide.idle("lb.setup")
    eventually(lambda: holders(guide.lab, clusters.SHOP), ["lb2"])  # it is back where it was
    told = json.loads(guide.well("lb.status", "--json"))["lbs"]
    assert [told[host]["kept"] for host in clusters.LBS] == [["the VRRP instance shop"]] * 2
    guide.verified()


def test_what_was_taken_over_does_what_ours_does(guide: Operator) -> None:
    """A control plane host is out of the load balancers before its API server restarts: clients of both notice nothing."""
    vip_on(guide.lab, "lb1")
    said = unnoticed.unnoticed(guide, ASKED, "certs.renew", "--force", "--host", FIRST, client=WORKER)
    assert "it is not taken out there" not in said
    guide.verified()


def test_its_load_balancers_are_given_back_and_nobody_notices(guide: Operator) -> None:
    vip_on(guide.lab, "lb1")
    unnoticed.unnoticed(guide, SWITCHED, "lb.rollback", "--original", client=WORKER)
    for host in clusters.LBS:
        assert "frontend apiserver\n" in clusters.run(guide.lab, host, "cat /etc/haproxy/haproxy.cfg")
    eventually(lambda: holders(guide.lab, clusters.SHOP), ["lb2"])
    guide.verified()
