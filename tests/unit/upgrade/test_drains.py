"""Forecasts of drains, case by case, and what the operator is told."""

from __future__ import annotations

from dataclasses import replace

import pytest

from runbooks.commands.drain import Drained
from runbooks.commands.drain_objects import Cluster, Hook, Toleration, Volume
from runbooks.commands.selectors import Requirement, of_labels
from runbooks.rules.finding import Finding
from runbooks.upgrade.rules.cordons import cordon_of, is_stale
from runbooks.upgrade.rules.drain_findings import findings
from runbooks.upgrade.rules.drain_outcome import outcome
from runbooks.upgrade.rules.drain_webhooks import judges
from runbooks.upgrade.rules.drains import simulate
from runbooks.upgrade.rules.evictions import Named, one_by_one
from tests.unit.upgrade.drained import apart, budget, cluster, node, pod

pytestmark = pytest.mark.unit

ORDER = [["n1"], ["n2"], ["n3"]]
NODES = [node("n1"), node("n2"), node("n3")]
NOBODY = Named()


def told(the: Cluster, named: Named = NOBODY, order=ORDER) -> list[Finding]:
    return findings(the, order, named, simulate(the, order, named))


def grave(the: Cluster, named: Named = NOBODY, order=ORDER) -> list[tuple[str, str, str]]:
    return [(each.severity, each.host, each.seen) for each in told(the, named, order) if each.severity in {"fail", "warn"}]


# ---- budgets


def test_a_drain_that_goes_well() -> None:
    pods = [pod("w1", "n1"), pod("w2", "n2"), pod("w3", "n2")]
    the = cluster(NODES, pods, [budget("web", 2, pods)])
    first = told(the)[0]
    assert (first.severity, first.seen) == (
        "ok",
        "3 nodes drained in 3 turns, 4 evictions: no budget blocks, every Pod finds a place",
    )
    drains = simulate(the, ORDER).drains
    assert [len(each.graces) for each in drains] == [
        1,
        2,
        1,
    ]  # n2's two Pods share one disruption: the second waits for the first
    assert drains[1].seconds(ready_s=(5, 60)) == (2 + 5, 60 + 2 + 65)
    assert drains[1].timeout_s == 300
    assert simulate(the, ORDER).seconds_before(3, ready_s=(5, 60)) == (1 + 7, 31 + 127)
    assert simulate(the, ORDER).stop is None


def test_two_pods_that_share_one_disruption_are_where_a_dry_run_errs() -> None:
    """Each of them alone may go; after the first, the second may not, because its replacement finds no place."""
    pods = [pod("w1", "n1", apart=apart("web")), pod("w2", "n2", apart=apart("web"))]
    the = cluster(NODES[:2], pods, [budget("web", 1, pods)])
    assert grave(the, order=[["n1"], ["n2"]])[0][0] == "warn"  # one after the other it goes
    ((severity, host, seen), *_) = grave(the, order=[["n1", "n2"]])
    assert (severity, host) == ("fail", "n2")
    assert seen == (
        "the budget shop/web does not let shop/w2 go: it wants 1 healthy, has 2, and 1 evicted Pod found no other node: at n2 (turn 1 of 1)"
    )


def test_a_budget_that_allows_nothing_is_one_finding_with_all_its_nodes() -> None:
    pods = [pod("w1", "n1"), pod("w2", "n2"), pod("free", "n1", "other")]
    the = cluster(NODES, pods, [budget("web", 2, pods)])
    (found,) = grave(the)
    assert found == (
        "fail",
        "n1, n2",
        "the budget shop/web does not let shop/w1, shop/w2 go: it wants 2 healthy and has 2: at n1 (turn 1 of 3), n2 (turn 2 of 3)",
    )
    stop = simulate(the, ORDER).stop
    assert stop
    assert (stop.place, stop.blocks[0].after, stop.blocks[0].certain) == (1, 1, True)
    finding = next(each for each in told(the) if each.severity == "fail")
    assert finding.fix.startswith("kubectl -n shop get poddisruptionbudget web -o yaml; start one more replica of shop/web")


