"""Certificates on a host: what there are, who serves which, and the words that renew them.

https://kubernetes.io/docs/tasks/administer-cluster/kubeadm/kubeadm-certs/
https://kubernetes.io/docs/setup/best-practices/certificates/
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Literal

from runbooks.commands.base import Answer, Command, Probe, script
from runbooks.inventory.model import Host, Site
from runbooks.inventory.words import literal

PKI = "/etc/kubernetes/pki"
KUBELET_PKI = "/var/lib/kubelet/pki"
ROOTS_COPY = "/root/.kube/config"
KEPT_COPIES = 3
KUBELET_DAYS = 365  # of a kubelet's client certificate: what the controller-manager gives it, too
# What a control plane host serves with a certificate; controller-manager and scheduler serve their own host only.
SERVED_BY = {6443: "kube-apiserver", 2379: "etcd", 2380: "etcd", 10257: "kube-controller-manager", 10259: "kube-scheduler"}
KUBELET_PORT = 10250
VIP = 0  # stands for the VIP among the ports that were asked

KeyState = Literal["ok", "differs", "missing"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Certificate:
    """A certificate at ``path``, the file or kubeconfig it is in. ``starts`` and ``ends`` are seconds since 1970."""

    path: str
    ends: int
    fingerprint: str
    starts: int = 0
    subject: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class HostCerts:
    """Everything about one host's certificates. Times are seconds since 1970, by that host's clock.

    served      by port; under `VIP` what is served there.
    keys        of each certificate in the PKI: whether the key beside it is there and is its own.
    changed     when each file was last written.
    containers  since when the control plane's running containers are there, by name.
    kubelet     its state in systemd's words, and since when it is active.
    """

    clock: int
    joined: bool
    openssl: bool
    certificates: tuple[Certificate, ...] = ()
    served: dict[int, Certificate] = field(default_factory=dict)
    keys: dict[str, KeyState] = field(default_factory=dict)
    changed: dict[str, int] = field(default_factory=dict)
    containers: dict[str, int] = field(default_factory=dict)
    manifests: frozenset[str] = frozenset()
    kubelet: tuple[str, int] = ("unknown", 0)

    def at(self, path: str) -> Certificate | None:
        """Return the certificate at ``path``."""
        return next((each for each in self.certificates if each.path == path), None)


def look(site: Site, host: Host) -> Probe[HostCerts]:
    """See all certificates of ``host``: those it has, and those that are served there, or at the VIP when it is an LB."""
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
    """Read lines of ``key value``. Raises ValueError when the clock is missing, or something is not as certs-look writes it."""
    lines = [line.split(" ", 1) for line in answer.stdout.splitlines() if " " in line]

    def texts(key: str) -> list[str]:
        return [rest for first, rest in lines if first == key]

    if not texts("clock"):
        raise ValueError("it said nothing about its clock")
    state, _, since = (texts("kubelet") or ["unknown 0"])[0].partition(" ")
    served = [certificate(text) for text in texts("served")]
    return HostCerts(
        clock=int(texts("clock")[0]),
        joined="yes" in texts("joined"),
        openssl="yes" in texts("openssl"),
        certificates=tuple(certificate(text) for text in texts("certificate")),
        served={int(each.path): each for each in served},
        keys={path: _key_state(state) for state, path in (text.split(" ", 1) for text in texts("key"))},
        changed={path: int(at) for at, path in (text.split(" ", 1) for text in texts("changed"))},
        containers=_containers((texts("containers") or ["{}"])[0]),
        manifests=frozenset(texts("manifest")),
        kubelet=(state, int(since)),
    )


def certificate(text: str) -> Certificate:
    """Read "PATH", and what openssl says of the certificate there, parted by tabs. Raises ValueError when a date is none."""
    path, *facts = text.split("\t")
    said = {key.lower(): value.strip() for key, _, value in (fact.partition("=") for fact in facts)}
    starts = _moment(said["notbefore"]) if "notbefore" in said else 0
    return Certificate(
        path=path,
        ends=_moment(said.get("notafter", "")),
        fingerprint=said.get("sha256 fingerprint", ""),
        starts=starts,
        subject=said.get("subject", ""),
    )


def _moment(text: str) -> int:
    return int(datetime.strptime(text, "%b %d %H:%M:%S %Y GMT").replace(tzinfo=UTC).timestamp())


def _key_state(text: str) -> KeyState:
    match text:
        case "ok" | "differs" | "missing":
            return text
    raise ValueError(f"{text!r} is said of no key")


def _containers(text: str) -> dict[str, int]:
    """Read `crictl ps -o json`: since when each container is there, by name; the oldest of several of the same name."""
    found: dict[str, int] = {}
    try:
        for each in json.loads(text).get("containers") or ():
            name, since = each["metadata"]["name"], int(each["createdAt"]) // 1_000_000_000
            found[name] = min(since, found.get(name, since))
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise ValueError(f"this is no list of containers: {error!r}") from None
    return found


# ---- renewing


def renew() -> Command:
    """`kubeadm certs renew all`: every certificate that kubeadm manages on this host, but no CA. What was there is kept aside."""
    return replace(script("certs-renew", {"KEEP": str(KEPT_COPIES)}, timeout=180), shown="kubeadm certs renew all")


def parse_aside(answer: Answer) -> str:
    """Return where what was there before is kept, or ""."""
    return next((line.removeprefix("aside ") for line in answer.stdout.splitlines() if line.startswith("aside ")), "")


def request(node: str) -> Command:
    """Make a key for the kubelet of ``node``, on its own host, and print the request for its certificate."""
    return replace(
        script("certs-request", {"NODE": _node(node)}), shown=f"openssl req -subj /O=system:nodes/CN=system:node:{node}"
    )


def sign(wanted: str, node: str, days: int = KUBELET_DAYS) -> Command:
    """Sign the request ``wanted`` of the kubelet of ``node``, on a host that has the CA's key, and print the certificate."""
    command = script("certs-sign", {"REQUEST": wanted, "NODE": _node(node), "DAYS": str(days)})
    return replace(command, shown=f"openssl x509 -req -CA {PKI}/ca.crt -CAkey {PKI}/ca.key -days {days}")


def identity(signed: str) -> Command:
    """Give the kubelet its new client certificate, and restart it."""
    command = script("certs-kubelet", {"ACTION": "identity", "CERTIFICATE": signed}, timeout=120)
    return replace(command, shown=f"write {KUBELET_PKI}/kubelet-client-current.pem; systemctl restart kubelet")


def new_serving() -> Command:
    """Have the kubelet make a new self-signed serving certificate, and restart it."""
    command = script("certs-kubelet", {"ACTION": "serving", "CERTIFICATE": ""}, timeout=120)
    return replace(command, shown=f"mv {KUBELET_PKI}/kubelet.crt kubelet.crt.before; systemctl restart kubelet")


def pem(answer: Answer | None, kinds: Iterable[str] = ("CERTIFICATE", "CERTIFICATE REQUEST")) -> str:
    """Return the first PEM block of one of ``kinds``; "" of no answer (a plan). Raises ValueError when there is none."""
    if answer is None:
        return ""
    for kind in kinds:
        if found := re.search(rf"-----BEGIN {kind}-----\n[A-Za-z0-9+/=\n]+-----END {kind}-----", answer.stdout):
            return found[0]
    raise ValueError("openssl printed no certificate and no request for one")


def _node(name: str) -> str:
    if not re.fullmatch(r"[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?", name):
        raise ValueError(f"{name!r} is no node's name")
    return name
