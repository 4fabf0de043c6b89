"""Kubespray's inventories, old names and new, INI and YAML."""

from __future__ import annotations

import pytest

pytestmark = pytest.mark.unit

INI = """\
[all]
m1 ansible_host=192.0.2.11 ip=10.1.1.101
m2 ansible_host=10.1.1.102
m3 ansible_host=10.1.1.103
W1 ansible_host=10.1.1.201
lb1 ansible_host=10.1.1.11
lb2 ansible_host=10.1.1.12

[all:vars]
ansible_user=ops
ansible_ssh_private_key_file=~/.ssh/kube

[kube_control_plane]
m[1:3]
[etcd:children]
kube_control_plane
[kube_node]
W1
m3
[loadbalancers]
lb[1:2]
[k8s_cluster:children]
kube_control_plane
kube_node
[bastion]
jump ansible_host=bastion.example ansible_user=jo ansible_port=2200
"""
ALL = """\
apiserver_loadbalancer_domain_name: api.example.com
loadbalancer_apiserver:
  address: 10.1.1.100
  port: 8443
registry_password: !vault |
  $ANSIBLE_VAULT;1.1;AES256
  616263
"""
CLUSTER = """\
kube_version: v1.30.4
kube_pods_subnet: 10.64.0.0/16
cluster_name: prod.example
dns_domain: "{{ cluster_name }}"
kube_network_plugin: cilium
kube_proxy_remove: true
kubelet_cgroup_driver: "{{ driver }}"
etcd_deployment_type: kubeadm
"""
FILES = {"site/inventory.ini": INI, "site/group_vars/all/all.yml": ALL, "site/group_vars/k8s_cluster/k8s-cluster.yml": CLUSTER}


def test_a_whole_inventory(import_):
    imported = import_(FILES, "site")
    site = imported.site
    assert site["endpoint"] == {"vip": "10.1.1.100", "port": 8443, "name": "api.example.com"}
    assert site["networks"] == {"management": "10.1.1.0/24", "pods": "10.64.0.0/16", "services": "10.233.0.0/18"}
    assert site["kubernetes"] == {
        "version": "1.30.4",
        "domain": "prod.example",
        "cni": "none",
        "addons": {"coredns": False, "kube_proxy": False},
        "cgroup_driver": None,
    }
    assert site["ssh"] == {
        "user": "ops",
        "key": "~/.ssh/kube",
        "gateway": {"address": "bastion.example", "user": "jo", "port": 2200},
    }
    assert [each["name"] for each in site["hosts"]] == ["lb1", "lb2", "m1", "m2", "m3", "w1"]
    assert imported.host("m3") == {"name": "m3", "address": "10.1.1.103", "roles": ["control-plane", "worker"]}
    assert [each.get("priority") for each in site["hosts"]] == [254, 253, None, None, None, None]
    assert imported.host("m1")["address"] == "10.1.1.101"
    assert "# address: guessed: ip; Ansible connects to 192.0.2.11" in imported.text
    assert imported.states("missing") == {"load_balancer.interface", "load_balancer.vrrp.id", "kubernetes.cgroup_driver"}
    assert {"name", "networks.services", "networks.management", "hosts[5].name"} <= imported.states("guessed")
    assert set(imported.problems) == imported.states("missing")
    assert "616263" not in imported.printed + imported.text


def test_old_names_in_yaml_without_a_load_balancer(import_):
    text = """
all:
  vars: {ansible_user: root}
  hosts:
    n1: {ansible_host: 10.2.0.1, ip: 10.2.0.1, access_ip: 10.2.0.1}
    n2: {ansible_host: 10.2.0.2}
  children:
    kube-master: {hosts: {n1: }}
    kube-node: {hosts: {n1: , n2: }}
    etcd: {hosts: {n1: }}
    k8s-cluster: {children: {kube-master: , kube-node: }}
    calico-rr: {hosts: {}}
"""
    imported = import_({"hosts.yaml": text}, "hosts.yaml")
    assert imported.site["hosts"] == [
        {"name": "n1", "address": "10.2.0.1", "roles": ["control-plane", "worker"]},
        {"name": "n2", "address": "10.2.0.2", "roles": ["worker"]},
    ]
    assert {"endpoint.vip", "kubernetes.version"} <= imported.states("missing")
    assert imported.site["networks"]["pods"] == "10.233.64.0/18"
    assert imported.site["kubernetes"]["etcd"] == "external"
    assert "no load balancer is in it" in imported.printed
    assert {"endpoint.vip", "kubernetes.version", "hosts"} <= set(imported.problems)


def test_kube_vip_holds_the_address(import_):
    more = {"site/group_vars/all/all.yml": "kube_vip_enabled: true\nkube_vip_address: 10.1.1.99\nkube_vip_interface: ens3\n"}
    imported = import_(FILES | more, "site")
    assert (imported.site["endpoint"]["vip"], imported.site["load_balancer"]["interface"]) == ("10.1.1.99", "ens3")
    assert "kube-vip on the control plane hosts holds the VIP" in imported.printed


def test_what_is_encrypted_or_broken_is_named_and_nothing_of_it_is_shown(import_):
    more = {
        "site/group_vars/all/vault.yml": "$ANSIBLE_VAULT;1.1;AES256\n313233\n",
        "site/group_vars/all/broken.yml": "password: 'hunter2\n",
        "site/host_vars/m2.yml": "ansible_user: '{{ who }}'\nansible_host: 10.1.1.122\n",
    }
    imported = import_(FILES | more, "site/inventory.ini")
    assert "site/group_vars/all/vault.yml is encrypted with ansible-vault: it is not read" in imported.printed
    assert "site/group_vars/all/broken.yml is no YAML file" in imported.printed
    assert "ansible_user of m2 is a template: it is not read" in imported.printed
    assert imported.host("m2")["address"] == "10.1.1.122"
    assert "hunter2" not in imported.printed + imported.text
