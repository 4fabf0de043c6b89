"""A Kubernetes host: what is installed, what runs, and whether an earlier kubeadm of this tool was left unfinished."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from runbooks.commands import certs
from runbooks.commands.base import Answer, Command, Probe, cmd, script
from runbooks.commands.kubectl import url
from runbooks.inventory.model import Host

PROGRAMS = ("kubeadm", "kubelet", "kubectl")
STATIC_PODS = ("etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler")

UNIT = "ha-runbooks-kubeadm"  # of systemd, in which kubeadm-run.sh runs kubeadm


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeState:
    """The state of one host.

    packages   versions by name, as the package manager writes them.
    attempt    the kubeadm action that this tool started and that did not finish (init, join, etcd, reset), or "".
    running    whether that kubeadm still runs.
    ca         hash of the cluster CA's public key as kubeadm writes it, without ``sha256:``; "unreadable" of a damaged file.
    api        what the host's own API server answers to /readyz: "ok", an error, or "" when there is none.
    server     the API server that the kubelet uses (a URL), or "".
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
    def kubeadm(self) -> str:
        """What runs, or ran: "kubeadm join", and "kubeadm" alone when it has done its work and its unit is about to end."""
        return f"kubeadm {self.attempt}".rstrip()

    @property
    def blank(self) -> bool:
        """Whether the host has no files of any cluster and no unfinished attempt."""
        return not (self.attempt or self.manifests or self.files or self.ca)

    @property
    def joined(self) -> bool:
        """Whether kubeadm has finished: kubelet.conf exists, and no attempt is unfinished or running."""
        return "kubelet.conf" in self.files and not self.attempt and not self.running

    @property
    def serves(self) -> bool:
        """Whether the host has joined and its API server is ready."""
        return self.joined and self.api == "ok"


def start_services() -> Command:
    """Start containerd and the kubelet, if they do not run."""
    return cmd("systemctl", "start", "containerd", "kubelet", timeout=90)


def restart_kubelet() -> Command:
    """Restart the kubelet; pods keep running."""
    return cmd("systemctl", "restart", "kubelet", timeout=90)


def start_new_kubelet() -> Command:
    """Restart the kubelet after its package was installed, with the unit that came with it; pods keep running."""
    command = cmd(
        "bash", "-c", "systemctl daemon-reload && systemctl reset-failed kubelet; systemctl restart kubelet", timeout=90
    )
    return replace(command, shown="systemctl daemon-reload; systemctl restart kubelet")


def look(host: Host) -> Probe[NodeState]:
    """Read the state of ``host`` in one round trip."""
    return Probe(
        replace(
            script(
                "node-look",
                {"URL": url(host.address)},
                timeout=20,
                after=("packages-look", "api-ask", "certs-find", "etcd-data-dir"),
            ),
            shown="node-look",
        ),
        parse,
    )


def parse(answer: Answer) -> NodeState:
    """Parse lines of ``key value``; unknown keys are ignored. Raises ValueError for a line without a value that it needs."""
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
        running=units.get(UNIT) in {"active", "activating", "deactivating"},
        units=units,
        manifests=frozenset(text for rest in words("manifest") for text in rest),
        files=frozenset(text for rest in words("file") for text in rest),
        ca=(certs.key_hash(text("ca")) or "unreadable") if words("ca") else "",
        api=_readiness(text("api")),
        server=text("server"),
    )


def _readiness(said: str) -> str:
    """Return the answer to /readyz; of a long answer only the failed checks."""
    failing = re.findall(r"\[-\](?:poststarthook/)?(\S+)", said)
    return f"not ready: {', '.join(failing)}" if failing else said
