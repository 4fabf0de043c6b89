"""Certificates on a host: probes that read them and what each port serves, and commands that renew them.

https://kubernetes.io/docs/tasks/administer-cluster/kubeadm/kubeadm-certs/
https://kubernetes.io/docs/setup/best-practices/certificates/
"""

from __future__ import annotations

import json
import re
import warnings
from base64 import b64decode, b64encode
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from hashlib import sha256
from typing import Literal

from runbooks.commands.base import Answer, Command, Probe, script
from runbooks.inventory.model import Host, Site
from runbooks.inventory.words import literal

PKI = "/etc/kubernetes/pki"
KUBELET_PKI = "/var/lib/kubelet/pki"
ROOTS_COPY = "/root/.kube/config"
KEPT_COPIES = 3
KUBELET_DAYS = 365  # validity of a kubelet's client certificate, as the controller-manager signs it
# Which static pod serves a certificate on which port. The controller-manager and the scheduler listen on localhost only.
SERVED_BY = {6443: "kube-apiserver", 2379: "etcd", 2380: "etcd", 10257: "kube-controller-manager", 10259: "kube-scheduler"}
KUBELET_PORT = 10250
UNLISTED = "crictl ps; systemctl status containerd"  # what to look at when containers cannot be listed
# kubeadm's own CAs have the serial number 0, which RFC 5280 does not allow. A test holds that this cryptography still reads them.
warnings.filterwarnings("ignore", message="Parsed a serial number which wasn't positive")
VIP = 0  # stands for the VIP among the ports that were read

