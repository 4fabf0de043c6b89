"""A cluster that somebody built by hand from the document, as `inv site.adopt` sees it: what its hosts and its API say."""

from __future__ import annotations

import json
from base64 import b64encode
from dataclasses import replace
from ipaddress import ip_address
from typing import Any

from runbooks.commands import adopt, adopt_cluster, lb_claims
from runbooks.commands.adopt_cluster import ClusterLook
from runbooks.commands.base import Answer
from runbooks.commands.node_settings import RECORD
from runbooks.site.adopt.rules import endpoint
from runbooks.site.adopt.rules.seen import Balancer, NodeLook, Seen

HAPROXY = """
global
    stats socket /run/haproxy/admin.sock mode 660 level admin
defaults
    mode tcp
    timeout connect 10s
    timeout client 1m
    timeout server 1m
frontend stats
    bind *:9000
    mode http
    stats enable
frontend k8s-api
    bind 10.1.1.100:6443
    default_backend masters
backend masters
    option tcp-check
    server master1 10.1.1.101:6443 check
    server master2 10.1.1.102:6443 check
    server master3 10.1.1.103:6443 check
"""
KEEPALIVED = """
vrrp_script chk_haproxy {
    script "/bin/kill -0 `cat /var/run/haproxy.pid`"
    weight 2
}
vrrp_instance VI_1 {
    state %(state)s
    interface eth0
    virtual_router_id 51
    priority %(priority)s
    advert_int 1
    authentication {
        auth_type PASS
        auth_pass mypassword
    }
    virtual_ipaddress {
        10.1.1.100
    }
    track_script {
        chk_haproxy
    }
}
"""
CONFIGURATION: dict[str, Any] = {
    "apiVersion": "kubeadm.k8s.io/v1beta3",
    "kind": "ClusterConfiguration",
    "clusterName": "kubernetes",
    "controlPlaneEndpoint": "10.1.1.100:6443",
    "kubernetesVersion": "v1.28.0",
    "imageRepository": "registry.k8s.io",
    "networking": {"podSubnet": "10.244.0.0/16", "serviceSubnet": "10.96.0.0/12", "dnsDomain": "cluster.local"},
    "apiServer": {"extraArgs": {"authorization-mode": "Node,RBAC", "v": "2"}},
    "etcd": {"local": {"dataDir": "/var/lib/etcd"}},
}
KUBELET = "kind: KubeletConfiguration\ncgroupDriver: systemd\n"
MASTERS = {"master1": "10.1.1.101", "master2": "10.1.1.102", "master3": "10.1.1.103"}
WORKERS = {"worker1": "10.1.1.201", "worker10": "10.1.1.210", "worker2": "10.1.1.202"}


def node(
    name: str,
    address: str,
    *,
    master: bool,
    runtime: str = "containerd://1.7.2",
    labels: dict[str, str] | None = None,
    record: str = "{}",
) -> dict[str, Any]:
    """Return a Node object."""
    key = "node-role.kubernetes.io/control-plane"
    return {
        "metadata": {"name": name, "labels": ({key: ""} if master else {}) | (labels or {}), "annotations": {RECORD: record}},
        "spec": {"podCIDR": "10.244.1.0/24", **({"taints": [{"key": key, "effect": "NoSchedule"}]} if master else {})},
        "status": {
            "addresses": [{"type": "InternalIP", "address": address}, {"type": "Hostname", "address": name}],
            "nodeInfo": {"kubeletVersion": "v1.28.0", "containerRuntimeVersion": runtime},
        },
    }


def objects(configuration: dict[str, Any] | None = None, nodes: list[dict[str, Any]] | None = None) -> Answer:
    """Return what verify-cluster.sh prints of such a cluster."""
    given = CONFIGURATION if configuration is None else configuration
    members = [node(name, address, master=True) for name, address in MASTERS.items()]
    members += [node(name, address, master=False) for name, address in WORKERS.items()]
    maps = {"kubeadm-config": {"ClusterConfiguration": json.dumps(given)}, "kubelet-config": {"kubelet": KUBELET}}
    flannel = {
        "metadata": {"name": "kube-flannel-ds", "namespace": "kube-flannel"},
        "spec": {"template": {"spec": {"containers": [{"image": "docker.io/flannel/flannel:v0.22"}]}}},
    }
    proxy = {
        "metadata": {"name": "kube-proxy", "namespace": "kube-system"},
        "spec": {
            "template": {"spec": {"containers": [{"image": "registry.k8s.io/kube-proxy:v1.28.0", "command": ["kube-proxy"]}]}}
        },
    }
    said = {
        adopt_cluster.NODES: members if nodes is None else nodes,
        adopt_cluster.MAPS: [{"metadata": {"name": name}, "data": data} for name, data in maps.items()],
        adopt_cluster.SETS: [flannel, proxy],
        adopt_cluster.DEPLOYMENTS: [{"metadata": {"name": "coredns"}}],
    }
    return Answer(0, "\n".join(["clock 1", *(f"{path} 0 {json.dumps({'items': items})}" for path, items in said.items())]))


def cluster(configuration: dict[str, Any] | None = None, nodes: list[dict[str, Any]] | None = None) -> ClusterLook:
    """Return what the API of such a cluster says."""
    found = adopt_cluster.parse(objects(configuration, nodes))
    assert isinstance(found, ClusterLook)
    return found


def look(name: str, address: str, *lines: str) -> adopt.HostLook:
    """Return what a host of the site says, with more ``lines`` of adopt-look.sh."""
    return adopt.parse(Answer(0, "\n".join([f"hostname {name}", f"address eth0 {address}/24", *lines])))


def on_node(name: str, address: str, *lines: str) -> NodeLook:
    """Return what a node says."""
    return NodeLook(look=look(name, address, *lines))


def balancer(
    name: str, address: str, *lines: str, haproxy: str = HAPROXY, keepalived: str = "", priority: int = 110, state: str = "BACKUP"
) -> Balancer:
    """Return a load balancer with these configurations."""
    text = keepalived or KEEPALIVED % {"state": state, "priority": priority}
    coded = {
        path: b64encode(each.encode()).decode()
        for path, each in ((lb_claims.HAPROXY_CFG, haproxy), (lb_claims.KEEPALIVED_CONF, text))
    }
    claims = lb_claims.parse(Answer(0, "\n".join(f"file {path} other {each}" for path, each in coded.items())))
    return Balancer(address=ip_address(address), look=look(name, address, *lines), claims=claims)


def seen(configuration: dict[str, Any] | None = None, **changed: Any) -> Seen:
    """Return the document's cluster, or one with other settings of kubeadm."""
    there = cluster(configuration)
    nodes = {name: on_node(name, address) for name, address in {**MASTERS, **WORKERS}.items()}
    found = Seen(
        cluster=there,
        endpoint=endpoint.endpoint(there, {name: each.look for name, each in nodes.items()}),
        nodes=nodes,
        balancers=(
            balancer("lb2", "10.1.1.12", priority=100),
            balancer("LB1", "10.1.1.11", "address eth0 10.1.1.100/32", priority=110, state="MASTER"),
        ),
    )
    return replace(found, **changed)
