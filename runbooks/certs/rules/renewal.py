"""Which certificates have to be renewed, which programs restarted for it, and what prevents that. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from runbooks.commands.certs import KUBELET_PKI, KUBELET_PORT, PKI, SERVED_BY, Certificate, HostCerts
from runbooks.commands.kubectl import ADMIN_CONF
from runbooks.commands.node import STATIC_PODS
from runbooks.errors import RunbookError
from runbooks.inventory.model import Host, Site
from runbooks.rules.certs import ending, short
from runbooks.text import DAY, listed

CertsByHost = Mapping[Host, HostCerts | RunbookError]

DAYS = 30  # a certificate that expires within so many days is due
CA_DAYS = 180  # the same for a CA: its rotation has to be planned, and reaches every client
LAST_PART = 0.1  # of a certificate's lifetime: the kubelet renews its own when 10 to 30 % of it are left
CAS = (f"{PKI}/ca.crt", f"{PKI}/front-proxy-ca.crt", f"{PKI}/etcd/ca.crt")
SERVING = f"{PKI}/apiserver.crt"
ETCD_SERVING, ETCD_PEER = f"{PKI}/etcd/server.crt", f"{PKI}/etcd/peer.crt"
ETCD_FILES = (ETCD_SERVING, ETCD_PEER, f"{PKI}/etcd/healthcheck-client.crt", f"{PKI}/apiserver-etcd-client.crt")
CONTROLLERS = {
    name: f"/etc/kubernetes/{name.removeprefix('kube-')}.conf" for name in ("kube-controller-manager", "kube-scheduler")
}
SUPER_ADMIN = "/etc/kubernetes/super-admin.conf"  # since 1.29, on the host where kubeadm init was run
API_FILES = (SERVING, f"{PKI}/apiserver-kubelet-client.crt", f"{PKI}/front-proxy-client.crt", f"{PKI}/apiserver-etcd-client.crt")
READ_BY = {
    "etcd": (ETCD_SERVING, ETCD_PEER),
    "kube-apiserver": API_FILES,
    **{name: (path,) for name, path in CONTROLLERS.items()},
}
MANAGED = frozenset({*API_FILES, *ETCD_FILES, *CONTROLLERS.values(), ADMIN_CONF, SUPER_ADMIN})
KUBELET_CLIENT, KUBELET_CONF = f"{KUBELET_PKI}/kubelet-client-current.pem", "/etc/kubernetes/kubelet.conf"
KUBELET_SERVING, KUBELET_SIGNED = f"{KUBELET_PKI}/kubelet.crt", f"{KUBELET_PKI}/kubelet-server-current.pem"
ABSENT = "does not run"
FILE_OF = {6443: SERVING, 2379: ETCD_SERVING, 2380: ETCD_PEER, KUBELET_PORT: KUBELET_SERVING}


def answered(found: CertsByHost) -> dict[Host, HostCerts]:
    """Return the hosts that could be read."""
    return {host: certs for host, certs in found.items() if isinstance(certs, HostCerts)}


def fingerprints(hosts: Iterable[HostCerts], path: str) -> set[str]:
    """Return the fingerprints of the certificates that ``hosts`` have at ``path``."""
    return {each.fingerprint for host in hosts if (each := host.at(path))}


def due(certificate: Certificate, clock: int, days: int) -> bool:
    """Whether a certificate expires within ``days``, or has expired."""
    return certificate.ends - clock < days * DAY


def expected(site: Site) -> frozenset[str]:
    """Return the paths of the certificates that kubeadm makes on every control plane host."""
    if site.kubernetes.etcd == "external":  # its administrator also makes the API server's client certificate
        return MANAGED - {SUPER_ADMIN, *ETCD_FILES}
    return MANAGED - {SUPER_ADMIN}


def cas(site: Site) -> tuple[str, ...]:
    """Return the paths of the CAs that kubeadm makes."""
    return CAS[:2] if site.kubernetes.etcd == "external" else CAS


def pods(site: Site) -> tuple[str, ...]:
    """Return the names of a control plane host's static pods."""
    return tuple(name for name in STATIC_PODS if name != "etcd" or site.kubernetes.etcd == "stacked")


# ---- what prevents a renewal


def refusal(site: Site, seen: HostCerts) -> str:
    """Return why kubeadm cannot renew the certificates of this control plane host, or ""."""
    if not seen.joined and not seen.certificates:
        return "it is in no cluster"
    if not seen.openssl:
        return "openssl is not installed there, so its certificates cannot be seen"
    for path in cas(site):
        ca = seen.at(path)
        if not ca:
            return f"there is no {path}: kubeadm signs with it"
        if due(ca, seen.clock, 0):
            return f"{short(path)} itself has ended: nothing that it signs is valid, and a CA has to be replaced by hand"
        if seen.keys.get(path) != "ok":
            return f"{short(path)} is an external CA: its key is not there, so kubeadm cannot sign with it"
    missing = sorted(short(path) for path in expected(site) if not seen.at(path))
    return f"there is no certificate in {listed(missing)}: kubeadm renews only what is there" if missing else ""


# ---- what has to be done