def test_a_budget_recovers_when_the_replacement_is_ready_elsewhere() -> None:
    pods = [pod(f"w{number}", "n1") for number in range(3)]
    the = cluster(NODES[:2], pods, [budget("web", 2, pods)])
    (drain,) = simulate(the, [["n1"]]).drains
    assert [(each.pod.name, each.round, each.to, each.left) for each in drain.evictions] == [
        ("w0", 1, "n2", 0),
        ("w1", 2, "n2", 0),
        ("w2", 3, "n2", 0),
    ]
    assert not grave(the, order=[["n1"]])


def test_a_pod_under_two_budgets_never_goes() -> None:
    pods = [pod("w1", "n2")]
    the = cluster(NODES, pods, [budget("web", 0, pods), budget("web", 0, pods, name="old")])
    (found,) = grave(the)
    assert found == ("fail", "n2", "shop/w1 has 2 budgets (web, old): the API never evicts such a Pod: at n2 (turn 2 of 3)")
    pending = [replace(pods[0], running=False, ready=False)]
    assert not grave(cluster(NODES, pending, the.budgets))  # the API does not ask budgets for a Pod that is only Pending


@pytest.mark.parametrize(
    ("changes", "goes"),
    [
        ({"healthy": 1, "desired": 1}, True),  # enough others are healthy: an unhealthy one costs nothing
        ({"healthy": 0, "desired": 1}, False),
        ({"healthy": 0, "desired": 0}, False),  # so says the API: no Pod is healthy, nothing is allowed
        ({"healthy": 0, "desired": 1, "always": True}, True),
        ({"healthy": 1, "desired": 1, "stale": "not judged yet"}, False),
    ],
)
def test_a_pod_that_is_not_ready(changes: dict[str, object], goes: bool) -> None:
    pods = [pod("w1", "n1", ready=False), pod("w2", "n3")]
    the = cluster(NODES, pods, [replace(budget("web", 0, pods), **changes)])
    (drain,) = simulate(the, ORDER[:1]).drains
    assert [block.certain for block in drain.blocks] == ([] if goes else [True])


def test_a_budget_whose_figures_are_old_is_no_permission() -> None:
    pods = [pod("w1", "n1"), pod("w2", "n2")]
    the = cluster(NODES, pods, [budget("web", 1, pods, stale="found no controllers for pod")])
    (found,) = grave(the)
    assert found[0] == "fail"
    assert "found no controllers for pod" in found[2]


# ---- what kubectl refuses


BARE = pod("lonely", "n1", "lonely", owner=("", ""))
CACHE = pod("cache-1", "n2", "cache", empty_dirs=("tmp",))


def test_bare_pods_and_emptydir_stop_the_drain_unless_they_are_named() -> None:
    the = cluster(NODES, [BARE, CACHE])
    assert grave(the) == [
        (
            "fail",
            "n1",
            "shop/lonely is a bare Pod: nothing creates it again, so kubectl refuses to drain the node at all: at n1 (turn 1 of 3)",
        ),
        (
            "fail",
            "n2",
            "shop/cache-1 of shop/cache has data in emptyDir (tmp), so kubectl refuses to drain the node at all: at n2 (turn 2 of 3)",
        ),
    ]
    named = Named(force=frozenset({"shop/lonely"}), empty_dirs=frozenset({"shop/cache"}))
    assert grave(the, named) == []
    assert [each.seen for each in told(the, named) if "as named" in each.seen] == [
        "deleted for good, as named: shop/lonely",
        "emptyDir data is deleted, as named: shop/cache",
    ]
    assert one_by_one(the.pods, named) == (BARE, CACHE)
    assert one_by_one(the.pods, NOBODY) == ()


def test_all_emptydir_data_may_be_named_but_never_all_bare_pods() -> None:
    both = replace(BARE, empty_dirs=("tmp",))
    every = Named(force=frozenset({"*"}), empty_dirs=frozenset({"*"}))
    assert [kind for kind, *_ in grave(cluster(NODES, [BARE, CACHE]), every)] == ["fail"]
    assert one_by_one((BARE, CACHE, both), every) == ()
    named = Named(force=frozenset({both.key}), empty_dirs=frozenset({"*"}))
    assert one_by_one((CACHE, both), named) == (both,)


def test_a_bare_pod_is_missing_for_its_budget_for_good() -> None:
    pods = [replace(BARE, labels={"app": "web"}), pod("w2", "n2")]
    the = cluster(NODES, pods, [budget("web", 1, pods)])
    named = Named(force=frozenset({"shop/lonely"}))
    assert [(severity, host) for severity, host, _ in grave(the, named)] == [("warn", "n2")]


