"""The model of the scheduler's filters."""

from __future__ import annotations

import pytest

from runbooks.commands.drain_objects import CORDON, Near, Node, Pod, Spread, Toleration, Volume
from runbooks.commands.node_settings import Taint
from runbooks.commands.quantity import amounts
from runbooks.commands.selectors import NAME_FIELD, Requirement, of_labels
from runbooks.upgrade.rules.scheduling import Picture
from tests.unit.upgrade.drained import apart, cluster, node, pod

pytestmark = pytest.mark.unit

TAINT = Taint("dedicated", "db", "NoSchedule")
ANY = Toleration("", "Exists", "", "")


def candidates(nodes: list[Node], pods: list[Pod], wanted: Pod, cordoned: tuple[str, ...] = (), **more: object) -> set[str]:
    the = cluster(nodes, pods, **more)
    return set(Picture(the, the.pods, cordoned).candidates(wanted))


@pytest.mark.parametrize(
    ("changes", "found"),
    [
        ({}, {"n2"}),
        ({"node_labels": of_labels({"disk": "ssd"})}, {"n2"}),
        ({"node_labels": of_labels({"disk": "hdd"})}, set()),
        ({"tolerations": (ANY,)}, {"n1", "n2"}),
        ({"tolerations": (Toleration("dedicated", "Equal", "db", "NoSchedule"),)}, {"n1", "n2"}),
        ({"tolerations": (ANY,), "affinity": ((Requirement(NAME_FIELD, "In", frozenset({"n1"})),),)}, {"n1"}),
        ({"affinity": ((Requirement("none", "Exists"),), (Requirement("disk", "Exists"),))}, {"n2"}),
        ({"affinity": ()}, set()),
        ({"claims": ("data",)}, {"n2"}),
        ({"claims": ("pinned",)}, set()),
        ({"claims": ("pinned",), "tolerations": (ANY,)}, {"n1"}),
        ({"claims": ("unknown",)}, {"n2"}),
    ],
)
def test_what_a_pod_wants_of_a_node(changes: dict[str, object], found: set[str]) -> None:
    nodes = [node("n1", taints=(TAINT,)), node("n2", labels={"disk": "ssd"})]
    pinned = (of_labels({"kubernetes.io/hostname": "n1"}),)
    volumes = (
        Volume("v1", "shop/pinned", "local", pinned),
        Volume("v2", "shop/data", "", None),
        Volume("v3", "other/data", "", pinned),
    )
    assert candidates(nodes, [], pod("a", "", **changes), volumes=volumes) == found


def test_a_taint_that_only_discourages_keeps_nobody_out() -> None:
    assert candidates([node("n1", taints=(Taint("a", "", "PreferNoSchedule"),))], [], pod("a", "")) == {"n1"}


def test_a_cordon_keeps_out_all_but_those_that_tolerate_it() -> None:
    nodes = [node("n1", taints=(CORDON,)), node("n2")]
    assert candidates(nodes, [], pod("a", ""), cordoned=("n1",)) == {"n2"}
    assert candidates(nodes, [], pod("a", "", tolerations=(ANY,)), cordoned=("n1",)) == {"n1", "n2"}
    assert candidates(nodes, [], pod("a", ""), cordoned=()) == {"n1", "n2"}  # the taint goes with the cordon


@pytest.mark.parametrize(
    ("requests", "fits"),
    [
        ({"cpu": "3"}, True),
        ({"cpu": "3001m"}, False),
        ({"memory": "9Gi"}, False),
        ({"ephemeral-storage": "51Gi"}, False),
        ({"nvidia.com/gpu": "1"}, False),
        ({"nvidia.com/gpu": "0"}, True),
    ],
)
def test_room(requests: dict[str, str], fits: bool) -> None:
    wanted = pod("a", "", requests=amounts({**requests, "pods": "1"}))
    assert bool(candidates([node("n1")], [pod("b", "n1", cpu="1")], wanted)) == fits


def test_the_number_of_pods_is_limited() -> None:
    assert candidates([node("n1", room={"pods": "1"})], [pod("b", "n1")], pod("a", "")) == set()


@pytest.mark.parametrize(
    ("mine", "theirs", "fits"),
    [
        (("TCP", "", 80), ("TCP", "", 80), False),
        (("TCP", "10.0.0.1", 80), ("TCP", "", 80), False),
        (("TCP", "10.0.0.1", 80), ("TCP", "10.0.0.2", 80), True),
        (("UDP", "", 80), ("TCP", "", 80), True),
        (("TCP", "", 81), ("TCP", "", 80), True),
    ],
)
def test_ports_of_the_host(mine: tuple[str, str, int], theirs: tuple[str, str, int], fits: bool) -> None:
    other = pod("b", "n1", ports=frozenset({theirs}))
    assert bool(candidates([node("n1")], [other], pod("a", "", ports=frozenset({mine})))) == fits


ZONES = [node("n1", labels={"zone": "a"}), node("n2", labels={"zone": "a"}), node("n3", labels={"zone": "b"}), node("n4")]


def test_anti_affinity_works_both_ways_and_by_any_label() -> None:
    web, other = pod("w", "n1"), pod("o", "n1", "other")
    assert candidates(ZONES, [web], pod("a", "", apart=apart("web"))) == {"n2", "n3", "n4"}
    assert candidates(ZONES, [web], pod("a", "", apart=apart("web", "zone"))) == {"n3", "n4"}
    keeps_away = pod("w", "n1", "other", apart=apart("web", "zone"))
    assert candidates(ZONES, [keeps_away], pod("a", "")) == {"n3", "n4"}
    assert candidates(ZONES, [other], pod("a", "", apart=apart("web"))) == {"n1", "n2", "n3", "n4"}


