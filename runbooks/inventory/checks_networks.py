"""Checks of the networks and of the addresses in them. Pure. What only follows from an error that is reported is not reported."""

from collections.abc import Iterator
from itertools import combinations
from typing import Final

from runbooks.inventory.draft import Draft, DraftHost
from runbooks.inventory.problems import Finding
from runbooks.inventory.words import Address, Network
from runbooks.text import first_few

Findings = Iterator[Finding]
NETWORKS: Final = ("management", "pods", "services", "storage")
MANAGEMENT, PODS, SERVICES = "networks.management", "networks.pods", "networks.services"
# kube-controller-manager's --node-cidr-mask-size-ipv4 and -ipv6: https://kubernetes.io/docs/reference/command-line-tools-reference/kube-controller-manager/
NODE_MASK: Final = {4: 24, 6: 64}
CONTROLLER_MANAGER: Final = "kubernetes.extra_args.controller_manager"
LEAST_PODS: Final = 10  # kubeadm's MinimumAddressesInPodSubnet
MOST_NODE_BITS: Final = 16  # kubeadm refuses more between the prefix of the pod network and that of a node
MOST_SERVICE_BITS: Final = 20  # kube-apiserver and kubeadm refuse a larger service network
DNS_INDEX: Final = 10  # kubeadm gives the cluster's DNS the tenth address of the service network
FEW: Final = 5


def addresses_are_unique(draft: Draft) -> Findings:
    """Every host needs its own address, and the VIP must be none of them."""
    vip = draft.address("endpoint.vip")
    first: dict[Address, DraftHost] = {}
    for host in draft.hosts:
        if host.address is None:
            continue
        other = first.setdefault(host.address, host)
        if other is not host:
            yield Finding(f"{host.key}.address", f"{host.address} is already the address of {other} on line {other.line}")
        elif host.address == vip:
            yield Finding("endpoint.vip", f"{vip} is the address of {host}: the VIP must be an address of its own")


def networks_are_for_hosts(draft: Draft) -> Findings:
    """No network may be loopback, multicast, link-local or unspecified: nothing routes packets to such addresses."""
    for name in NETWORKS:
        network = draft.network(f"networks.{name}")
        if network is None:
            continue
        start = network.network_address
        if start.is_loopback or start.is_multicast or start.is_unspecified or start.is_link_local:
            what = "it is loopback, multicast, link-local or unspecified"
            yield Finding(f"networks.{name}", f"{network} is not a network for hosts: {what}")


def management_holds_hosts(draft: Draft) -> Findings:
    """The management network must be large enough, and be the one that the addresses are in.

    Where most addresses are outside, the network is wrong and not each address.
    """
    management = draft.network(MANAGEMENT)
    if management is None or MANAGEMENT in draft.blamed:
        return
    addresses = {address for _, address in _placed(draft)}
    room = _usable(management)
    if room < len(addresses):
        message = (
            f"{management} has room for {room}, but the VIP and the hosts have {len(addresses)} addresses: it must be larger"
        )
        yield Finding(MANAGEMENT, message)
        return
    outside = [str(address) for address in sorted(addresses, key=int) if address not in management]
    if len(outside) >= 2 and len(outside) * 2 > len(addresses):
        some = ", ".join(first_few(outside, FEW))
        message = f"{management} does not hold {len(outside)} of the {len(addresses)} addresses of the VIP and the hosts ({some})"
        yield Finding(MANAGEMENT, f"{message}: correct the network, or these addresses")


def addresses_are_in_management(draft: Draft) -> Findings:
    """Hosts and VIP must be in the management network: the VIP moves between the LBs by ARP or IPv6 neighbour discovery."""
    management = draft.network(MANAGEMENT)
    if management is None or MANAGEMENT in draft.blamed:
        return
    for key, address in _placed(draft):
        message = misplaced(address, management)
        if message and key not in draft.blamed:
            yield Finding(key, message + _elsewhere(draft, address))


def _placed(draft: Draft) -> list[tuple[str, Address]]:
    """Return the addresses that belong in the management network, each with its key."""
    named = [("endpoint.vip", draft.address("endpoint.vip"))]
    named += [(f"{vip.key}.address", vip.address) for vip in draft.vips]
    named += [(f"{host.key}.address", host.address) for host in draft.hosts]
    return [(key, address) for key, address in named if address is not None]


def _elsewhere(draft: Draft, address: Address) -> str:
    names = [name for name in NETWORKS if name != "management" and address in (draft.network(f"networks.{name}") or ())]
    return f"; it is in networks.{names[0]}" if names else ""


def _usable(network: Network) -> int:
    """Return how many hosts can have an address in ``network``."""
    if network.num_addresses <= 2:  # /31, /32, /127, /128 have neither a network address nor a broadcast address
        return network.num_addresses
    return network.num_addresses - (2 if network.version == 4 else 1)


def misplaced(address: Address, network: Network) -> str:
    """Return why no host in the management network ``network`` can have ``address``; "" when one can."""
    if address.version != network.version:
        return f"{address} is IPv{address.version}, but networks.management ({network}) is IPv{network.version}: use one family"
    if address not in network:
        return f"{address} is outside networks.management ({network})"
    if network.num_addresses <= 2:
        return ""
    if address == network.network_address:
        return f"{address} is the address of the network {network} itself: no host can have it"
    if network.version == 4 and address == network.broadcast_address:
        return f"{address} is the broadcast address of {network}: no host can have it"
    return ""