def test_a_name_that_no_pod_has_is_told() -> None:
    assert grave(cluster(NODES, []), Named(frozenset({"shop/lonley"}))) == [
        ("warn", "", "--force-pods: there is no Pod shop/lonley")
    ]


def test_static_pods_and_those_of_daemonsets_are_left_alone() -> None:
    pods = [
        pod("etcd-n1", "n1", owner=("Node", "n1"), mirror=True),
        pod("proxy-1", "n1", owner=("DaemonSet", "proxy"), empty_dirs=("tmp",)),
        pod("going", "n1", owner=("", ""), leaving=True, leaves_by=2_000),
    ]
    the = cluster(NODES, pods, [budget("web", 3, pods)], clock=2_030)
    assert [len(each.evictions) + len(each.blocks) for each in simulate(the, ORDER).drains] == [0, 0, 0]
    assert grave(the) == []
    assert grave(replace(the, clock=2_000 + 7_200)) == [
        ("warn", "n1", "shop/going is being deleted and should have been gone for 2 h")
    ]


# ---- capacity


def test_a_pod_that_fits_nowhere_else_waits_for_its_node_and_comes_back() -> None:
    volume = Volume("pv1", "shop/data", "local", (of_labels({"kubernetes.io/hostname": "n1"}),))
    the = cluster(NODES, [pod("db-0", "n1", "db", owner=("StatefulSet", "db"), claims=("data",))], volumes=(volume,))
    (warning,) = (each for each in told(the) if each.severity == "warn")
    assert warning.seen == (
        "shop/db-0 of shop/db finds no other node while n1 is drained: only n1 can run it; its volumes: pv1 (local)"
    )
    assert warning.why == "it is Pending until its node takes Pods again"
    assert warning.fix == "let it run on one more node, or accept that 0 of 1 Pod of shop/db are left meanwhile"
    assert [len(each.evictions) for each in simulate(the, ORDER).drains] == [1, 0, 0]


def test_room_is_used_up_as_the_run_goes_on() -> None:
    """Two nodes of 4 CPUs: what n1 had moves to n2, and then n2's own and those of n1 do not all fit on n1."""
    pods = [pod("a", "n1", "a", "3"), pod("b", "n2", "b", "1"), pod("c", "n2", "c", "3")]
    the = cluster([node("n1"), node("n2"), node("n3", cpu="3")], pods)
    assert [host for _, host, _ in grave(the, order=[["n1"], ["n2"]])] == []
    assert "finds no other node" in grave(the, order=[["n1", "n3"]])[0][2]
    assert grave(cluster(NODES[:2], pods), order=[["n1"], ["n2"]])[0][1] == "n1"


def test_a_node_that_was_found_cordoned_takes_no_pods_and_stays_so() -> None:
    pods = [pod("w1", "n1"), pod("w2", "n2")]
    nodes = [node("n1"), node("n2", cordoned=True)]
    (warning,) = grave(cluster(nodes, pods), order=[["n1"]])
    assert "cordoned: n2" in warning[2]
    assert [each.seen for each in told(cluster(nodes, pods), order=[["n2"]]) if each.host == "n2"] == [
        "cordoned already: they take no Pods; they stay cordoned"
    ]
    marked = [nodes[0], replace(nodes[1], marked=True)]
    assert grave(cluster(marked, pods), order=[["n2"], ["n1"]]) == []  # our own cordon, of a run that was interrupted


def test_nodes_that_stay_cordoned_after_their_turn_leave_no_room_for_the_next() -> None:
    pods = [pod("w1", "n1"), pod("w2", "n2"), pod("w3", "n3")]
    the = cluster(NODES, pods, [budget("web", 2, pods)])
    assert not any(drain.blocks for drain in simulate(the, ORDER).drains)
    last = simulate(the, ORDER, stay=True).drains[-1]
    assert last.blocks or last.homeless


def test_a_pod_that_tolerates_cordons_may_come_back_but_is_evicted_once() -> None:
    the = cluster(NODES[:1], [pod("w1", "n1", tolerations=(Toleration("", "Exists", "", ""),))])
    (drain,) = simulate(the, [["n1"]]).drains
    assert [(each.node, each.to) for each in drain.evictions] == [("n1", "n1")]
    assert any("come back to the node while it is cordoned" in each.seen for each in told(the, order=[["n1"]]))


