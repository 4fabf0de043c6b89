"""Checks of the ports that one host may not use twice. Pure. A check uses only values that are valid by themselves."""

from collections.abc import Iterator
from typing import Final

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
LB: Final = "load_balancer"


def lb_ports_differ(draft: Draft) -> Findings:
    """Everything that listens on an LB needs its own port; only the ingress front ends may share the API's, on a VIP of their own."""
    apart = any("ingress" in vip.serves for vip in draft.vips)
    taken: dict[int, str] = {port: key for key, port in ssh_ports(draft, "lb")}
    for key, port in listeners(draft):
        other = taken.setdefault(port, key)
        if other != key and not (apart and other == "endpoint.port" and key.startswith(f"{LB}.ingress.")):
            yield Finding(key, f"port {port} is already used by {other}: on an LB each needs its own port")


def listeners(draft: Draft) -> Iterator[tuple[str, int]]:
    """Yield the key and the port of everything that HAProxy listens on."""
    found = [("endpoint.port", draft.number("endpoint.port"))]
    found += [(f"{LB}.{name}", draft.number(f"{LB}.{name}")) for name in ("stats_port", "metrics_port", "health_port")]
    found += [(f"{LB}.ingress.{name}", port) for name, port in (("http", 80), ("https", 443)) if _on(draft, name)]
    return ((key, port) for key, port in found if port is not None)


def ports_of_kubernetes_are_free(draft: Draft) -> Findings:
    """Where an LB is also a node, HAProxy needs other ports than Kubernetes; so does sshd on every node, and the ingress controller."""
    for key, port in listeners(draft):
        found = of_kubernetes(draft, port, "lb")
        if found and key not in draft.blamed:
            host, what = found
            fix = "use separate hosts, or another port" + (" such as 8443" if key == "endpoint.port" else "")
            yield Finding(key, f"port {port} is {what}, and {host} is an lb and a node: {fix}")
    for role in ("control-plane", "worker"):
        for key, port in dict(ssh_ports(draft, role)).items():
            found = of_kubernetes(draft, port, role)
            if found and key not in draft.blamed:
                draft.blamed.add(key)
                yield Finding(key, f"port {port} is {found[1]} on {found[0]}: sshd needs another")
    for name in ("http", "https"):
        key = f"{LB}.ingress.{name}_node_port"
        number = draft.number(key) if _on(draft, name) else None
        found = of_kubernetes(draft, number, "worker") if number is not None else None
        if found and key not in draft.blamed:
            yield Finding(key, f"port {number} is {found[1]} on {found[0]}: the ingress controller cannot listen there")


def of_kubernetes(draft: Draft, port: int, role: str) -> tuple[DraftHost, str] | None:
    """Return the first host with ``role`` on which Kubernetes uses ``port``, and for what."""
    for host in draft.with_role(role):
        roles = set(host.roles or ())
        if "control-plane" in roles and port in CONTROL_PLANE_PORTS:
            return host, CONTROL_PLANE_PORTS[port]
        if roles & {"control-plane", "worker"} and port in NODE_PORTS:
            return host, NODE_PORTS[port]
    return None


def ssh_ports(draft: Draft, role: str) -> Iterator[tuple[str, int]]:
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


CHECKS: Final = (lb_ports_differ, ports_of_kubernetes_are_free, ingress_node_ports_differ)
