"""A set's objects, printed as kubectl would print them, are read by the parsers of kubectl's answers."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rehearse.rules.printed import lines, printed
from runbooks.commands.base import Answer
from runbooks.commands.drain_look import FORMATS, parse_look

pytestmark = pytest.mark.unit

POD = {
    "metadata": {
        "namespace": "shop",
        "name": "web-1",
        "labels": {"app": "web"},
        "annotations": {"kubernetes.io/config.mirror": "x"},
        "ownerReferences": [{"kind": "ReplicaSet", "name": "web", "controller": True}],
    },
    "spec": {
        "nodeName": "worker1",
        "containers": [{"resources": {"requests": {"cpu": "100m"}}}, {"resources": {"requests": {"cpu": "50m"}}}],
        "volumes": [{"name": "tmp", "emptyDir": {}}, {"name": "data", "persistentVolumeClaim": {"claimName": "data"}}],
        "terminationGracePeriodSeconds": 7,
    },
    "status": {
        "phase": "Running",
        "conditions": [{"type": "Initialized", "status": "True"}, {"type": "Ready", "status": "True"}],
    },
}
BUDGET = {
    "apiVersion": "policy/v1",
    "metadata": {"namespace": "shop", "name": "web", "generation": 1},
    "spec": {"selector": {"matchLabels": {"app": "web"}}},
    "status": {"observedGeneration": 1, "currentHealthy": 1, "desiredHealthy": 1, "expectedPods": 1, "disruptionsAllowed": 0},
}
NODE = {
    "metadata": {"name": "worker1", "labels": {"a": "b"}},
    "spec": {"unschedulable": True, "taints": [{"key": "k", "effect": "NoSchedule"}]},
    "status": {"conditions": [{"type": "Ready", "status": "True"}], "allocatable": {"cpu": "2", "pods": "110"}},
}
HOOK = {
    "kind": "ValidatingWebhookConfiguration",
    "metadata": {"name": "guard"},
    "webhooks": [
        {
            "name": "guard.example",
            "failurePolicy": "Fail",
            "clientConfig": {"service": {"namespace": "guard", "name": "hook"}},
            "rules": [{"apiGroups": [""], "operations": ["CREATE"], "resources": ["pods"]}],
        }
    ],
}


def cluster_of(**objects):
    parts = [f"clock 7\nversion {json.dumps({'gitVersion': 'v1.30.1'})}"]
    for kind, fields in FORMATS.items():
        parts.append(f"{kind} 0\n{lines(fields, objects.get(kind.partition('.')[0], ()))}".rstrip("\n"))
    return parse_look(Answer(0, "\n@@ ".join(parts)))


def test_what_decides_a_drain_is_read_of_a_set():
    found = cluster_of(pods=[POD], poddisruptionbudgets=[BUDGET], nodes=[NODE], validatingwebhookconfigurations=[HOOK])
    (pod,), (budget,), (hook,) = found.pods, found.budgets, found.hooks
    assert (pod.key, pod.node, pod.ready, pod.mirror, pod.grace_s) == ("shop/web-1", "worker1", True, True, 7)
    assert pod.requests["cpu"] == 150
    assert (pod.empty_dirs, pod.claims, pod.owner) == (("tmp",), ("data",), ("ReplicaSet", "web"))
    assert (budget.key, budget.healthy, budget.desired, budget.allowed, budget.stale) == ("shop/web", 1, 1, 0, "")
    assert (found.nodes["worker1"].cordoned, found.nodes["worker1"].ready, found.nodes["worker1"].taints[0].key) == (
        True,
        True,
        "k",
    )
    assert (hook.service, hook.configuration) == ("guard/hook", "guard")
    assert (found.version, found.clock, found.errors) == ("v1.30.1", 7, {})


def test_an_object_without_the_fields_prints_nothing_of_them():
    assert lines({"a": "{.a.b}", "c": "{.c[*].d}", "e": '{range .e[*]}{"x"}{.f}{end}'}, [{}]) == "\t\t\n"


def test_names_with_dots_are_one_name():
    assert printed({"a": {"b.c/d": "x"}}, "{.a.b\\.c/d}") == "x"


@pytest.mark.parametrize("template", ["x", "{a}", "{..a}", "{.a[0]}"])
def test_what_is_not_understood_is_an_error(template):
    with pytest.raises(ValueError, match="not understood"):
        printed({"a": [1]}, template)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(min_size=1), inner),
)


@given(value=JSON)
def test_whatever_an_object_holds_a_line_is_printed(value):
    for fields in FORMATS.values():
        lines(fields, [{"metadata": value, "spec": value, "status": value, "webhooks": value}])
