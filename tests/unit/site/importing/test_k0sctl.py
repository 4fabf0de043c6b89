"""The cluster files of k0sctl, and what this tool says about k0s."""

from __future__ import annotations

import pytest

from runbooks.errors import InventoryError

pytestmark = pytest.mark.unit

TEXT = """
apiVersion: k0sctl.k0sproject.io/v1beta1
kind: Cluster
metadata: {name: edge}
spec:
  hosts:
    - role: controller
      hostname: c1
      ssh:
        address: 10.1.1.101
        user: ops
        keyPath: ~/.ssh/k0s
        bastion: {address: 10.9.9.9, user: jump, bastion: {address: outer.example, user: out, port: 2200}}
    - role: controller+worker
      privateAddress: 10.1.1.102
      ssh: {address: 192.0.2.2, user: ops, port: 2222, keyPath: ~/.ssh/k0s}
    - role: worker
      openSSH: {address: w1}
  k0s:
    version: v1.30.1+k0s.0
    config:
      spec:
        api: {externalAddress: api.example.com, port: 6443}
        network: {provider: calico, podCIDR: 10.64.0.0/16, clusterDomain: "${DOMAIN}"}
"""
SSH = "Host w1\n HostName 10.1.1.201\n User worker\n"


def test_a_cluster(import_):
    imported = import_({"k0sctl.yaml": TEXT}, ".", SSH)
    site = imported.site
    assert (site["name"], site["kubernetes"]["version"]) == ("edge", "1.30.1")
    assert (
        site["endpoint"] == {"vip": None, "port": 6443, "name": "api.example.com"}
        or site["endpoint"]["name"] == "api.example.com"
    )
    assert site["networks"] == {"management": "10.1.1.0/24", "pods": "10.64.0.0/16", "services": "10.96.0.0/12"}
    first, second, third = site["hosts"]
    assert first["ssh"]["gateway"] == [
        {"address": "outer.example", "user": "out", "port": 2200},
        {"address": "10.9.9.9", "user": "jump"},
    ]
    assert (second["name"], second["address"], second["roles"]) == (None, "10.1.1.102", ["control-plane", "worker"])
    assert second["ssh"]["port"] == 2222
    assert (third["name"], third["address"], third["ssh"]["user"]) == ("w1", "10.1.1.201", "worker")
    assert "kubernetes.domain" in imported.states("missing")
    assert "an environment variable" in imported.text


def test_it_is_said_that_this_is_no_kubeadm_cluster(import_):
    printed = import_({"k0sctl.yaml": TEXT}, "k0sctl.yaml", SSH).printed
    assert "k0s is no kubeadm cluster" in printed
    assert "what does not: cluster.*, certs.*, etcd.*, backup.*" in printed


def test_the_address_that_k0s_holds_itself(import_):
    more = "          controlPlaneLoadBalancing: {keepalived: {vrrpInstances: [{virtualIPs: [10.1.1.99/24], virtualRouterID: 52}]}}\n"
    text = TEXT.replace(
        'network: {provider: calico, podCIDR: 10.64.0.0/16, clusterDomain: "${DOMAIN}"}', f"network:\n{more}".rstrip()
    )
    imported = import_({"k0sctl.yaml": text}, "k0sctl.yaml", SSH)
    assert imported.site["endpoint"]["vip"] == "10.1.1.99"
    assert imported.site["load_balancer"]["vrrp"]["id"] == 52
    assert "k0s itself holds the VIP" in imported.printed


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("role: controller+worker", "role: boss", r"spec.hosts\[1\].role is not one of"),
        ("openSSH: {address: w1}", "winRM: {address: w1}", r"spec.hosts\[2\] has no ssh"),
        ("address: 10.1.1.101", "address: $HOST", "an environment variable"),
        ("address: 10.1.1.101", "address: 'a b'", "no name of a host"),
        ("address: 10.1.1.101\n", "\n", r"spec.hosts\[0\].ssh.address is missing"),
    ],
)
def test_a_host_that_is_none(import_, old, new, said):
    with pytest.raises(InventoryError, match=said):
        import_({"k0sctl.yaml": TEXT.replace(old, new)}, "k0sctl.yaml")
