"""Checks between the values of a site file. Pure. A check uses only values that are valid by themselves."""

from collections.abc import Callable, Iterator
from itertools import combinations
from typing import Final

from runbooks.inventory.draft import Draft, DraftHost
from runbooks.inventory.problems import Finding
from runbooks.inventory.words import Address, Network

Findings = Iterator[Finding]
API_PORT: Final = 6443  # where kubeadm makes every API server listen
LB = "load_balancer"


def findings(draft: Draft) -> Findings:
    """Yield everything that is wrong between the values of ``draft``."""
    for check in CHECKS:
        yield from check(draft)


def names_are_unique(draft: Draft) -> Findings:
    """Every host needs its own name."""
    first: dict[str, DraftHost] = {}
    for host in draft.hosts:
        if host.name is not None and first.setdefault(host.name, host) is not host:
            yield Finding(f"{host.key}.name", f"{host.name} is already the name of the host on line {first[host.name].line}")


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


def addresses_are_in_management(draft: Draft) -> Findings:
    """Hosts and VIP must be in the management network: the VIP moves between the LBs by ARP or IPv6 neighbour discovery."""
    management = draft.network("networks.management")
    if management is None:
        return
    named = [("endpoint.vip", draft.address("endpoint.vip"))]
    named += [(f"{host.key}.address", host.address) for host in draft.hosts]
    for key, address in named:
        message = "" if address is None else misplaced(address, management)
        if message:
            yield Finding(key, message)


def misplaced(address: Address, network: Network) -> str:
    """Return why no host in the management network ``network`` can have ``address``; "" when one can."""
    if address.version != network.version:
        return f"{address} is IPv{address.version}, but networks.management ({network}) is IPv{network.version}: use one family"
    if address not in network:
        return f"{address} is outside networks.management ({network})"
    if network.num_addresses <= 2:  # /31, /32, /127, /128 have neither
        return ""
    if address == network.network_address:
        return f"{address} is the address of the network {network} itself: no host can have it"
    if network.version == 4 and address == network.broadcast_address:
        return f"{address} is the broadcast address of {network}: no host can have it"
    return ""


def networks_are_apart(draft: Draft) -> Findings:
    """Networks must not overlap: some addresses would be unreachable, which is noticed long after the setup."""
    names = ("management", "pods", "services", "storage")
    known = [(name, network) for name in names if (network := draft.network(f"networks.{name}")) is not None]
    for (name, network), (other, second) in combinations(known, 2):
        if network.version == second.version and network.overlaps(second):
            yield Finding(f"networks.{other}", f"{second} overlaps networks.{name} ({network})")
        elif network.version != second.version and other != "storage":
            yield Finding(
                f"networks.{other}",
                f"{second} is IPv{second.version}, but networks.{name} ({network}) is IPv{network.version}: use one family",
            )


def management_holds_hosts(draft: Draft) -> Findings:
    """The management network must not be loopback, multicast or unspecified."""
    management = draft.network("networks.management")
    if management is None:
        return
    start = management.network_address
    if start.is_loopback or start.is_multicast or start.is_unspecified:
        yield Finding("networks.management", f"{management} is not a network for hosts: it is loopback, multicast or unspecified")


def roles_are_given(draft: Draft) -> Findings:
    """Every host needs a role, each only once: no runbook uses a host without a role."""
    for host in draft.hosts:
        if host.roles is None:
            continue
        if not host.roles:
            yield Finding(f"{host.key}.roles", f"{host} has no role: give it lb, control-plane or worker, or delete the host")
        for role in dict.fromkeys(host.roles):
            if host.roles.count(role) > 1:
                yield Finding(f"{host.key}.roles", f"{role} is given twice")


def enough_of_each_role(draft: Draft) -> Findings:
    """The site needs two LBs, between which the VIP moves, and a control plane host. An even number of members is a warning."""
    if not draft.roles_known:
        return
    balancers, control_plane, workers = (list(draft.with_role(role)) for role in ("lb", "control-plane", "worker"))
    if not balancers:
        yield Finding("hosts", "no host has the role lb: the VIP needs two")
    elif len(balancers) == 1:
        yield Finding("hosts", f"only {balancers[0]} has the role lb: the VIP needs a second one to move to")
    if not control_plane:
        yield Finding("hosts", "no host has the role control-plane: give it to three hosts")
    elif len(control_plane) % 2 == 0 and draft.text("kubernetes.etcd") == "stacked":
        count = len(control_plane)
        message = f"{count} hosts with the role control-plane tolerate no more failures than {count - 1}: use an odd number"
        yield Finding("hosts", message, "warning")
    if not workers:
        yield Finding("hosts", "no host has the role worker: nothing will run the workload", "warning")