KeyState = Literal["ok", "differs", "missing"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Certificate:
    """A certificate in the file or kubeconfig ``path``. It is valid from ``starts`` to ``ends``, in seconds since 1970.

    fingerprint  its SHA-256, as openssl writes it; ``public`` is its public key (SubjectPublicKeyInfo, DER in base64).
    """

    path: str
    ends: int
    fingerprint: str
    starts: int = 0
    subject: str = ""
    public: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class HostCerts:
    """One host's certificates. Times are in seconds since 1970, by that host's clock.

    joined      whether its kubelet has been registered with a cluster.
    openssl     whether openssl is installed; without it there are no certificates here.
    served      the certificate on each port, and under `VIP` the one at the VIP.
    silent      why no certificate was seen on a port that was asked.
    keys        for each certificate in the PKI directory, whether its private key is there and matches it.
    changed     when each file was last written.
    containers  when each running container of kube-system was created, by name.
    unlisted    why its containers could not be listed, or "".
    manifests   the names of its static pods' manifests.
    parked      those of them that are set aside, where the kubelet does not see them.
    kubelet     its state in systemd, and since when it has been active.
    """

    clock: int
    joined: bool
    openssl: bool
    certificates: tuple[Certificate, ...] = ()
    served: dict[int, Certificate] = field(default_factory=dict)
    silent: dict[int, str] = field(default_factory=dict)
    keys: dict[str, KeyState] = field(default_factory=dict)
    changed: dict[str, int] = field(default_factory=dict)
    containers: dict[str, int] = field(default_factory=dict)
    unlisted: str = ""
    manifests: frozenset[str] = frozenset()
    parked: frozenset[str] = frozenset()
    kubelet: tuple[str, int] = ("unknown", 0)

    def at(self, path: str) -> Certificate | None:
        """Return the certificate at ``path``."""
        return next((each for each in self.certificates if each.path == path), None)


def look(site: Site, host: Host) -> Probe[HostCerts]:
    """Read the certificates that ``host`` has in files, those that its ports serve, and on an LB the one that the VIP serves."""
    variables = {"PORTS": _ports(site, host), "ENDPOINT": "", "CA": "", "CERT": "", "KEY": ""}
    command = script("certs-look", variables, timeout=60, after=("etcd-find", "certs-find"))
    return Probe(replace(command, shown="certs-look"), parse)


def _ports(site: Site, host: Host) -> list[str]:
    own = []
    if host.is_control_plane:
        local = {10257, 10259}
        own = [f"{port} {f'localhost:{port}' if port in local else _at(host, port)}" for port in SERVED_BY]
    if host.is_node:
        own.append(f"{KUBELET_PORT} {_at(host, KUBELET_PORT)}")
    if host.is_lb:
        own.append(f"{VIP} {literal(site.endpoint.vip)}:{site.endpoint.port}")
    return own


def _at(host: Host, port: int) -> str:
    return f"{literal(host.address)}:{port}"


def parse(answer: Answer) -> HostCerts:
    """Parse the "key value" lines of certs-look.sh. Raises ValueError when the clock is missing or a line is malformed."""
    lines = [line.split(" ", 1) for line in answer.stdout.splitlines() if " " in line]

    def texts(key: str) -> list[str]:
        return [rest for first, rest in lines if first == key]

    if not texts("clock"):
        raise ValueError("the answer has no clock")
    state, _, since = (texts("kubelet") or ["unknown 0"])[0].partition(" ")
    certificates = [each for text in texts("certificate") if (each := certificate(text))]
    first = {each.path: each for each in reversed(certificates)}
    served = {int(text.partition("\t")[0]): certificate(text) for text in texts("served")}
    silent = {int(port): why for port, _, why in (text.partition(" ") for text in texts("silent"))}
    return HostCerts(
        clock=int(texts("clock")[0]),
        joined="yes" in texts("joined"),
        openssl="yes" in texts("openssl"),
        certificates=tuple(certificates),
        served={port: each for port, each in served.items() if each},
        silent=silent | {port: "what it serves cannot be read" for port, each in served.items() if not each},
        keys={path: _key_state(public, first.get(path)) for public, path in (text.split(" ", 1) for text in texts("key"))},
        changed={path: int(at) for at, path in (text.split(" ", 1) for text in texts("changed"))},
        containers=_containers((texts("containers") or ["{}"])[0]),
        unlisted=(texts("unlisted") or [""])[0],
        manifests=frozenset((*texts("manifest"), *texts("parked"))),
        parked=frozenset(texts("parked")),
        kubelet=(state, int(since)),
    )


def certificate(text: str) -> Certificate | None:
    """Parse a path, a tab, and a certificate in base64; None when that is none, as in a file that somebody has spoiled."""
    path, _, encoded = text.partition("\t")
    return read(path, encoded)


def key_hash(encoded: str) -> str:
    """Return the SHA-256 of the public key in a certificate (in base64), as kubeadm pins a CA; "" when it is none."""
    found = read("ca", encoded)
    return sha256(b64decode(found.public)).hexdigest() if found else ""


def read(path: str, encoded: str) -> Certificate | None:
    """Return the certificate ``encoded`` (DER or PEM text, in base64) of the file ``path``; None when it is not a certificate."""
    from cryptography import x509  # noqa: PLC0415 - start-up time
    from cryptography.exceptions import UnsupportedAlgorithm  # noqa: PLC0415
    from cryptography.hazmat.primitives.hashes import SHA256  # noqa: PLC0415
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat  # noqa: PLC0415

    try:
        content = b64decode(encoded, validate=True)
        load = x509.load_pem_x509_certificate if b"-----BEGIN" in content else x509.load_der_x509_certificate
        found = load(content)
        public = found.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        subject = found.subject.rfc4514_string()
    except (ValueError, x509.InvalidVersion, UnsupportedAlgorithm):
        return None
    starts, ends = (int(each.timestamp()) for each in (found.not_valid_before_utc, found.not_valid_after_utc))
    return Certificate(
        path=path,
        ends=ends,
        fingerprint=found.fingerprint(SHA256()).hex(":").upper(),
        starts=starts,
        subject=subject,
        public=b64encode(public).decode(),
    )


def _key_state(public: str, found: Certificate | None) -> KeyState:
    """Return whether the private key whose public one is ``public`` belongs to a certificate."""
    if public == "missing":
        return "missing"
    return "ok" if found and public == found.public else "differs"


def _containers(text: str) -> dict[str, int]:
    """Parse `crictl ps -o json`: when each container was created, by name; the oldest of several with the same name."""
    found: dict[str, int] = {}
    try:
        for each in json.loads(text).get("containers") or ():
            name, since = each["metadata"]["name"], int(each["createdAt"]) // 1_000_000_000
            found[name] = min(since, found.get(name, since))
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise ValueError(f"this is not a list of containers: {error!r}") from None
    return found


# ---- renewing


def renew() -> Command:
    """Renew every certificate that kubeadm manages on this host, but no CA. The previous ones are copied first (`parse_copy`)."""
    return replace(script("certs-renew", {"KEEP": str(KEPT_COPIES)}, timeout=180), shown="kubeadm certs renew all")


def parse_copy(answer: Answer) -> str:
    """Return the directory in which the previous certificates are kept, or ""."""
    return next((line.removeprefix("copy ") for line in answer.stdout.splitlines() if line.startswith("copy ")), "")


def request(node: str) -> Command:
    """Make a private key for the kubelet of ``node`` on its own host, and print the certificate signing request for it."""
    return replace(
        script("certs-request", {"NODE": _node(node)}), shown=f"openssl req -subj /O=system:nodes/CN=system:node:{node}"
    )


def sign(csr: str, node: str, days: int = KUBELET_DAYS) -> Command:
    """Sign ``csr``, the request of the kubelet of ``node``, on a host that has the CA's key; print the certificate. Valid for ``days``."""
    command = script("certs-sign", {"REQUEST": csr, "NODE": _node(node), "DAYS": str(days)})
    return replace(command, shown=f"openssl x509 -req -CA {PKI}/ca.crt -CAkey {PKI}/ca.key -days {days}")


def install_client_certificate(signed: str) -> Command:
    """Install ``signed`` as the kubelet's client certificate, and restart the kubelet."""
    command = script("certs-kubelet", {"ACTION": "client", "CERTIFICATE": signed}, timeout=120)
    return replace(command, shown=f"write {KUBELET_PKI}/kubelet-client-current.pem; systemctl restart kubelet")


def renew_serving_certificate() -> Command:
    """Restart the kubelet without its self-signed serving certificate, so that it makes a new one."""
    command = script("certs-kubelet", {"ACTION": "serving", "CERTIFICATE": ""}, timeout=120)
    return replace(command, shown=f"mv {KUBELET_PKI}/kubelet.crt kubelet.crt.before; systemctl restart kubelet")


def pem(answer: Answer | None, kinds: Iterable[str] = ("CERTIFICATE", "CERTIFICATE REQUEST")) -> str:
    """Return the first PEM block of one of ``kinds``; "" when ``answer`` is None (a plan). Raises ValueError when there is no block."""
    if answer is None:
        return ""
    for kind in kinds:
        if found := re.search(rf"-----BEGIN {kind}-----\n[A-Za-z0-9+/=\n]+-----END {kind}-----", answer.stdout):
            return found[0]
    raise ValueError("openssl printed neither a certificate nor a signing request")


def _node(name: str) -> str:
    if not re.fullmatch(r"[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?", name):
        raise ValueError(f"{name!r} is not the name of a node")
    return name
