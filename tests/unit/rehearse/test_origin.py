"""Which set a twin is made from, and what is read of it."""

from __future__ import annotations

import gzip
import hashlib
import json
from datetime import timedelta

import pytest

from rehearse import origin
from runbooks.backup.sets.manifest import Kind
from runbooks.backup.sets.opened import Opened
from runbooks.errors import InventoryError, PrecheckError
from tests.support.sets import CONTENT, NOON, put, store_in

pytestmark = pytest.mark.unit

DATABASE = b"d" * 512
SNAPSHOT = DATABASE + hashlib.sha256(DATABASE).digest()


def files(**kinds):
    found = {**CONTENT, "etcd/master1.db": SNAPSHOT}
    for name, (kind, version, items) in kinds.items():
        text = json.dumps({"kind": f"{kind}List", "apiVersion": version, "items": items})
        found[f"resources/{name}.json.gz"] = gzip.compress(text.encode())
    return found


def test_a_good_set_comes_before_a_newer_one_that_lacks_something(tmp_path):
    store = store_in(tmp_path)
    good = put(store, NOON, files())
    worse = put(store, NOON + timedelta(hours=1), files(), state="degraded")
    assert origin.choose(store.site, "", "").id == good
    assert origin.choose(store.site, worse, "").id == worse


def test_a_damaged_snapshot_is_passed_over_and_a_degraded_set_is_better_than_none(tmp_path):
    store = store_in(tmp_path)
    worse = put(store, NOON, files(), state="degraded")
    newest = put(store, NOON + timedelta(hours=1), files())
    path = store.directory / newest / "etcd/master1.db"
    path.write_bytes(path.read_bytes()[:-1] + b"?")
    assert origin.choose(store.site, "", "").id == worse


def test_without_a_set_the_next_command_is_named(tmp_path):
    store = store_in(tmp_path)
    with pytest.raises(PrecheckError, match="no set to make a twin from") as raised:
        origin.choose(store.site, "", "")
    assert raised.value.hint == "inv backup.run"
    with pytest.raises(InventoryError, match="no set called 20200101T000000Z"):
        origin.choose(store.site, "20200101T000000Z", "")


def test_every_object_is_read_once_for_all_that_it_says(tmp_path):
    store = store_in(tmp_path)
    proxy = {
        "metadata": {"namespace": "kube-system", "name": "kube-proxy-1", "labels": {"k8s-app": "kube-proxy"}},
        "spec": {"nodeName": "worker1", "containers": [{"image": "own.example/k8s/kube-proxy:v1.20.2"}]},
        "status": {"phase": "Running"},
    }
    config = {
        "metadata": {"namespace": "kube-system", "name": "kubelet-config-1.20"},
        "data": {"kubelet": "cgroupDriver: systemd\n"},
    }
    kubeadm = {
        "metadata": {"namespace": "kube-system", "name": "kubeadm-config"},
        "data": {"ClusterConfiguration": "imageRepository: other.example\n"},
    }
    lists = {
        "pods": ("Pod", "v1", [proxy]),
        "configmaps": ("ConfigMap", "v1", [config, kubeadm]),
        "deployments.apps": ("Deployment", "apps/v1", [{"metadata": {"namespace": "shop", "name": "web"}}]),
        "replicasets.apps": ("ReplicaSet", "apps/v1", [{"metadata": {"namespace": "shop", "name": "web-1", "ownerReferences": [{"kind": "Deployment", "name": "web", "controller": True}]}}]),
        "secrets": ("Secret", "v1", [{"metadata": {"name": "s", "managedFields": [{"apiVersion": "v1", "manager": "helm"}]}, "data": {"p": "c3dvcmRmaXNo"}}]),
        "apiservices.apiregistration.k8s.io": ("APIService", "apiregistration.k8s.io/v1", [{"metadata": {"name": "v1.m"}, "spec": {"service": {}}}, {"metadata": {"name": "v1.n"}, "spec": {"service": {"name": "x"}}}]),
    }  # fmt: skip
    kinds = {
        name: Kind(
            file=f"resources/{name}.json.gz",
            path=f"/apis/{version}/{name.partition('.')[0]}" if "/" in version else f"/api/{version}/{name}",
            objects=len(items),
            size=1,
        )
        for name, (_, version, items) in lists.items()
    }
    name = put(store, NOON, files(**lists), kinds=kinds)
    found = origin.read(Opened(store.one(name)))
    assert found.repositories == ("other.example", "own.example/k8s")
    assert found.kubelet == "cgroupDriver: systemd\n"
    assert found.workloads == (("deployments.apps", "shop", "web"),)
    assert found.alone == (("kube-system", "kube-proxy-1"),)
    assert found.aggregated == ("v1.n",)
    assert found.used.kinds["v1", "pods"] == 1
    assert found.used.written["v1", "secrets", "helm"] == 1
    assert [pod.key for pod in found.drains.pods] == ["kube-system/kube-proxy-1"]
    assert "nodes" in found.drains.errors, "a kind that the set does not have is not taken for empty"
    assert "c3dvcmRmaXNo" not in repr(found)
