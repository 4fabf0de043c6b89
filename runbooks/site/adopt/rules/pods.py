"""The pod network of a cluster: its addresses, and who manages it. Pure."""

from __future__ import annotations

from contextlib import suppress
from ipaddress import ip_network
from typing import Final

from runbooks.commands.adopt_cluster import ClusterLook
from runbooks.inventory.words import Network

# By a word in the images of a DaemonSet. https://kubernetes.io/docs/concepts/cluster-administration/addons/#networking-and-network-policy
KNOWN: Final = {
    "calico/node": "Calico", "cilium": "Cilium", "flannel": "Flannel", "weave": "Weave Net", "kube-router": "kube-router",
    "antrea": "Antrea", "kube-ovn": "Kube-OVN", "canal": "Canal", "multus": "Multus",
}  # fmt: skip


def manager(cluster: ClusterLook) -> str:
    """Return what manages the pod network, with its DaemonSet; "" when no DaemonSet is known for that."""
    for name, images in cluster.everywhere.items():
        for word, title in KNOWN.items():
            if any(word in image for image in images):
                return f"{title} (DaemonSet {name})"
    return ""


def first_of(text: str, family: int) -> Network | None:
    """Return the network of ``family`` in a list such as podSubnet has it, else the first one; None when there is none.

    >>> first_of("fd00::/48, 10.244.0.0/16", 4)
    IPv4Network('10.244.0.0/16')
    """
    found = networks_of(text)
    return next((each for each in found if each.version == family), next(iter(found), None))


def networks_of(text: str) -> list[Network]:
    """Return the networks in such a list. What is none is left out: somebody may have written anything there.

    >>> networks_of("10.244.0.1/16, none,")
    [IPv4Network('10.244.0.0/16')]
    """
    found: list[Network] = []
    for each in text.split(","):
        with suppress(ValueError):
            found.append(ip_network(each.strip(), strict=False))
    return found


def around(cluster: ClusterLook, family: int) -> Network | None:
    """Return the smallest network that holds the subnets of all nodes, None when they have none."""
    subnets = [each for member in cluster.members for each in member.pods if each.version == family]
    if not subnets:
        return None
    found = subnets[0]
    while not all(each.subnet_of(found) for each in subnets):  # type: ignore[arg-type]
        found = found.supernet()
    return found
