"""Which certificates have to be renewed, which programs to be restarted for it, and what stands in the way. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from runbooks.commands.certs import KUBELET_PKI, KUBELET_PORT, PKI, SERVED_BY, Certificate, HostCerts
from runbooks.commands.kubectl import ADMIN_CONF
from runbooks.commands.node import STATIC_PODS
from runbooks.inventory.model import Host, Site
from runbooks.text import DAY, counted

DAYS = 30  # left: what is due
CA_DAYS = 180  # a CA's rotation wants to be planned, and reaches every client
LAST_PART = 0.1  # of its life: the kubelet should have renewed its certificate when 10 to 30 % of it were left
CAS = (f"{PKI}/ca.crt", f"{PKI}/front-proxy-ca.crt", f"{PKI}/etcd/ca.crt")
SERVING = f"{PKI}/apiserver.crt"
ETCD_SERVING, ETCD_PEER = f"{PKI}/etcd/server.crt", f"{PKI}/etcd/peer.crt"
ETCD_FILES = (ETCD_SERVING, ETCD_PEER, f"{PKI}/etcd/healthcheck-client.crt", f"{PKI}/apiserver-etcd-client.crt")
CONTROLLERS = {
    name: f"/etc/kubernetes/{name.removeprefix('kube-')}.conf" for name in ("kube-controller-manager", "kube-scheduler")
}
SUPER_ADMIN = "/etc/kubernetes/super-admin.conf"  # from 1.29 on, where kubeadm init was run
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


def days_left(certificate: Certificate, clock: int) -> int:
    """Return the whole days that a certificate is valid for; negative when it has ended."""
    return (certificate.ends - clock) // DAY


def due(certificate: Certificate, clock: int, days: int) -> bool:
    """Whether it ends within ``days``."""
    return certificate.ends - clock < days * DAY


def short(path: str) -> str:
    """Return a path as people call it."""
    return path.removeprefix("/etc/kubernetes/").removeprefix(f"{KUBELET_PKI}/")


def ending(certificate: Certificate, clock: int) -> str:
    """Say when it ends."""
    days = days_left(certificate, clock)
    return f"ended {counted(-days, 'day')} ago" if days < 0 else f"ends in {counted(days, 'day')}"


def expected(site: Site) -> frozenset[str]:
    """Return the certificates that kubeadm has made on every control plane host."""
    if site.kubernetes.etcd == "external":  # the API server's way to it is its owner's business
        return MANAGED - {SUPER_ADMIN, *ETCD_FILES}
    return MANAGED - {SUPER_ADMIN}


def authorities(site: Site) -> tuple[str, ...]:
    """Return the CAs that kubeadm has made."""
    return CAS[:2] if site.kubernetes.etcd == "external" else CAS


def pods(site: Site) -> tuple[str, ...]:
    """Return the static pods of a control plane host."""
    return tuple(name for name in STATIC_PODS if name != "etcd" or site.kubernetes.etcd == "stacked")


# ---- what stands in the way


def refusal(site: Site, seen: HostCerts) -> str:
    """Say why kubeadm cannot renew the certificates of this control plane host, or ""."""
    if not seen.joined and not seen.certificates:
        return "it is in no cluster"
    if not seen.openssl:
        return "openssl is not installed there, so its certificates cannot be seen"
    for path in authorities(site):
        authority = seen.at(path)
        if not authority:
            return f"there is no {path}: kubeadm signs with it"
        if due(authority, seen.clock, 0):
            return f"{short(path)} itself has ended: nothing that it signs is valid; a CA is replaced by hand"
        if seen.keys.get(path) != "ok":
            return f"{short(path)} is an external CA: its key is not there, so kubeadm cannot sign with it"
    lost = sorted(short(path) for path in expected(site) if not seen.at(path))
    return f"there is no certificate in {', '.join(lost)}: kubeadm renews only what is there" if lost else ""


# ---- what has to be done


def renewal(site: Site, seen: HostCerts, days: int) -> str:
    """Say why kubeadm has to renew the certificates of this control plane host, or ""."""
    wanted = [each for each in seen.certificates if each.path in expected(site) | {SUPER_ADMIN}]
    first = min((each for each in wanted if due(each, seen.clock, days)), key=lambda each: each.ends, default=None)
    if first:
        return f"{short(first.path)} {ending(first, seen.clock)}"
    torn = next((each for each in wanted if seen.keys.get(each.path, "ok") != "ok"), None)
    return f"the key of {short(torn.path)} is not its own" if torn else ""


def stale(site: Site, seen: HostCerts, days: int) -> dict[str, str]:
    """Return the static pods that have to be restarted, and why: what they serve or read is not what is in the files now."""
    found = {}
    for name in pods(site):
        reasons = [*_running(name, seen), *_serving(site, name, seen, days)]
        if reasons:
            found[name] = reasons[0]
    return found


def _running(name: str, seen: HostCerts) -> Iterator[str]:
    if name not in seen.containers:
        yield ABSENT
        return
    for path in READ_BY[name]:
        if seen.changed.get(path, 0) > seen.containers[name]:
            yield f"runs since before {short(path)} was renewed"


def _serving(site: Site, name: str, seen: HostCerts, days: int) -> Iterator[str]:
    for port in (port for port, server in SERVED_BY.items() if server == name):
        if reason := other_served(site, seen, port):
            yield reason
        served = seen.served.get(port)
        if served and port not in FILE_OF and due(served, seen.clock, days):
            yield f"its own certificate for port {port} {ending(served, seen.clock)}"


def other_served(site: Site, seen: HostCerts, port: int) -> str:
    """Say that another certificate is served on ``port`` than the one in its file, or ""."""
    served, file = seen.served.get(port), seen.at(FILE_OF.get(port, ""))
    own = port == 6443 and "tls-cert-file" in site.kubernetes.extra_args.api_server  # then another one is meant to be
    signed = seen.at(KUBELET_SIGNED) if port == KUBELET_PORT else None
    if own or not served or not file or served.fingerprint in {file.fingerprint, signed.fingerprint if signed else ""}:
        return ""
    return f"port {port} serves another certificate than {short(file.path)}; that one {ending(served, seen.clock)}"


def unproven(site: Site, seen: HostCerts) -> str:
    """Say on which port the certificate in the file is not served (also: nothing is), or ""."""
    for port, name in SERVED_BY.items():
        if name in pods(site) and port in FILE_OF:
            if port not in seen.served:
                return f"nothing is served on port {port} yet"
            if reason := other_served(site, seen, port):
                return reason
    return ""


def reads_anew(seen: HostCerts) -> bool:
    """Whether etcd, which reads its certificates at every handshake, already serves those in its files.

    https://etcd.io/docs/v3.5/op-guide/security/
    """
    ports = [port for port, name in SERVED_BY.items() if name == "etcd"]
    pairs = [(seen.served.get(port), seen.at(FILE_OF[port])) for port in ports]
    return all(served and file and served.fingerprint == file.fingerprint for served, file in pairs)


# ---- the kubelet's own


def kubelets(seen: HostCerts) -> Certificate | None:
    """Return the kubelet's client certificate: a file that it renews, or (before the first time) in its kubeconfig."""
    return seen.at(KUBELET_CONF) or seen.at(KUBELET_CLIENT)