def test_the_pod_of_higher_priority_is_placed_first() -> None:
    pods = [pod("a", "n1", "a", "3"), pod("z", "n1", "z", "3", priority=1000)]
    (drain,) = simulate(cluster(NODES[:2], pods), [["n1"]]).drains
    assert {each.pod.name: each.to for each in drain.evictions} == {"a": "", "z": "n2"}


# ---- webhooks

HOOK = Hook(
    name="pods.policy.example",
    kind="ValidatingWebhookConfiguration",
    configuration="policy",
    service="shop/policy",
    rules=((frozenset({"CREATE"}), frozenset({"/pods"})),),
    namespaces=(),
    objects=(),
    conditions=False,
)


def with_hook(pods, hook: Hook = HOOK, budgets=()) -> Cluster:
    return cluster(
        NODES, pods, budgets, hooks=(hook,), services={"shop/policy": of_labels({"app": "policy"})}, namespaces={"shop": {}}
    )


def test_a_webhook_with_one_pod_that_judges_itself_locks_the_cluster() -> None:
    (found,) = (each for each in told(with_hook([pod("p", "n1", "policy")])) if "webhook" in each.seen)
    assert (found.severity, found.host) == ("fail", "n1")
    assert "refuses to create them again" in found.why


@pytest.mark.parametrize(
    "changes",
    [
        {"rules": ((frozenset({"CREATE"}), frozenset({"apps/deployments"})),)},
        {"namespaces": (Requirement("judged", "Exists"),)},
        {"objects": (Requirement("judged", "Exists"),)},
        {"conditions": True},
    ],
)
def test_a_webhook_with_one_pod_that_does_not_judge_itself_is_a_gap(changes: dict[str, object]) -> None:
    (found,) = (each for each in told(with_hook([pod("p", "n1", "policy")], replace(HOOK, **changes))) if "webhook" in each.seen)
    assert found.severity == "warn"


def test_a_webhook_with_pods_on_two_nodes_goes_on_until_they_are_on_one() -> None:
    pods = [pod("p1", "n1", "policy"), pod("p2", "n2", "policy")]
    assert not any("webhook" in each.seen for each in told(with_hook(pods)))
    alone = with_hook([pods[0], replace(pods[1], ready=False)])
    assert [drain.place for drain in simulate(alone, ORDER).drains if drain.silenced] == [1, 3]  # it has moved to n3
    same = [pod("p1", "n1", "policy"), pod("p2", "n1", "policy")]
    assert any("webhook" in each.seen for each in told(with_hook(same)))
    assert not any("webhook" in each.seen for each in told(with_hook(same, budgets=[budget("policy", 1, same)])))
    everywhere = [pod(f"p{name}", name, "policy", owner=("DaemonSet", "policy")) for name in ("n1",)]
    assert not any("webhook" in each.seen for each in told(with_hook(everywhere)))


@pytest.mark.parametrize(
    ("rule", "resource", "asked"),
    [
        ("/pods", "/pods", True),
        ("*/*", "/pods", True),
        ("/*", "/pods", True),
        ("/*", "/pods/eviction", False),
        ("*/*/*", "/pods/eviction", True),
        ("/pods/*", "/pods/eviction", True),
        ("/pods", "/pods/eviction", False),
        ("apps/*", "/pods", False),
    ],
)
def test_which_webhook_is_asked(rule: str, resource: str, asked: bool) -> None:
    assert judges(replace(HOOK, rules=((frozenset({"*"}), frozenset({rule})),)), "CREATE", resource) == asked
    assert not judges(replace(HOOK, rules=((frozenset({"DELETE"}), frozenset({rule})),)), "CREATE", resource)


def test_webhooks_that_judge_evictions_or_that_nobody_is_known_to_answer_for() -> None:
    every = replace(
        HOOK, rules=((frozenset({"*"}), frozenset({"*/*/*"})), (frozenset({"*"}), frozenset({"*/*"}))), service="shop/outside"
    )
    seen = [each.seen for each in told(replace(with_hook([], every), services={"shop/outside": None})) if each.severity == "note"]
    assert "webhooks that judge evictions, and may refuse some: pods.policy.example" in seen
    assert any("pods.policy.example (Service shop/outside)" in each for each in seen)


# ---- the rest