def networks_are_one_family(draft: Draft) -> Findings:
    """The first three networks must all be IPv4 or all be IPv6. Each wrong one is reported once."""
    known = [(name, network) for name, network in _sound(draft) if name != "storage"]
    for name, network in known[1:]:
        first, wanted = known[0]
        if network.version != wanted.version:
            message = f"{network} is IPv{network.version}, but networks.{first} ({wanted}) is IPv{wanted.version}: use one family"
            yield Finding(f"networks.{name}", message)


def networks_are_apart(draft: Draft) -> Findings:
    """Networks must not overlap: some addresses would be unreachable, which is noticed long after the setup.

    A network that overlaps several others is reported once, with all of them.
    """
    pairs = [(one, other) for one, other in combinations(_sound(draft), 2) if _overlap(one[1], other[1])]
    while pairs:
        involved = [each for pair in pairs for each in pair]
        worst = max(reversed(_sound(draft)), key=involved.count)
        others = [one if other == worst else other for one, other in pairs if worst in (one, other)]
        pairs = [pair for pair in pairs if worst not in pair]
        named = " and ".join(f"networks.{name} ({network})" for name, network in others)
        yield Finding(f"networks.{worst[0]}", f"{worst[1]} overlaps {named}")


def _overlap(one: Network, other: Network) -> bool:
    return one.version == other.version and one.overlaps(other)


def _sound(draft: Draft) -> list[tuple[str, Network]]:
    """Return the networks that are valid and not reported yet, with their names."""
    known = [(name, draft.network(f"networks.{name}")) for name in NETWORKS]
    return [(name, network) for name, network in known if network is not None and f"networks.{name}" not in draft.blamed]


def pods_fit_the_nodes(draft: Draft) -> Findings:
    """The pod network must be one that kubeadm takes, and have a subnet for each node, which kube-controller-manager hands out.

    kubeadm wants one such subnet only. Flannel needs one for each node; what hands out addresses itself (Calico's IPAM) needs none.
    """
    pods = draft.network(PODS)
    if pods is None or PODS in draft.blamed:
        return
    if pods.num_addresses < LEAST_PODS:
        yield Finding(PODS, f"{pods} is too small: kubeadm wants {LEAST_PODS} addresses for pods at least")
        return
    nodes = len([host for host in draft.hosts if {"control-plane", "worker"} & set(host.roles or ())])
    if draft.group(CONTROLLER_MANAGER).get("allocate-node-cidrs") == "false":
        if not _is_old(draft):
            return
        nodes = 1
    mask = _node_mask(draft, pods)
    if not 0 < mask <= pods.max_prefixlen:
        return
    widest = mask - max(nodes - 1, 0).bit_length()
    if pods.prefixlen > widest:
        room = 2 ** (mask - pods.prefixlen) if pods.prefixlen <= mask else 0
        message = f"{pods} has room for {room} nodes, but there are {nodes}: each gets a /{mask} of it"
        message += f". Write /{widest} or larger (or set node-cidr-mask-size of the controller manager)"
        if room and draft.text("kubernetes.cni") != "flannel":
            yield Finding(PODS, f"{message}, unless the CNI hands out addresses by itself, as Calico's IPAM does", "warning")
        else:
            yield Finding(PODS, message)
    elif mask - pods.prefixlen > MOST_NODE_BITS:
        message = f"{pods} is too large: kubeadm allows {MOST_NODE_BITS} bits more than the /{mask} of a node"
        yield Finding(PODS, f"{message}. Write /{mask - MOST_NODE_BITS} or smaller")
    else:
        yield from _max_pods(draft, pods, mask)


def _is_old(draft: Draft) -> bool:
    """Whether kubeadm is 1.20.

    It compares the pod network with a node's although no node gets one (kubernetes/kubernetes#98984), and knows one flag for the size.
    """
    return (draft.text("kubernetes.version") or "").startswith("1.20.")


def _max_pods(draft: Draft, pods: Network, mask: int) -> Findings:
    most, room = draft.group("kubernetes.kubelet").get("maxPods"), 2 ** (pods.max_prefixlen - mask) - 2
    if isinstance(most, int) and most > room:
        message = f"a node has a /{mask} of networks.pods, which is enough for {room} pods, fewer than {most}"
        yield Finding("kubernetes.kubelet.maxPods", message, "warning")


def _node_mask(draft: Draft, pods: Network) -> int:
    given = draft.group(CONTROLLER_MANAGER)  # kubeadm knows these names with hyphens only
    for name in ("node-cidr-mask-size", *([] if _is_old(draft) else [f"node-cidr-mask-size-ipv{pods.version}"])):
        text = str(given.get(name, ""))
        if text.isascii() and text.isdigit() and len(text) < 4:
            return int(text)
    return NODE_MASK[pods.version]


def services_fit(draft: Draft) -> Findings:
    """The service network must hold the address of the cluster's DNS, and be no larger than kube-apiserver allows."""
    services = draft.network(SERVICES)
    if services is None or SERVICES in draft.blamed:
        return
    bits = services.max_prefixlen - services.prefixlen
    if services.num_addresses <= DNS_INDEX:
        least = services.max_prefixlen - DNS_INDEX.bit_length()
        message = f"{services} is too small: it must hold the address of the cluster's DNS, the tenth. Write /{least} or larger"
        yield Finding(SERVICES, message)
    elif bits > MOST_SERVICE_BITS:
        most = services.max_prefixlen - MOST_SERVICE_BITS
        message = (
            f"{services} is too large: kube-apiserver allows {MOST_SERVICE_BITS} bits for services. Write /{most} or smaller"
        )
        yield Finding(SERVICES, message)


CHECKS: Final = (
    addresses_are_unique,
    networks_are_for_hosts,
    management_holds_hosts,
    addresses_are_in_management,
    networks_are_one_family,
    networks_are_apart,
    pods_fit_the_nodes,
    services_fit,
)
