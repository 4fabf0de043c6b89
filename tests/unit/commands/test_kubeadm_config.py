"""What the cluster keeps for kubeadm."""

from __future__ import annotations

import pytest

from runbooks.commands import kubeadm_config
from runbooks.commands.kubeadm_config import ClusterSettings

pytestmark = pytest.mark.unit

CLUSTER = """apiVersion: kubeadm.k8s.io/v1beta4
kind: ClusterConfiguration
featureGates: {EtcdLearnerMode: true}
apiServer:
  extraArgs:
  - {name: audit-log-path, value: /a}
  - {name: audit-log-path, value: /b}
etcd:
  local: {imageTag: 3.5.16-0, extraArgs: [{name: --quota-backend-bytes, value: "1"}]}
scheduler: {}
"""


def config_map(name, **data):
    return {"kind": "ConfigMap", "metadata": {"name": name}, "data": {key.replace("_", "."): text for key, text in data.items()}}


PROXY_SET = {
    "kind": "DaemonSet",
    "metadata": {"name": "kube-proxy"},
    "spec": {"template": {"spec": {"containers": [{"command": ["/usr/local/bin/kube-proxy", "--config=/a"]}]}}},
}


def test_everything_is_read():
    items = [
        config_map("kubeadm-config", ClusterConfiguration=CLUSTER),
        config_map("kubelet-config", kubelet="a: 1\n"),
        config_map("kube-proxy", config_conf="mode: ipvs\n"),
        PROXY_SET,
    ]
    assert kubeadm_config.parse({"kind": "List", "items": items}) == ClusterSettings(
        api="kubeadm.k8s.io/v1beta4",
        gates={"EtcdLearnerMode": "true"},
        args={
            "kube-apiserver": (("audit-log-path", "/a"), ("audit-log-path", "/b")),
            "kube-controller-manager": (),
            "kube-scheduler": (),
            "etcd": (("quota-backend-bytes", "1"),),
        },
        etcd_tag="3.5.16-0",
        kubelet="a: 1\n",
        kubelet_map="kubelet-config",
        proxy="mode: ipvs\n",
        proxy_words=("/usr/local/bin/kube-proxy", "--config=/a"),
    )


def test_kubeadm_config_alone_is_enough():
    found = kubeadm_config.parse(config_map("kubeadm-config", ClusterConfiguration="etcd: {external: {endpoints: [a]}}"))
    assert (found.external_etcd, found.kubelet_map, found.proxy) == (True, "", "")


@pytest.mark.parametrize(
    "found",
    [
        {"kind": "List", "items": []},
        {"kind": "List", "items": [config_map("kube-proxy", config_conf="")]},
        config_map("kubeadm-config", ClusterConfiguration="a: ["),
        config_map("kubeadm-config", ClusterConfiguration="apiServer: {extraArgs: [{value: x}]}"),
        config_map("kubeadm-config"),
        [],
        None,
    ],
)
def test_anything_else_is_refused(found):
    with pytest.raises(ValueError):
        kubeadm_config.parse(found)


def test_the_kubelets_configuration_had_the_version_in_its_name():
    assert [kubeadm_config.kubelet_map(minor) for minor in (20, 23, 24, 36)] == [
        "kubelet-config-1.20", "kubelet-config-1.23", "kubelet-config", "kubelet-config",
    ]  # fmt: skip
