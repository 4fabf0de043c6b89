"""Checks of what every host has besides (`baseline`): sysctls, modules, names in /etc/hosts, time servers. Pure."""

import re
from collections.abc import Iterator
from ipaddress import ip_address
from typing import Final

from runbooks.inventory.checks_values import OWN
from runbooks.inventory.draft import Draft
from runbooks.inventory.problems import Finding, quoted
from runbooks.inventory.words import Address, sysctl_path

Findings = Iterator[Finding]
KEY: Final = "baseline"
NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_@:-]*([./][A-Za-z0-9_@:-]+)+\Z")
VALUE: Final = re.compile(r"[!-~]([\t -~]*[!-~])?\Z")
# By the kernel's path: the value, and who sets it. "4" and "6": where pods, or the VIP, have such addresses.
OF_PREPARE: Final = {
    "net/bridge/bridge-nf-call-iptables": "46",
    "net/bridge/bridge-nf-call-ip6tables": "46",
    "net/ipv4/ip_forward": "46",
    "net/ipv4/conf/all/forwarding": "46",  # the kernel keeps one switch under both names
    "net/ipv6/conf/all/forwarding": "6",
    "net/ipv6/conf/default/forwarding": "6",
}
OF_BALANCERS: Final = {"net/ipv4/ip_nonlocal_bind": "4", "net/ipv6/ip_nonlocal_bind": "6"}
# The kubelet sets them when it starts; with protectKernelDefaults it does not start when they differ.
# https://kubernetes.io/docs/reference/config-api/kubelet-config.v1beta1/ (protectKernelDefaults)
OF_KUBELET: Final = {
    "vm/overcommit_memory": "1",
    "vm/panic_on_oom": "0",
    "kernel/panic": "10",
    "kernel/panic_on_oops": "1",
    "kernel/keys/root_maxkeys": "1000000",
    "kernel/keys/root_maxbytes": "25000000",
}
OF_PROXY: Final = "net/netfilter/nf_conntrack_max"


def sysctls_are_right(draft: Draft) -> Findings:
    """Names and values as sysctl takes them, each once, and none that this tool or the kubelet sets to another value."""
    seen: dict[str, str] = {}
    fixed = _set_by_others(draft)
    for name, given in draft.group(f"{KEY}.sysctls").items():
        key, value, path = f"{KEY}.sysctls.{quoted(name)}", str(given), sysctl_path(name)
        if not NAME.match(name):
            yield Finding(key, f"{quoted(name)} is not the name of a sysctl: write it in full, such as vm.max_map_count")
        elif not VALUE.match(value):
            yield Finding(key, f"{quoted(value)} is not the value of a sysctl: write one line of text, such as 262144, in quotes")
        elif path in seen:
            yield Finding(key, f"is the same sysctl as {seen[path]}: delete one of them")
        elif path in fixed and value.split() != [fixed[path][0]]:
            wanted, who = fixed[path]
            yield Finding(key, f"{who} sets it to {wanted}: delete the line")
        elif path == OF_PROXY and _proxy_sets_it(draft):
            yield Finding(
                key, "kube-proxy sets it too, when it starts: write kubernetes.kube_proxy.conntrack.maxPerCore: 0", "warning"
            )
        seen.setdefault(path, name)


def _set_by_others(draft: Draft) -> dict[str, tuple[str, str]]:
    """Return value and owner of each sysctl that is not free, by its path."""
    pods, vip = draft.network("networks.pods"), draft.address("endpoint.vip")
    found = {path: (value, "the kubelet") for path, value in OF_KUBELET.items()}
    for owner, table, one in (("cluster.prepare", OF_PREPARE, pods), ("lb.setup", OF_BALANCERS, vip)):
        found |= {path: ("1", owner) for path, families in table.items() if one is None or str(one.version) in families}
    return found


def _proxy_sets_it(draft: Draft) -> bool:
    conntrack = draft.group("kubernetes.kube_proxy").get("conntrack")
    per_core = conntrack.get("maxPerCore") if isinstance(conntrack, dict) else None
    return draft.values.get("kubernetes.addons.kube_proxy") is not False and per_core != 0


def modules_are_given_once(draft: Draft) -> Findings:
    """The kernel takes _ and - in the name of a module for the same."""
    modules = draft.values.get(f"{KEY}.modules")
    seen: set[str] = set()
    for number, name in enumerate(modules if isinstance(modules, tuple) else ()):
        if name.replace("-", "_") in seen:
            yield Finding(f"{KEY}.modules[{number}]", f"{name} is given twice: delete one of them")
        seen.add(name.replace("-", "_"))


def servers_are_given_once(draft: Draft) -> Findings:
    """A time server counts once; without the key the distribution's own stay."""
    servers = draft.values.get(f"{KEY}.time.servers")
    seen: set[object] = set()
    for number, server in enumerate(servers if isinstance(servers, tuple) else ()):
        if server in seen:
            yield Finding(f"{KEY}.time.servers[{number}]", f"{server} is given twice: delete one of them")
        seen.add(server)


def names_have_one_address(draft: Draft) -> Findings:
    """Addresses, each once; a name stands for one address of each family, and for the right one where it is a host or the endpoint."""
    known = {host.name: (host.address, f"the host on line {host.line}") for host in draft.hosts if host.name and host.address}
    name, vip = draft.text("endpoint.name"), draft.address("endpoint.vip")
    if name and vip:
        known[name] = (vip, "the endpoint (endpoint.name)")
    lines: dict[Address, str] = {}
    first: dict[tuple[str, int], Address] = {}
    for text, names in draft.group(f"{KEY}.hosts").items():
        key = f"{KEY}.hosts.{quoted(text)}"
        address = _address(text)
        if address is None:
            yield Finding(
                key, f"{quoted(text)} is not the address of a machine: write an IP address, such as 10.1.1.5: [registry]"
            )
            continue
        if lines.setdefault(address, text) != text:
            yield Finding(key, f"is the same address as {lines[address]}: write all its names in one list")
        yield from _names(key, address, names if isinstance(names, tuple) else (), known, first)


def _names(
    key: str,
    address: Address,
    names: tuple[str, ...],
    known: dict[str, tuple[Address, str]],
    first: dict[tuple[str, int], Address],
) -> Findings:
    if not names:
        yield Finding(key, "has no names: write at least one, or delete the line")
    for number, name in enumerate(names):
        where = f"{key}[{number}]"
        before = first.get((name, address.version))
        if OWN.match(name):
            yield Finding(where, f"every machine resolves {name} to itself (127.0.0.1 or ::1): delete it")
        elif name in known and known[name][0] != address:
            yield Finding(where, f"{name} is {known[name][1]}, whose address is {known[name][0]}: delete it here")
        elif before == address:
            yield Finding(where, f"{name} is given twice: delete one of them")
        elif before:
            yield Finding(where, f"{name} has the address {before} already: only the first one would count")
        first.setdefault((name, address.version), address)


def _address(text: str) -> Address | None:
    try:
        found = ip_address(text)
    except ValueError:
        return None
    scoped = "%" in text
    return None if scoped or found.is_unspecified or found.is_multicast else found


CHECKS: Final = (sysctls_are_right, modules_are_given_once, servers_are_given_once, names_have_one_address)
