"""The cluster files of k0sctl. Pure.

https://github.com/k0sproject/k0sctl#configuration-file
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from runbooks.commands.ssh_config import Jump, Ways
from runbooks.inventory.problems import quoted
from runbooks.site.importing.rules.found import Fact, Found, Machine
from runbooks.site.importing.rules.machines import HOST
from runbooks.site.importing.rules.values import FormatError, Unknown, inside, is_address, number

ROLES: Final[Mapping[str, list[str]]] = {
    "controller": ["control-plane"],
    "worker": ["worker"],
    "controller+worker": ["control-plane", "worker"],
    "single": ["control-plane", "worker"],
}
MOST_BASTIONS: Final = 8
# https://docs.k0sproject.io/stable/configuration/ ; ports: https://docs.k0sproject.io/stable/high-availability/
PODS, SERVICES = "10.244.0.0/16", "10.96.0.0/12"
HONEST: Final = (
    "k0s is no kubeadm cluster: one program runs etcd and the control plane, with its files in /var/lib/k0s",
    "what works with such hosts: lb.* on load balancers of their own; k0s also needs ports 8132 and 9443 of them (load_balancer.haproxy_files)",
    (
        "what does not: cluster.*, certs.*, etcd.*, backup.*, recover.*, upgrade.*, doctor; they look for kubeadm's files and static Pods. k0s"
        " has `k0s backup`, `k0s etcd` and `k0sctl apply` for these"
    ),
)


def is_one(tree: Mapping[str, object]) -> bool:
    """Whether a YAML file is one of k0sctl's."""
    return str(tree.get("apiVersion", "")).startswith("k0sctl.k0sproject.io/")


def found(tree: Mapping[str, object]) -> Found:
    """Return what a cluster file of k0sctl says. Raises FormatError for a host without role or address."""
    spec = tree.get("spec")
    hosts = inside(spec, "hosts")
    if not isinstance(hosts, list) or not hosts:
        raise FormatError("spec.hosts has no hosts")
    result = Found("cluster file of k0sctl", [_machine(number, each) for number, each in enumerate(hosts)], notes=list(HONEST))
    version, config = inside(spec, "k0s", "version"), inside(spec, "k0s", "config", "spec")
    result.read("name", inside(tree, "metadata", "name"), "metadata.name")
    text = version.removeprefix("v").partition("+")[0].partition("-k0s")[0] if isinstance(version, str) else version
    result.read("kubernetes.version", text, "spec.k0s.version")
    result.miss("kubernetes.version", "spec.k0s.version is not given: k0sctl takes the newest")
    _endpoint(result, config)
    for key, name, default in (("pods", "podCIDR", PODS), ("services", "serviceCIDR", SERVICES)):
        result.read(f"networks.{key}", inside(config, "network", name), f"network.{name}")
        result.guess(f"networks.{key}", default, "k0s's default")
    result.read("kubernetes.domain", inside(config, "network", "clusterDomain"), "network.clusterDomain")
    result.read("kubernetes.cni", "none", f"k0s installs {inside(config, 'network', 'provider') or 'kuberouter'}")
    if inside(config, "storage", "type") not in {None, "etcd"}:
        result.notes.append("its data is not in etcd but in a database (storage.type)")
    return result


def _endpoint(result: Found, config: object) -> None:
    external = inside(config, "api", "externalAddress")
    if isinstance(external, str) and not is_address(external):
        result.read("endpoint.name", external, "api.externalAddress")
    else:
        result.read("endpoint.vip", external, "api.externalAddress")
    port = inside(config, "api", "port")
    result.read("endpoint.port", number(port), "api.port")
    instances = inside(config, "network", "controlPlaneLoadBalancing", "keepalived", "vrrpInstances")
    for each in instances if isinstance(instances, list) else []:
        addresses = inside(each, "virtualIPs")
        if isinstance(addresses, list) and addresses:
            result.guess("endpoint.vip", str(addresses[0]).partition("/")[0], "the first of k0s's own VRRP instances")
        result.guess("load_balancer.vrrp.id", number(inside(each, "virtualRouterID")), "virtualRouterID")
        result.guess("load_balancer.interface", inside(each, "interface"), "k0s's own VRRP instance")
    if instances:
        result.notes.append("k0s itself holds the VIP (controlPlaneLoadBalancing), not the keepalived of lb.*")
    result.miss("endpoint.vip", "api.externalAddress has no address")


def _machine(number: int, host: object) -> Machine:
    place = f"spec.hosts[{number}]"
    role = inside(host, "role")
    if not isinstance(role, str) or role not in ROLES:
        raise FormatError(f"{place}.role is not one of {', '.join(ROLES)}")
    kind = next((each for each in ("ssh", "openSSH") if inside(host, each) is not None), None)
    if kind is None:
        raise FormatError(f"{place} has no ssh and no openSSH: only these can be read")
    login = _jump(inside(host, kind), f"{place}.{kind}", "root" if kind == "ssh" else None)
    private, name = inside(host, "privateAddress"), inside(host, "hostname")
    address = private if is_address(private) else login.host
    chain = _bastions(inside(host, kind, "bastion"), f"{place}.{kind}.bastion")
    return Machine(
        name=Fact(name, "hostname") if isinstance(name, str) else _unnamed(login.host),
        address=_address(address, login.host),
        roles=list(ROLES[role]),
        alias=login.host,
        login=login,
        ways=Ways(chain),
    )


def _address(address: object, target: str) -> Fact:
    if not is_address(address):
        return Fact(None, f"the file has only the name {target}", "missing")
    if address != target and is_address(target):
        return Fact(address, f"privateAddress; k0sctl connects to {target}", "guessed")
    return Fact(address, "the file")


def _unnamed(target: str) -> Fact:
    if is_address(target):
        return Fact(None, f"{target} has no hostname in the file: what `hostname` prints on it", "missing")
    return Fact(target.lower(), "the address for ssh", "guessed")


def _bastions(bastion: object | None, place: str) -> tuple[Jump, ...]:
    """Return the bastions, the first one to be passed first: each may be behind another."""
    found: list[Jump] = []
    while isinstance(bastion, Mapping):
        found.insert(0, _jump(bastion, place, "root"))
        bastion, place = inside(bastion, "bastion"), f"{place}.bastion"
        if len(found) > MOST_BASTIONS:
            raise FormatError(f"more than {MOST_BASTIONS} bastions, one behind the other")
    return tuple(found)


def _jump(ssh: object | None, place: str, user: str | None) -> Jump:
    address = inside(ssh, "address")
    if isinstance(address, Unknown):
        raise FormatError(f"{place}.address is {address.why}")
    if not isinstance(address, str) or not HOST.fullmatch(address):
        raise FormatError(f"{place}.address is {'missing' if address is None else f'{quoted(str(address))}, no name of a host'}")
    given, port, key = inside(ssh, "user"), number(inside(ssh, "port")), inside(ssh, "keyPath")
    return Jump(
        address,
        given if isinstance(given, str) else user,
        port if isinstance(port, int) else None,
        key if isinstance(key, str) else None,
    )