def due_for_renewal(site: Site, seen: HostCerts, days: int) -> str:
    """Return why kubeadm has to renew the certificates of this control plane host, or ""."""
    wanted = [each for each in seen.certificates if each.path in expected(site) | {SUPER_ADMIN}]
    first = min((each for each in wanted if due(each, seen.clock, days)), key=lambda each: each.ends, default=None)
    if first:
        return f"{short(first.path)} {ending(first, seen.clock)}"
    unmatched = next((each for each in wanted if seen.keys.get(each.path, "ok") != "ok"), None)
    return f"the private key of {short(unmatched.path)} is missing or does not match it" if unmatched else ""


def renewed(before: HostCerts, now: HostCerts) -> bool:
    """Whether kubeadm has renewed the certificates of this control plane host between the two readings."""
    return any(before.at(path) != now.at(path) for path in MANAGED)


def started_by_kubelet(seen: HostCerts, stale: Mapping[str, str]) -> bool:
    """Whether all of ``stale`` only do not run, and the kubelet of this host can start each of them again by itself."""
    return set(stale.values()) <= {ABSENT} and seen.kubelet[0] == "active" and not seen.parked & set(stale)


def stale(site: Site, seen: HostCerts, days: int) -> dict[str, str]:
    """Return the static pods that have to be restarted, and why: they do not use the certificates that are in the files now."""
    found = {}
    for name in pods(site):
        reasons = [*_running(name, seen), *_serving(site, name, seen, days)]
        if reasons:
            found[name] = reasons[0]
    return found


def _running(name: str, seen: HostCerts) -> Iterator[str]:
    if seen.unlisted:  # nothing is known of it
        return
    if name not in seen.containers:
        yield ABSENT
        return
    for path in READ_BY[name]:
        if seen.changed.get(path, 0) > seen.containers[name]:
            yield f"has been running since before {short(path)} was renewed"


def _serving(site: Site, name: str, seen: HostCerts, days: int) -> Iterator[str]:
    for port in (port for port, server in SERVED_BY.items() if server == name):
        if reason := other_served(site, seen, port):
            yield reason
        served = seen.served.get(port)
        if served and port not in FILE_OF and due(served, seen.clock, days):
            yield f"its own certificate for port {port} {ending(served, seen.clock)}"


def other_served(site: Site, seen: HostCerts, port: int) -> str:
    """Return "" when ``port`` serves the certificate in its file, or nothing; else which certificate differs from its file."""
    served, file = seen.served.get(port), seen.at(FILE_OF.get(port, ""))
    own = port == 6443 and "tls-cert-file" in site.kubernetes.extra_args.api_server  # then the API server serves that one
    signed = seen.at(KUBELET_SIGNED) if port == KUBELET_PORT else None
    if own or not served or not file or served.fingerprint in {file.fingerprint, signed.fingerprint if signed else ""}:
        return ""
    return f"port {port} serves another certificate than {short(file.path)}; the served one {ending(served, seen.clock)}"


def not_yet_served(site: Site, seen: HostCerts) -> str:
    """Return which port does not serve the certificate in its file (or serves nothing), or ""."""
    for port, name in SERVED_BY.items():
        if name in pods(site) and port in FILE_OF:
            if port not in seen.served:
                return f"nothing is served on port {port} yet"
            if reason := other_served(site, seen, port):
                return reason
    return ""


def etcd_reloaded(seen: HostCerts) -> bool:
    """Whether etcd already serves the certificates in its files. It reads them again at every TLS handshake.

    https://etcd.io/docs/v3.5/op-guide/security/
    """
    ports = [port for port, name in SERVED_BY.items() if name == "etcd"]
    pairs = [(seen.served.get(port), seen.at(FILE_OF[port])) for port in ports]
    return all(served and file and served.fingerprint == file.fingerprint for served, file in pairs)


# ---- the kubelet's certificates


def kubelet_client(seen: HostCerts) -> Certificate | None:
    """Return the kubelet's client certificate: in its kubeconfig until the kubelet first renews it, then in a file of its own."""
    return seen.at(KUBELET_CONF) or seen.at(KUBELET_CLIENT)


def overdue(certificate: Certificate, clock: int, days: int) -> bool:
    """Whether a certificate that the kubelet renews should have been renewed by now: ``days``, or a tenth of its lifetime, are left."""
    lifetime = certificate.ends - certificate.starts
    return certificate.ends - clock < min(days * DAY, LAST_PART * lifetime)


def needs_client_certificate(seen: HostCerts, days: int) -> str:
    """Return why the kubelet cannot renew its client certificate by itself any more, or ""."""
    current = kubelet_client(seen)
    if not current:
        return "it has none"
    return ending(current, seen.clock) if overdue(current, seen.clock, days) else ""


def needs_serving_certificate(seen: HostCerts, days: int) -> str:
    """Return why the kubelet should make a new self-signed serving certificate, or "".

    The kubelet makes it at its first start, valid for a year, and never renews it.
    """
    current = seen.at(KUBELET_SERVING)
    if not current or seen.at(KUBELET_SIGNED):
        return ""
    return ending(current, seen.clock) if due(current, seen.clock, days) else ""


def node_name(site: Site, host: Host, seen: HostCerts) -> str:
    """Return the node name of ``host``: the one in its kubelet's certificate, unless that is another host's name; else the host's name."""
    current = kubelet_client(seen)
    words = dict(part.partition("=")[::2] for part in current.subject.split(",")) if current else {}
    name = words.get("CN", "").removeprefix("system:node:")
    return name if name and name not in {each.name for each in site.hosts} else host.name
