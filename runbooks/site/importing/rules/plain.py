"""Inventories of Ansible that somebody made for playbooks of their own. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from runbooks.errors import InventoryError
from runbooks.site.importing.rules import roles as by_word
from runbooks.site.importing.rules.found import Fact, Found
from runbooks.site.importing.rules.groups import EVERYBODY, Inventory
from runbooks.site.importing.rules.machines import first, machines
from runbooks.site.importing.rules.values import is_address, number
from runbooks.text import listed

# Names that playbooks on the web have for these values; only a guess, so they are written with a comment.
NAMES: Final[Mapping[str, tuple[str, ...]]] = {
    "endpoint.vip": ("apiserver_vip", "api_server_vip", "control_plane_vip", "k8s_vip", "kube_vip", "cluster_vip", "keepalived_vip",
                     "virtual_ip", "vip_address", "vip", "kube_vip_address"),
    "endpoint.name": ("control_plane_endpoint_name", "apiserver_name", "api_fqdn"),
    "kubernetes.version": ("kubernetes_version", "kube_version", "k8s_version"),
    "networks.pods": ("pod_network_cidr", "pod_cidr", "pod_subnet", "pod_network", "kube_pods_subnet", "cluster_cidr"),
    "networks.services": ("service_cidr", "service_subnet", "service_network_cidr", "kube_service_addresses"),
    "load_balancer.interface": ("keepalived_interface", "vrrp_interface", "vip_interface"),
    "load_balancer.vrrp.id": ("keepalived_virtual_router_id", "virtual_router_id", "vrrp_router_id", "keepalived_router_id"),
}  # fmt: skip
ENDPOINT: Final = (
    "control_plane_endpoint",
    "controlplane_endpoint",
    "controlPlaneEndpoint",
    "kubernetes_endpoint",
    "api_endpoint",
)
PRIORITY: Final = ("keepalived_priority", "vrrp_priority", "priority")
FLAGS: Final = "--control-plane GROUP --workers GROUP --lbs GROUP (several with commas)"


def found(inventory: Inventory, given: Mapping[str, list[str]]) -> Found:
    """Return what an inventory says. ``given``: groups by role that the operator has named, instead of a guess by common words.

    Raises InventoryError when no group is the control plane.
    """
    own = [name for name in inventory.groups if name not in {EVERYBODY, "ungrouped"}]
    guessed = by_word.by_words(own)
    groups = {role: given[role] or guessed[role] for role in guessed}
    hosts = {role: [host for name in names for host in inventory.members(name)] for role, names in groups.items()}
    if not hosts["control-plane"]:
        raise InventoryError(
            f"no group of this inventory is the control plane by its name; the groups are {listed(own) or 'none'}", hint=FLAGS
        )
    if not given["worker"]:  # "nodes" are often all of them
        hosts["worker"] = [host for host in hosts["worker"] if host not in hosts["control-plane"] and host not in hosts["lb"]]
    found_machines, notes = machines(inventory, hosts, ())
    result = Found("inventory of Ansible", found_machines, notes=notes)
    result.notes += [
        f"{role}: the groups {listed(groups[role]) or '(none)'}, by their names"
        for role in groups
        if not given[role] and groups[role]
    ]
    left = [host for host in inventory.hosts if not any(host in each for each in hosts.values())]
    if left:
        result.notes.append(f"no part of the cluster, by the groups: {listed(left)}")
    _facts(result, inventory.shared(inventory.hosts))
    for machine, name in zip(
        result.machines, dict.fromkeys(host for role in ("lb", "control-plane", "worker") for host in hosts[role]), strict=True
    ):
        value = number(first(inventory.variables(name), PRIORITY)) if "lb" in machine.roles else None
        if isinstance(value, int):
            machine.priority = Fact(value, "the variable for the priority of keepalived")
    return result


def _facts(result: Found, variables: Mapping[str, object]) -> None:
    for name in ENDPOINT:
        value = variables.get(name)
        if not isinstance(value, str) or not (
            parts := re.fullmatch(r"(?:https://)?\[?([0-9A-Za-z.:-]+?)\]?(?::([0-9]+))?/?", value)
        ):
            continue
        result.guess("endpoint.vip" if is_address(parts[1]) else "endpoint.name", parts[1], f"the variable {name}")
        if parts[2]:
            result.guess("endpoint.port", number(parts[2]), f"the variable {name}")
    for key, names in NAMES.items():
        for name in names:
            value = variables.get(name)
            text = value.removeprefix("v").partition("/")[0] if isinstance(value, str) and key == "endpoint.vip" else value
            if isinstance(value, str) and key == "kubernetes.version":
                text = value.removeprefix("v")
            result.guess(key, number(text), f"the variable {name}")
