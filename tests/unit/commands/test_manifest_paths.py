"""Where the objects of a manifest are in the API."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runbooks.commands.manifest_paths import paths

pytestmark = pytest.mark.unit


def test_what_a_pod_network_consists_of():
    text = """
apiVersion: v1
kind: Namespace
metadata: {name: net}
---
apiVersion: apps/v1
kind: DaemonSet
metadata: {name: agent, namespace: net}
---
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: "net:agent"}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: settings}
"""
    assert paths(text) == (
        "/api/v1/namespaces/net",
        "/apis/apps/v1/namespaces/net/daemonsets/agent",
        "/apis/rbac.authorization.k8s.io/v1/clusterroles/net:agent",
        "/api/v1/namespaces/default/configmaps/settings",
    )


@pytest.mark.parametrize(
    "other",
    [
        "{apiVersion: crd.example/v1, kind: ConfigMap, metadata: {name: a}}",  # somebody's own kind of that name
        "{apiVersion: v1, kind: Pool, metadata: {name: a}}",
        "{apiVersion: v1, kind: List, items: []}",
        "{apiVersion: v1, kind: ConfigMap, metadata: {name: ../../nodes}}",
        "{apiVersion: v1, kind: ConfigMap, metadata: {generateName: a-}}",
        "{apiVersion: v1, kind: ConfigMap, metadata: {name: a, namespace: [b]}}",
        "{kind: ConfigMap, metadata: {name: a}}",
        "text",
        "{",
    ],
)
def test_one_that_cannot_be_told_makes_none_of_them_known(other):
    assert paths(f"{{apiVersion: v1, kind: Namespace, metadata: {{name: a}}}}\n---\n{other}") == ()


@given(st.text())
def test_any_text_has_paths_or_none(text):
    assert all(each.startswith("/api") for each in paths(text))
