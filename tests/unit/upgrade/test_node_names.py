"""A Node whose name is not the host's own: with a domain, without the host's domain, or known by its address only."""

from __future__ import annotations

from dataclasses import replace

import pytest

from runbooks.commands import node_objects
from runbooks.commands.base import Command
from runbooks.commands.drain_objects import Cluster
from runbooks.commands.drain_objects import Node as Drained
from runbooks.engine.steps import Unmet
from runbooks.rules.upgrade_seen import NodeSeen
from runbooks.upgrade import node
from runbooks.upgrade.context import Upgrade, object_of
from runbooks.upgrade.rules.choices import Choices
from tests.support.fakes import master, site

pytestmark = pytest.mark.unit

TO = (1, 20, 3)
NAME = "master1.example.com"


def known(name: str, address: str = "", **facts) -> node_objects.Node:
    item = {
        "metadata": {"name": name, "creationTimestamp": "2026-01-01T00:00:00Z"},
        "status": {
            "addresses": [{"type": "InternalIP", "address": address}],
            "conditions": [{"type": "Ready", "status": "True"}],
            "nodeInfo": {"kubeletVersion": "v1.20.3"},
        },
    }
    return replace(node_objects.parse_node(item), **facts)


@pytest.mark.parametrize(
    ("names", "found"),
    [
        ({NAME: ""}, NAME),
        ({"MASTER1.example.com": ""}, "MASTER1.example.com"),
        ({"master1": "", NAME: ""}, "master1"),
        ({"ip-10-0-0-1": str(master(1).address)}, "ip-10-0-0-1"),
        ({"master10.example.com": "", "master2": ""}, None),
        ({}, None),
    ],
)
def test_the_node_of_a_host_by_name_by_address_or_with_a_domain(names, found):
    node_ = object_of(master(1), {name: known(name, address) for name, address in names.items()})
    assert (node_.name if node_ else None) == found


class Reads:
    """A run whose cluster has one Node, with a domain; remembers what was changed."""

    plan = False

    def __init__(self, **facts) -> None:
        self.nodes = {NAME: known(NAME, **facts)}
        self.changed: list[str] = []

    def change(self, host: object, command: Command) -> None:
        self.changed.append(command.program)


@pytest.fixture
def upgrade(monkeypatch) -> Upgrade:
    one = Upgrade(site(), TO, Choices(to=TO))
    arrived = NodeSeen(name="master1", control_plane=True, kubelet=TO, kubectl=TO, kubelet_runs=TO)
    monkeypatch.setattr(Upgrade, "node", lambda *_: arrived)
    monkeypatch.setattr(Upgrade, "serving", lambda *_: master(2))
    monkeypatch.setattr(one.survey, "nodes", lambda run, _: run.nodes)
    return one


def test_a_kubelet_that_registered_with_a_domain_has_arrived(upgrade):
    assert node.kubelet_arrived(upgrade, Reads(), master(1))


def test_a_cordon_of_ours_is_seen_and_taken_away_under_the_name_of_the_node(upgrade):
    step, run = node.uncordon(upgrade, master(1)), Reads(cordoned=True, marked=True)
    assert not step.done(run)
    step.do(run)
    assert NAME in run.changed[0]


def test_a_node_with_a_domain_that_is_cordoned_and_empty_is_drained(upgrade, monkeypatch):
    drained = Drained(name=NAME, labels={}, taints=(), cordoned=True, marked=True, ready=True, allocatable={})
    monkeypatch.setattr(node, "_there", lambda *_: Cluster(nodes={NAME: drained}))
    done = node.drain(upgrade, master(1), lambda run: False).done(Reads())
    assert not isinstance(done, Unmet)
    assert done