def test_anti_affinity_means_the_namespaces_that_it_names() -> None:
    elsewhere = pod("w", "n1", namespace="test")
    by_label = (Near(of_labels({"app": "web"}), "zone", frozenset(), of_labels({"team": "x"})),)
    assert len(candidates(ZONES, [elsewhere], pod("a", "", apart=apart("web")))) == 4
    assert candidates(ZONES, [elsewhere], pod("a", "", apart=by_label), namespaces={"test": {"team": "x"}}) == {"n3", "n4"}
    assert len(candidates(ZONES, [elsewhere], pod("a", "", apart=by_label), namespaces={"test": {}})) == 4


def test_affinity_to_other_pods() -> None:
    near = apart("web", "zone")
    assert candidates(ZONES, [pod("w", "n3")], pod("a", "", "other", together=near)) == {"n3"}
    assert candidates(ZONES, [], pod("a", "", "other", together=near)) == set()
    assert candidates(ZONES, [], pod("a", "", together=near)) == {"n1", "n2", "n3"}  # the first of its own kind
    two = (*near, *apart("web"))
    assert candidates(ZONES, [pod("w", "n3")], pod("a", "", "other", together=two)) == {"n3"}
    db = Near(of_labels({"app": "db"}), "zone", frozenset({"shop"}), None)
    there = [pod("w", "n3"), pod("d", "n3", "db")]
    assert candidates(ZONES, there, pod("a", "", "other", together=(*near, db))) == set()  # no Pod is meant by both terms
    assert candidates(ZONES, [pod("w", "n4")], pod("a", "", together=near)) == {"n1", "n2", "n3"}  # n4 is in no zone


def spread(**changes: object) -> tuple[Spread, ...]:
    given = {
        "topology": "zone",
        "skew": 1,
        "selector": of_labels({"app": "web"}),
        "least_domains": 1,
        "affinity": True,
        "taints": False,
    }
    return (Spread(**(given | changes)),)


def test_topology_spread() -> None:
    there = [pod("w1", "n1"), pod("w2", "n2")]
    assert candidates(ZONES, there, pod("a", "", spreads=spread())) == {"n3"}
    assert candidates(ZONES, there, pod("a", "", spreads=spread(skew=3))) == {"n1", "n2", "n3"}
    assert candidates(ZONES, there, pod("a", "", spreads=spread()), cordoned=("n3",)) == set()  # a cordoned node still counts
    assert candidates(ZONES, there, pod("a", "", spreads=spread(taints=True)), cordoned=("n3",)) == {"n1", "n2"}
    in_a = {"node_labels": of_labels({"zone": "a"})}
    assert candidates(ZONES, there, pod("a", "", spreads=spread(), **in_a)) == {"n1", "n2"}
    assert candidates(ZONES, there, pod("a", "", spreads=spread(affinity=False), **in_a)) == set()
    assert candidates(ZONES, [], pod("a", "", spreads=spread(least_domains=3))) == {"n1", "n2", "n3"}
    assert candidates(ZONES, [pod("w1", "n1"), pod("w3", "n3")], pod("a", "", spreads=spread(least_domains=3))) == set()
    assert candidates(ZONES, there, pod("a", "", spreads=spread(selector=None))) == {"n1", "n2", "n3"}


def test_replicas_go_to_different_nodes_and_then_where_most_is_free() -> None:
    the = cluster([node("n1"), node("n2", cpu="8"), node("n3", cpu="2")], [pod("w", "n2")])
    assert Picture(the, the.pods, ()).candidates(pod("a", ""))[0] == "n1"
    assert Picture(the, the.pods, ()).candidates(pod("a", "", "other"))[0] == "n1"


def test_taking_a_pod_gives_back_all_that_it_used() -> None:
    the = cluster([node("n1")], [])
    picture, web = Picture(the, (), ()), pod("w", "", apart=apart("web"))
    before = dict(picture.free["n1"])
    picture.put(web, "n1")
    assert (picture.where(web), picture.candidates(pod("a", ""))) == ("n1", [])
    picture.take(web)
    assert (picture.where(web), picture.candidates(pod("a", "")), picture.free["n1"]) == ("", ["n1"], before)


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"node_labels": of_labels({"disk": "ssd"})}, "no node can run it by labels and taints"),
        ({"claims": ("data",)}, "only n1 can run it; its volumes: v1 (local)"),
        ({"requests": amounts({"cpu": "16"})}, "n2: no room for 16000m of cpu (free: 4000m)"),
        ({"node_labels": of_labels({"kubernetes.io/hostname": "n3"})}, "the other nodes that could run it are cordoned: n3"),
        ({"apart": apart("web")}, "n2: kept out by room, ports, affinity between Pods or topology spread"),
    ],
)
def test_why_a_pod_finds_no_place_is_told(changes: dict[str, object], why: str) -> None:
    volumes = (Volume("v1", "shop/data", "local", (of_labels({"kubernetes.io/hostname": "n1"}),)),)
    the = cluster([node("n1"), node("n2"), node("n3")], [pod("w", "n2", requests={})], volumes=volumes)
    picture = Picture(the, the.pods, ("n1", "n3"))
    wanted = pod("a", "", **changes)
    assert picture.candidates(wanted) == []
    assert picture.why_nowhere(wanted, frozenset({"n1"})) == why
