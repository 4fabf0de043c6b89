"""Checks between the values of a site file. Pure. A check uses only values that are valid by themselves."""

from collections.abc import Callable, Iterator
from typing import Final

from runbooks.inventory import checks_networks, checks_values
from runbooks.inventory.draft import Draft, DraftHost
from runbooks.inventory.problems import Finding

Findings = Iterator[Finding]
API_PORT: Final = 6443  # where kubeadm makes every API server listen
# https://kubernetes.io/docs/reference/networking/ports-and-protocols/, and the ports for probes and metrics on localhost
NODE_PORTS: Final = {
    10248: "the kubelet's",
    10249: "kube-proxy's",
    10250: "the kubelet's",
    10256: "kube-proxy's",
}
CONTROL_PLANE_PORTS: Final = {
    API_PORT: "the API server's",
    2379: "etcd's",
    2380: "etcd's",
    2381: "etcd's",
    10257: "kube-controller-manager's",
    10259: "kube-scheduler's",
}
LB = "load_balancer"


def findings(draft: Draft) -> Findings:
    """Yield everything that is wrong between the values of ``draft``.

    A check leaves out what only follows from a key that is reported already (`Draft.blamed`), so the order of the checks counts.
    """
    for check in CHECKS:
        for one in check(draft):
            if one.severity == "error":
                draft.blamed.add(one.key)
            yield one


def names_are_unique(draft: Draft) -> Findings:
    """Every host needs its own name."""
    first: dict[str, DraftHost] = {}
    for host in draft.hosts:
        if host.name is not None and first.setdefault(host.name, host) is not host:
            yield Finding(f"{host.key}.name", f"{host.name} is already the name of the host on line {first[host.name].line}")


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


def lb_ports_differ(draft: Draft) -> Findings:
    """Everything that listens on an LB needs its own port."""
    taken: dict[int, str] = {port: key for key, port in _ssh_ports(draft, "lb")}
    for key, port in _listeners(draft):
        other = taken.setdefault(port, key)
        if other != key:
            yield Finding(key, f"port {port} is already used by {other}: on an LB each needs its own port")


def _listeners(draft: Draft) -> Iterator[tuple[str, int]]:
    """Yield the key and the port of everything that HAProxy listens on."""
    listeners = [("endpoint.port", draft.number("endpoint.port"))]
    listeners += [(f"{LB}.{name}", draft.number(f"{LB}.{name}")) for name in ("stats_port", "metrics_port", "health_port")]
    listeners += [(f"{LB}.ingress.{name}", port) for name, port in (("http", 80), ("https", 443)) if _on(draft, name)]
    return ((key, port) for key, port in listeners if port is not None)


def ports_of_kubernetes_are_free(draft: Draft) -> Findings:
    """Where an LB is also a node, HAProxy needs other ports than Kubernetes; so does sshd on every node, and the ingress controller."""
    for key, port in _listeners(draft):
        found = _kubernetes(draft, port, "lb")
        if found and key not in draft.blamed:
            host, what = found
            fix = "use separate hosts, or another port" + (" such as 8443" if key == "endpoint.port" else "")
            yield Finding(key, f"port {port} is {what}, and {host} is an lb and a node: {fix}")
    for role in ("control-plane", "worker"):
        for key, port in dict(_ssh_ports(draft, role)).items():
            found = _kubernetes(draft, port, role)
            if found and key not in draft.blamed:
                draft.blamed.add(key)
                yield Finding(key, f"port {port} is {found[1]} on {found[0]}: sshd needs another")
    for name in ("http", "https"):
        key = f"{LB}.ingress.{name}_node_port"
        number = draft.number(key) if _on(draft, name) else None
        found = _kubernetes(draft, number, "worker") if number is not None else None
        if found and key not in draft.blamed:
            yield Finding(key, f"port {number} is {found[1]} on {found[0]}: the ingress controller cannot listen there")


def _kubernetes(draft: Draft, port: int, role: str) -> tuple[DraftHost, str] | None:
    """Return the first host with ``role`` on which Kubernetes uses ``port``, and for what."""
    for host in draft.with_role(role):
        roles = set(host.roles or ())
        if "control-plane" in roles and port in CONTROL_PLANE_PORTS:
            return host, CONTROL_PLANE_PORTS[port]
        if roles & {"control-plane", "worker"} and port in NODE_PORTS:
            return host, NODE_PORTS[port]
    return None


def _ssh_ports(draft: Draft, role: str) -> Iterator[tuple[str, int]]:
    """Yield the key and the value of the SSH port of each host with ``role``."""
    for host in draft.with_role(role):
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
    *checks_values.CHECKS,
    *checks_networks.CHECKS,
    roles_are_given,
    enough_of_each_role,
    priorities_rank_the_lbs,
    lb_ports_differ,
    ports_of_kubernetes_are_free,
    ingress_node_ports_differ,
    adverts_fit_the_version,
)
