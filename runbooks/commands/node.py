"""A Kubernetes host: what is installed there, what runs, and whether an attempt of ours was left unfinished."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from runbooks.commands.base import Answer, Command, Probe, cmd, script
from runbooks.commands.kubectl import url
from runbooks.inventory.model import Host

PROGRAMS = ("kubeadm", "kubelet", "kubectl")
STATIC_PODS = ("etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler")


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeState:
    """What one host is now.

    ``packages`` are versions as the package manager writes them. ``attempt`` is what kubeadm was last started for by us
    (``init``, ``join``, ``reset``) and did not finish, or "". ``running`` means that it is still at it. ``ca`` is the hash of the
    cluster CA's public key as kubeadm writes it, without ``sha256:``. ``api`` is what the host's own API server says to /readyz:
    "ok", an error, or "" when there is none.
    """

    packages: dict[str, str]
    held: frozenset[str]
    attempt: str
    running: bool
    units: dict[str, str]
    manifests: frozenset[str]
    files: frozenset[str]
    ca: str
    api: str
    server: str

    @property
    def blank(self) -> bool:
        """Whether there is no trace of any cluster."""
        return not (self.attempt or self.manifests or self.files or self.ca)

    @property
    def joined(self) -> bool:
        """Whether kubeadm has finished here: a kubelet with an identity, and nothing half done."""
        return "kubelet.conf" in self.files and not self.attempt and not self.running

    @property
    def serves(self) -> bool:
        """Whether it is a control plane host whose API server is ready."""
        return self.joined and self.api == "ok"


def start_services() -> Command:
    """Start what runs the pods; nothing for what runs already."""
    return cmd("systemctl", "start", "containerd", "kubelet", timeout=90)


def restart_kubelet() -> Command:
    """Restart the kubelet; the pods go on running."""
    return cmd("systemctl", "restart", "kubelet", timeout=90)


def look(host: Host) -> Probe[NodeState]:
    """What ``host`` is now, from one round trip."""
    return Probe(replace(script("node-look", {"URL": url(host.address)}, timeout=20), shown="node-look"), parse)


def parse(answer: Answer) -> NodeState:
    """Read lines of ``key value``; unknown keys are left alone. Raises ValueError on a line without a value it needs."""
    lines = [line.split(" ", 2) for line in answer.stdout.splitlines() if line.strip()]

    def words(key: str) -> list[list[str]]:
        return [rest for first, *rest in lines if first == key]

    def text(key: str) -> str:
        return next((" ".join(rest) for rest in words(key)), "")

    units = dict(words("unit"))
    return NodeState(
        packages=dict(words("package")),
        held=frozenset(text for rest in words("held") for text in rest),
        attempt=text("attempt"),
        running=units.get("ha-runbooks-kubeadm") in {"active", "activating", "deactivating"},
        units=units,
        manifests=frozenset(text for rest in words("manifest") for text in rest),
        files=frozenset(text for rest in words("file") for text in rest),
        ca=text("ca"),
        api=_readiness(text("api")),
        server=text("server"),
    )


def _readiness(said: str) -> str:
    """Return what an API server says to /readyz, or of its long answer only the checks that fail."""
    failing = re.findall(r"\[-\](?:poststarthook/)?(\S+)", said)
    return f"not ready: {', '.join(failing)}" if failing else said
