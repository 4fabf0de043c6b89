"""Kubespray's inventories. Pure.

https://github.com/kubernetes-sigs/kubespray/blob/master/docs/ansible/vars.md,
https://github.com/kubernetes-sigs/kubespray/blob/master/docs/operations/ha-mode.md
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from runbooks.site.importing.rules import roles as by_word
from runbooks.site.importing.rules.found import Found
from runbooks.site.importing.rules.groups import Inventory
from runbooks.site.importing.rules.machines import bastion, machines
from runbooks.site.importing.rules.values import Unknown, inside, is_address, is_true, number

CONTROL_PLANE: Final = ("kube_control_plane", "kube-master", "kube_master")
WORKERS: Final = ("kube_node", "kube-node")
ADDRESSES: Final = ("access_ip", "ip")
# The values that kubespray has when nobody sets them: roles/kubespray_defaults.
PODS, SERVICES = "10.233.64.0/18", "10.233.0.0/18"


def is_one(inventory: Inventory) -> bool:
    """Whether the groups are those of kubespray."""
    return any(name in inventory.groups for name in CONTROL_PLANE)


def found(inventory: Inventory, given: Mapping[str, list[str]]) -> Found:
    """Return what an inventory of kubespray says. ``given``: groups by role that the operator has named; they stand for the usual ones."""
    names = {
        "control-plane": given["control-plane"] or list(CONTROL_PLANE),
        "worker": given["worker"] or list(WORKERS),
        "lb": given["lb"] or by_word.by_words(inventory.groups)["lb"],
    }
    hosts = {role: [host for name in groups for host in inventory.members(name)] for role, groups in names.items()}
    found_machines, notes = machines(inventory, hosts, ADDRESSES, bastion(inventory, ["bastion"]))
    result = Found("kubespray inventory", found_machines, notes=notes)
    variables = inventory.shared([*hosts["control-plane"], *hosts["worker"]])
    _endpoint(result, variables)
    _kubernetes(result, variables)
    _etcd(result, variables)
    result.notes.append(
        "kubespray sets up its clusters with kubeadm, and more beside it; do not run its playbooks and cluster.*, upgrade.*, certs.* in turn"
    )
    return result


def _endpoint(result: Found, variables: Mapping[str, object]) -> None:
    balancer = variables.get("loadbalancer_apiserver")
    address = balancer if isinstance(balancer, Unknown) else inside(balancer, "address")
    if address is not None and not isinstance(address, Unknown) and not is_address(address):
        result.notes.append(f"loadbalancer_apiserver.address is the name {address}: the VIP is its address")
        address = None
    result.read("endpoint.vip", address, "loadbalancer_apiserver.address")
    result.read("endpoint.port", number(inside(balancer, "port")), "loadbalancer_apiserver.port")
    if is_true(variables.get("kube_vip_enabled")):
        result.read("endpoint.vip", variables.get("kube_vip_address"), "kube_vip_address")
        result.read("load_balancer.interface", variables.get("kube_vip_interface"), "kube_vip_interface")
        result.notes.append("kube-vip on the control plane hosts holds the VIP, not keepalived: lb.* has nothing to do with it")
    result.read("endpoint.port", number(variables.get("kube_apiserver_port")), "kube_apiserver_port")
    result.miss(
        "endpoint.vip",
        "there is no loadbalancer_apiserver; each node may have a proxy of its own (loadbalancer_apiserver_localhost)",
    )
    result.read("endpoint.name", variables.get("apiserver_loadbalancer_domain_name"), "apiserver_loadbalancer_domain_name")


def _kubernetes(result: Found, variables: Mapping[str, object]) -> None:
    version = variables.get("kube_version")
    result.read("kubernetes.version", version.removeprefix("v") if isinstance(version, str) else version, "kube_version")
    result.miss("kubernetes.version", "kube_version is not given, kubespray's release decides; see `kubectl version`")
    for key, name, default in (("pods", "kube_pods_subnet", PODS), ("services", "kube_service_addresses", SERVICES)):
        result.read(f"networks.{key}", variables.get(name), name)
        result.guess(f"networks.{key}", default, f"kubespray's default of {name}")
    domain = variables.get("dns_domain")  # usually the template {{ cluster_name }}
    name = "dns_domain" if isinstance(domain, str) else "cluster_name"
    result.read("kubernetes.domain", variables.get(name), name)
    result.read("kubernetes.image_repository", variables.get("kube_image_repo"), "kube_image_repo")
    result.read("kubernetes.cgroup_driver", variables.get("kubelet_cgroup_driver"), "kubelet_cgroup_driver")
    fails = variables.get("kubelet_fail_swap_on")
    if isinstance(fails, str) and not is_true(fails):
        result.read("kubernetes.swap", "keep", "kubelet_fail_swap_on")
    plugin = variables.get("kube_network_plugin")
    result.read("kubernetes.cni", "none", f"kubespray installs {plugin if isinstance(plugin, str) else 'the pod network'}")
    result.guess("kubernetes.addons.coredns", False, "kubespray installs its own")
    if is_true(variables.get("kube_proxy_remove")):
        result.read("kubernetes.addons.kube_proxy", False, "kube_proxy_remove")
    elif isinstance(mode := variables.get("kube_proxy_mode"), str):
        result.read("kubernetes.kube_proxy", {"mode": mode}, "kube_proxy_mode")
    manager = variables.get("container_manager")
    if isinstance(manager, str) and manager != "containerd":
        result.notes.append(f"the container runtime is {manager}: this tool sets up and upgrades only containerd")


def _etcd(result: Found, variables: Mapping[str, object]) -> None:
    kind = variables.get("etcd_deployment_type")
    if isinstance(kind, str) and kind == "kubeadm":
        result.read("kubernetes.etcd", "stacked", "etcd_deployment_type")
        return
    result.read("kubernetes.etcd", None if kind is None else "external", f"etcd_deployment_type {kind}")
    result.guess("kubernetes.etcd", "external", "kubespray's default, etcd as a service of the hosts")
    result.notes.append(
        "etcd is no static Pod of kubeadm here: etcd.*, backup.run and the recoveries of etcd are made for kubeadm's stacked etcd, not for this one"
    )
