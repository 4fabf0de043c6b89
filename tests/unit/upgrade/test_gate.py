"""The gate behind a node: its addons, and the name under which it is probed."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from runbooks.commands.versions import AddonPod, ClusterVersions
from runbooks.engine.steps import Unmet
from runbooks.upgrade import gate
from runbooks.upgrade.context import Upgrade
from runbooks.upgrade.rules.choices import Choices
from tests.support.fakes import site

pytestmark = pytest.mark.unit

TO = (1, 20, 3)
WORKER = site().workers[0]
PROXY = (AddonPod(image="proxy:2", node=f"{WORKER}.example.com", ready=True),)


def done(monkeypatch, dns_pods, proxy_pods=PROXY) -> bool | Unmet:
    monkeypatch.setattr(gate, "kubelet_arrived", lambda *_: True)
    monkeypatch.setattr(Upgrade, "serving", lambda *_: site().control_plane[0])
    said = ClusterVersions(
        config="v1.20.3",
        etcd_tag="",
        dns="dns:2",
        proxy="proxy:2",
        dns_pods=tuple(dns_pods),
        proxy_pods=tuple(proxy_pods),
        errors={},
    )
    upgrade = Upgrade(site(), TO, Choices(to=TO))
    return gate.gate(upgrade, WORKER).done(SimpleNamespace(read=lambda *_: said))


@pytest.mark.parametrize(
    ("pods", "well"),
    [
        ([AddonPod(image="dns:2", node="w", ready=True)], True),
        ([AddonPod(image="dns:2", node="w", ready=True), AddonPod(image="dns:2", node="x", ready=False)], False),
        ([AddonPod(image="dns:1", node="w", ready=True)], False),
        ([], False),
    ],
)
def test_coredns_has_at_least_one_pod_and_all_are_new_and_ready(monkeypatch, pods, well):
    assert bool(done(monkeypatch, pods)) is well


def test_a_node_without_kube_proxy_is_not_through(monkeypatch):
    assert not done(monkeypatch, [AddonPod(image="dns:2", node="w", ready=True)], ())


def test_the_pod_of_the_gate_is_for_the_node_under_its_own_name(monkeypatch):
    asked = []
    monkeypatch.setattr(Upgrade, "node_name", lambda *_: f"{WORKER}.example.com")
    monkeypatch.setattr(gate, "probe", lambda upgrade, run, host, node, *_: asked.append(node))
    monkeypatch.setattr(gate, "_writes", lambda *_: None)
    gate.gate(Upgrade(site(), TO, Choices(to=TO)), WORKER).verify(SimpleNamespace(plan=False))
    assert asked == [f"{WORKER}.example.com"]