def test_what_could_not_be_read_is_a_failure() -> None:
    the = cluster(NODES, [], errors={"poddisruptionbudgets.policy": "the server could not find the requested resource"})
    assert grave(the)[0][:2] == ("fail", "")
    assert not any(each.severity == "ok" for each in told(the))


def test_nodes_that_are_not_there_or_not_ready() -> None:
    the = cluster([node("n1", ready=False)], [])
    assert [(severity, host) for severity, host, _ in grave(the, order=[["n1"], ["n9"]])] == [("fail", "n1"), ("fail", "n9")]


def test_what_else_is_told() -> None:
    pods = [
        pod("slow-0", "n1", "slow", owner=("StatefulSet", "slow"), grace_s=3600),
        pod("job-x", "n1", "job", owner=("Job", "job")),
        pod("host", "n1", "host", host_paths=("/srv",)),
        pod("loose", "n1", "loose", claims=("loose",)),
        pod("odd", "n1", "odd", odd=("the scheduler volcano",)),
        pod("new", "", "new", running=False, ready=False),
    ]
    the = cluster(NODES, pods, volumes=(Volume("pv9", "shop/loose", "hostPath", None),))
    words = [(each.severity, each.seen) for each in told(the)]
    for expected in (
        ("warn", "Pods that may take long to end: shop/slow 60 min"),
        ("warn", "shop/loose: a volume of kind hostPath without nodeAffinity"),
        ("note", "Pods of Jobs are evicted: shop/job"),
        ("note", "shop/host: directories of the host (hostPath) do not move along"),
        ("note", "shop/odd: not in the forecast: the scheduler volcano"),
        ("note", "1 Pod Pending already, and not in the forecast: shop/new"),
    ):
        assert expected in words
    assert simulate(the, ORDER).drains[0].timeout_s > 3600


def test_whose_cordon_it_is() -> None:
    assert cordon_of(node("n1")) == "none"
    assert cordon_of(node("n1", cordoned=True)) == "found"
    assert cordon_of(node("n1", cordoned=True, marked=True)) == "ours"
    assert [is_stale(each) for each in (node("n1", marked=True), node("n1"), node("n1", cordoned=True, marked=True))] == [
        True,
        False,
        False,
    ]


# ---- after a drain


def test_a_drain_that_was_blocked_names_the_budget() -> None:
    pods = [pod("w1", "n1"), pod("w2", "n2")]
    the = cluster(NODES, pods, [budget("web", 2, pods)])
    drained = Drained(
        done=False,
        evicted=("shop/free",),
        blocked={"shop/w1": "Cannot evict pod as it would violate the pod's disruption budget."},
        terminating=("shop/db-0",),
        failed={"shop/two": "This pod has more than one PodDisruptionBudget"},
    )
    assert [each.seen for each in outcome("n1", drained, the)] == [
        "shop/w1 was not evicted: held by the budget shop/web (wants 2 healthy, has 2, allows 0 now)",
        "shop/db-0 was evicted, but is still there",
        "shop/two was not evicted: This pod has more than one PodDisruptionBudget",
    ]
    gone = outcome("n1", Drained(done=False, blocked={"shop/x": "Cannot evict"}), the)
    assert "a budget that is not known any more" in gone[0].seen


@pytest.mark.parametrize(
    ("reason", "fix"),
    [
        ("Pods with local storage", "--delete-emptydir-data"),
        ("Pods that declare no controller", "--force-pods"),
        ("Pods not managed by ReplicationController, ReplicaSet, Job, DaemonSet or StatefulSet", "--force-pods"),
        ('daemonsets.apps "x" not found', "kubectl get pods -A"),
    ],
)
def test_a_refusal_names_the_flag(reason: str, fix: str) -> None:
    (found,) = outcome("n1", Drained(done=False, refused={reason: ("shop/a",)}), cluster(NODES, []))
    assert (found.severity, found.seen) == ("fail", f"nothing was evicted: kubectl refuses {reason}: shop/a")
    assert fix in found.fix


def test_a_drain_is_ok_only_when_all_is_gone() -> None:
    the = cluster(NODES, [])
    assert [each.severity for each in outcome("n1", Drained(done=True, evicted=("shop/a",)), the)] == ["ok"]
    assert [each.severity for each in outcome("n1", Drained(done=False), the)] == ["fail"]
    assert outcome("n1", Drained(done=False, error="EOF"), the)[0].seen == "the drain failed: EOF"