def overdue(certificate: Certificate, clock: int, days: int) -> bool:
    """Whether a certificate that a kubelet renews should have been renewed by now."""
    life = certificate.ends - certificate.starts
    return certificate.ends - clock < min(days * DAY, LAST_PART * life)


def lost_identity(seen: HostCerts, days: int) -> str:
    """Say why the kubelet needs a new client certificate from us, or ""."""
    mine = kubelets(seen)
    if not mine:
        return "it has none"
    return ending(mine, seen.clock) if overdue(mine, seen.clock, days) else ""


def old_serving(seen: HostCerts, days: int) -> str:
    """Say why the kubelet should make a new self-signed serving certificate, or "". It made it when it first started, for a year."""
    mine = seen.at(KUBELET_SERVING)
    if not mine or seen.at(KUBELET_SIGNED):
        return ""
    return ending(mine, seen.clock) if due(mine, seen.clock, days) else ""


def node_name(site: Site, host: Host, seen: HostCerts) -> str:
    """Return the name by which the cluster knows ``host``: that of its kubelet's last certificate, unless it is another host's."""
    mine = kubelets(seen)
    words = dict(part.partition("=")[::2] for part in mine.subject.split(",")) if mine else {}
    name = words.get("CN", "").removeprefix("system:node:")
    return name if name and name not in {each.name for each in site.hosts} else host.name
