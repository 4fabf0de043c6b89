"""Hosts of a site: found by name and role, and each once."""

import msgspec
import pytest

from runbooks.errors import InventoryError
from tests.support.fakes import lb, master, site

pytestmark = pytest.mark.unit

WORKER = site().workers[0]


def test_a_host_is_found_by_its_name_and_role():
    assert site().host("master1") == site().host("master1", "control-plane") == site().host("master1", "node") == master(1)


@pytest.mark.parametrize(
    ("role", "said"),
    [
        (None, "nobody is no host of ha-cluster (lb1, lb2, master1, master2, master3, worker1, worker2, worker3)"),
        ("lb", "nobody is no load balancer of ha-cluster (lb1, lb2)"),
        ("control-plane", "nobody is no control plane host of ha-cluster (master1, master2, master3)"),
        (
            "node",
            "nobody is no control plane host or worker of ha-cluster (master1, master2, master3, worker1, worker2, worker3)",
        ),
    ],
)
def test_a_name_that_nobody_has_is_told_with_those_there_are(role, said):
    for look_up in (site().host, site().named):
        with pytest.raises(InventoryError) as raised:
            look_up("nobody", role)
        assert str(raised.value) == said


def test_a_host_of_another_role_is_not_meant():
    with pytest.raises(InventoryError, match="lb1 is no control plane host or worker"):
        site().named("master1,lb1", "node")


def test_names_come_in_the_order_of_the_file_and_once():
    assert site().named("worker1, master1,worker1") == (master(1), WORKER)
    assert site().named("", "lb") == (lb(1), lb(2))
    assert site().named("") == site().hosts


def test_a_host_with_two_roles_is_one_node():
    both = msgspec.structs.replace(master(1), roles=("control-plane", "worker"))
    hosts = (lb(1), WORKER, both, master(2))
    assert msgspec.structs.replace(site(), hosts=hosts).nodes == (both, master(2), WORKER)


@pytest.mark.parametrize("said", ["kube-m1.dc1.example.com", "kube-m1", "KUBE-M1"])
def test_a_machine_may_leave_out_its_domain(said):
    assert msgspec.structs.replace(master(1), name="kube-m1.dc1.example.com").is_called(said)
    assert msgspec.structs.replace(master(1), name="kube-m1").is_called(said)


@pytest.mark.parametrize("said", ["kube-m1.dc2.example.com", "kube-m2", "kube", "", "dc1.example.com"])
def test_another_machine_is_called_otherwise(said):
    assert not msgspec.structs.replace(master(1), name="kube-m1.dc1.example.com").is_called(said)
