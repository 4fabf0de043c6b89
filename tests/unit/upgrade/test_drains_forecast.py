"""Properties of the forecast of drains, and its comparison with trying everything."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runbooks.commands.drain_objects import Cluster, Spread, Toleration
from runbooks.commands.selectors import of_labels
from runbooks.upgrade.rules.drains import Forecast, simulate
from runbooks.upgrade.rules.evictions import Named
from tests.unit.upgrade.drained import apart, budget, cluster, grown, node, pod, ways

pytestmark = pytest.mark.unit

NAMES = ("n1", "n2", "n3")
ORDER = [["n1"], ["n2"], ["n3"]]
ORDERS = st.sampled_from([ORDER, [["n3"], ["n1"]], [["n1", "n2"], ["n3"]], [["n2"]]])
ALL = Named(force=frozenset(f"shop/{app}-{number}" for app in "ab" for number in range(9)), empty_dirs=frozenset({"*"}))
EVERYTHING = (Toleration("", "Exists", "", ""),)


def spread(app: str) -> tuple[Spread, ...]:
    given = {"topology": "zone", "skew": 1, "selector": of_labels({"app": app}), "least_domains": 1}
    return (Spread(**given, affinity=True, taints=False),)


@st.composite
def clusters(draw: st.DrawFn, nodes: int = 3, pods: int = 5) -> Cluster:
    """Tight clusters of a few nodes: Pods of two Deployments, some not ready, some with anti-affinity, and budgets."""
    names = NAMES[:nodes]
    there = [
        node(
            name,
            cpu=str(draw(st.integers(2, 5))),
            labels={"zone": draw(st.sampled_from("ab"))},
            cordoned=draw(st.sampled_from([False] * 5 + [True])),
        )
        for name in names
    ]
    ways_apart = {app: draw(st.sampled_from([(), (), apart(app), apart(app, "zone")])) for app in "ab"}
    spreads = {app: draw(st.sampled_from([(), (), (), spread(app)])) for app in "ab"}
    together = draw(st.sampled_from([(), (), (), apart("b", "zone")]))  # a wants to be near b
    free = {each.name: each.allocatable["cpu"] for each in there}
    found = []
    for number in range(draw(st.integers(0, pods))):
        app, on, cpu = draw(st.sampled_from("ab")), draw(st.sampled_from(names)), draw(st.integers(1, 3))
        if cpu * 1000 <= free[on]:
            free[on] -= cpu * 1000
            more = {
                "apart": ways_apart[app],
                "spreads": spreads[app],
                "together": together if app == "a" else (),
                "ready": draw(st.sampled_from([True] * 4 + [False])),
                "priority": draw(st.sampled_from([0, 0, 5])),
                "tolerations": draw(st.sampled_from([()] * 5 + [EVERYTHING])),
                **({"owner": ("", "")} if draw(st.sampled_from([False] * 5 + [True])) else {}),
            }
            found.append(pod(f"{app}-{number}", on, app, str(cpu), **more))
    budgets = [budget(app, draw(st.integers(0, 3)), found) for app in "ab" if draw(st.booleans())]
    if draw(st.sampled_from([False] * 6 + [True])):
        budgets.append(replace(budget("a", 0, found), name="second"))
    return cluster(there, found, budgets)


def blocked(forecast: Forecast, *, certain: bool) -> list[str]:
    return [f"{each.place} {block.pod.key}" for each in forecast.drains for block in each.blocks if block.certain or not certain]


@given(clusters(pods=8), ORDERS)
def test_budgets_are_kept_and_no_pod_is_evicted_twice_from_a_node(the: Cluster, order) -> None:
    for drain in simulate(the, order, ALL).drains:
        assert all(each.left is None or each.left >= 0 for each in drain.evictions if each.pod.ready)
        assert len({each.pod.key for each in drain.evictions}) == len(drain.evictions)
        assert {each.node for each in drain.evictions} <= set(drain.nodes)
        assert not {each.pod.key for each in drain.evictions} & {each.pod.key for each in drain.blocks}


@given(clusters(pods=8))
def test_no_node_is_overfilled(the: Cluster) -> None:
    where = {each.key: each.node for each in the.pods}
    where |= {each.pod.key: each.to or "" for each in simulate(the, ORDER[:1], ALL).drains[0].evictions}
    for name in NAMES:
        assert sum(each.requests["cpu"] for each in the.pods if where[each.key] == name) <= the.nodes[name].allocatable["cpu"]


@given(clusters(pods=8), st.randoms())
def test_the_order_in_which_pods_are_listed_does_not_matter(the: Cluster, random) -> None:
    mixed = list(the.pods)
    random.shuffle(mixed)
    assert simulate(the, ORDER, ALL) == simulate(replace(the, pods=tuple(mixed)), ORDER, ALL)


@settings(max_examples=200)
@given(clusters(pods=8), st.sampled_from(NAMES), st.integers(1, 4))
def test_more_room_never_makes_an_ok_plan_fail(the: Cluster, name: str, more: int) -> None:
    """Nor any that does not fail for certain: where the scheduler puts Pods may change, so a doubt may come up, but no failure."""
    if not blocked(simulate(the, ORDER, ALL), certain=False):
        assert blocked(simulate(grown(the, name, str(more)), ORDER, ALL), certain=True) == []


@settings(max_examples=200)
@given(clusters(pods=8), st.sampled_from(NAMES), st.integers(1, 4))
def test_more_room_never_makes_a_stop_certain(the: Cluster, name: str, more: int) -> None:
    before = {
        (each.place, block.pod.key) for each in simulate(the, ORDER, ALL).drains for block in each.blocks if not block.certain
    }
    after = {
        (each.place, block.pod.key)
        for each in simulate(grown(the, name, str(more)), ORDER, ALL).drains
        for block in each.blocks
        if block.certain
    }
    assert not before & after


@settings(max_examples=150)
@given(clusters(pods=4), ORDERS)
def test_it_agrees_with_trying_everything(the: Cluster, order) -> None:
    """If no way is blocked, the forecast is not; if the forecast is not, some way is not; what is certain is so in all ways."""
    ends = ways(the, order)
    forecast = simulate(the, order, ALL)
    stops, certain = blocked(forecast, certain=False), blocked(forecast, certain=True)
    if ends == {True}:
        assert stops == []
    if not stops:
        assert True in ends
    if certain:
        assert ends == {False}