def priorities_rank_the_lbs(draft: Draft) -> Findings:
    """Every LB needs its own VRRP priority; other hosts must not have one."""
    ranked: dict[int, DraftHost] = {}
    for host in draft.hosts:
        if host.roles is None:
            continue
        key = f"{host.key}.priority"
        if "lb" not in host.roles:
            if host.given("priority"):
                yield Finding(key, f"{host} is not an lb: delete the priority, or add lb to its roles")
        elif not host.given("priority"):
            yield Finding(key, f"{host} is an lb and needs one: a whole number from 1 to 254, the highest holds the VIP")
        elif host.priority is not None and ranked.setdefault(host.priority, host) is not host:
            other = ranked[host.priority]
            yield Finding(key, f"{host.priority} is already the priority of {other} on line {other.line}: they must differ")


def api_port_is_free_on_lbs(draft: Draft) -> Findings:
    """HAProxy and the API server cannot both listen on port 6443 of the same host."""
    if draft.number("endpoint.port") != API_PORT:
        return
    for host in draft.with_role("lb"):
        if "control-plane" in (host.roles or ()):
            yield Finding(
                f"{host.key}.roles",
                f"an lb on a control plane host cannot use port {API_PORT}, where the API server listens:"
                " use separate hosts, or another endpoint.port such as 8443",
            )


def lb_ports_differ(draft: Draft) -> Findings:
    """Everything that listens on an LB needs its own port."""
    listeners = [("endpoint.port", draft.number("endpoint.port"))]
    listeners += [(f"{LB}.{name}", draft.number(f"{LB}.{name}")) for name in ("stats_port", "metrics_port", "health_port")]
    listeners += [(f"{LB}.ingress.{name}", port) for name, port in (("http", 80), ("https", 443)) if _on(draft, name)]
    taken: dict[int, str] = {port: key for key, port in _ssh_ports(draft)}
    for key, port in listeners:
        if port is None:
            continue
        other = taken.setdefault(port, key)
        if other != key:
            yield Finding(key, f"port {port} is already used by {other}: on an LB each needs its own port")


def _ssh_ports(draft: Draft) -> Iterator[tuple[str, int]]:
    """Yield the key and the value of each LB's SSH port."""
    for host in draft.with_role("lb"):
        key = f"{host.key}.ssh.port" if host.given("ssh.port") else "ssh.port"
        port = draft.number(key)
        if port is not None:
            yield key, port


def _on(draft: Draft, name: str) -> bool:
    return draft.values.get(f"{LB}.ingress.{name}") is True


def ingress_node_ports_differ(draft: Draft) -> Findings:
    """One node port cannot serve both HTTP and HTTPS."""
    key = f"{LB}.ingress.https_node_port"
    port = draft.number(key)
    if _on(draft, "http") and _on(draft, "https") and port is not None and port == draft.number(f"{LB}.ingress.http_node_port"):
        yield Finding(key, f"port {port} is already used by {LB}.ingress.http_node_port")


def adverts_fit_the_version(draft: Draft) -> Findings:
    """With VRRP version 2 the advertisement interval is in whole seconds (RFC 3768, section 5.3.7)."""
    key = f"{LB}.vrrp.advert_ms"
    interval = draft.number(key)
    if draft.number(f"{LB}.vrrp.version") == 2 and interval is not None and interval % 1000:
        yield Finding(key, f"VRRP version 2 sends adverts in whole seconds: write 1000 instead of {interval}, or use version 3")


CHECKS: Final[tuple[Callable[[Draft], Findings], ...]] = (
    names_are_unique,
    addresses_are_unique,
    addresses_are_in_management,
    networks_are_apart,
    management_holds_hosts,
    roles_are_given,
    enough_of_each_role,
    priorities_rank_the_lbs,
    api_port_is_free_on_lbs,
    lb_ports_differ,
    ingress_node_ports_differ,
    adverts_fit_the_version,
)
