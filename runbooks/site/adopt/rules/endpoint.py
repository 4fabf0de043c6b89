"""Where clients find the API server, and who may be the load balancers in front of it. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from ipaddress import ip_address
from typing import Final

from runbooks.commands.adopt import API_PORT, HostLook
from runbooks.commands.adopt_cluster import ClusterLook
from runbooks.errors import InventoryError
from runbooks.inventory.words import Address, Network
from runbooks.site.adopt.rules import pods
from runbooks.site.adopt.rules.seen import Endpoint
from runbooks.text import listed

HINT: Final = "this tool looks after clusters whose API servers are behind load balancers with a VIP"


def endpoint(cluster: ClusterLook, looks: Mapping[str, HostLook]) -> Endpoint:
    """Return the endpoint of the cluster. ``looks``: of its nodes, which know what a name is.

    Raises InventoryError where the cluster has none: then there is nothing that could move to another control plane host.
    """
    given = str(cluster.part("controlPlaneEndpoint"))
    match = re.fullmatch(r"\[?(.+?)\]?(?::(\d{1,9}))?", given if not given.count(":") > 1 or "[" in given else f"[{given}]")
    if not match:
        raise InventoryError(
            "the cluster has no controlPlaneEndpoint (kubeadm-config): its nodes use the address of one control plane host, and no VIP",
            hint=HINT,
        )
    host, port = match[1], int(match[2] or API_PORT)
    try:
        return _own_address_of_none(cluster, Endpoint(vip=ip_address(host), port=port))
    except ValueError:
        known = {name: each.resolved[host] for name, each in looks.items() if each.resolved.get(host)}
    if not known:
        raise InventoryError(
            f"controlPlaneEndpoint is {host}, and none of the nodes that were asked knows an address of that name",
            hint=f"on a node: getent ahosts {host}",
        )
    asked, addresses = next(iter(known.items()))
    return _own_address_of_none(cluster, Endpoint(vip=addresses[0], port=port, name=host, asked=asked))


def _own_address_of_none(cluster: ClusterLook, found: Endpoint) -> Endpoint:
    """Return ``found``. Raises InventoryError when it is the address of a node, as kubeadm's guide has it for a start.

    https://kubernetes.io/docs/setup/production-environment/tools/kubeadm/create-cluster-kubeadm/#considerations-about-apiserver-advertise-address-and-controlplaneendpoint
    """
    node = next((each.name for each in cluster.members if found.vip in each.addresses), "")
    if node:
        what = f"{found.name} ({found.vip})" if found.name else f"{found.vip}"
        raise InventoryError(
            f"controlPlaneEndpoint is {what}, the own address of {node}, and no VIP: it does not move to another control plane host",
            hint=HINT,
        )
    return found


def networks(cluster: ClusterLook) -> list[Network]:
    """Return the networks of Pods and Services: nothing in them is a machine."""
    texts = (str(cluster.part("networking.podSubnet")), str(cluster.part("networking.serviceSubnet")))
    given = [network for text in texts for network in pods.networks_of(text)]
    return [*given, *(network for each in cluster.members for network in each.pods)]


def candidates(cluster: ClusterLook, where: Endpoint, leaders: Iterable[HostLook], looks: Iterable[HostLook]) -> list[Address]:
    """Return who may be a load balancer: who talks to the API server of every control plane host, and is no machine of the cluster.

    A load balancer checks each of them all the time, and from an address of its own.
    """
    heard = [each.peers for each in leaders]
    all_of = frozenset.intersection(*heard) if heard else frozenset()
    own = {address for member in cluster.members for address in member.addresses}
    own |= {each.ip for look in looks for _, each in look.addresses}
    inside = networks(cluster)
    return sorted(
        (
            each
            for each in all_of
            if each not in own and each != where.vip and not each.is_loopback and not any(each in one for one in inside)
        ),
        key=lambda each: (each.version, int(each)),
    )


def holder(cluster: ClusterLook, manifests: Mapping[str, Iterable[str]]) -> str:
    """Return what else gives the cluster its VIP, "" where nothing of that kind is there: kube-vip, as a static pod or a DaemonSet."""
    there = sorted(node for node, names in manifests.items() if any("kube-vip" in name for name in names))
    if there:
        return f"kube-vip (a static pod on {listed(there)})"
    sets = [name for name, images in cluster.everywhere.items() if any("kube-vip" in image for image in images)]
    return f"kube-vip (DaemonSet {sets[0]})" if sets else ""
