"""The static pods of a control plane host: stopped by moving their manifests away (parking), started by moving them back.

The kubelet runs the manifests in /etc/kubernetes/manifests; `kubectl delete pod` does not restart these pods.
https://kubernetes.io/docs/tasks/administer-cluster/kubeadm/kubeadm-certs/#manual-certificate-renewal
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from runbooks.commands.base import Answer, Command, Probe, script
from runbooks.commands.node import STATIC_PODS

PATIENCE_S = 150  # longer than the two minutes that a kubelet waits for API servers without etcd: two questions, a minute each
UNLISTED = "unlisted"
API_PODS = tuple(name for name in STATIC_PODS if name != "etcd")


@dataclass(frozen=True, slots=True)
class StaticPod:
    """One static pod: whether the kubelet sees its manifest, and the ID of its running container, or "".

    The ID is UNLISTED when the container runtime does not answer and a process of this name runs on the host.
    """

    manifest: Literal["on", "parked", "none"]
    container: str


def look(pods: Sequence[str] = STATIC_PODS) -> Probe[dict[str, StaticPod]]:
    """Read the state of each of ``pods``, by name."""
    return Probe(_pods("look", pods, 1), parse)


def park(pods: Sequence[str], patience_s: int = PATIENCE_S) -> Command:
    """Stop ``pods`` by parking their manifests, and wait up to ``patience_s`` seconds for each to end."""
    return _pods("park", pods, patience_s)


def unpark(pods: Sequence[str], patience_s: int = PATIENCE_S) -> Command:
    """Start ``pods`` that were parked, and wait up to ``patience_s`` seconds for each container. Fails without a manifest."""
    return _pods("unpark", pods, patience_s)


def restart(pods: Sequence[str], patience_s: int = PATIENCE_S) -> Command:
    """Restart each of ``pods`` in a new container, which reads its certificates and its manifest again."""
    return _pods("restart", pods, patience_s)


def parse(answer: Answer) -> dict[str, StaticPod]:
    """Read what static-pods.sh printed for look. Raises ValueError on any other line."""
    found: dict[str, StaticPod] = {}
    for line in answer.stdout.splitlines():
        match line.split():
            case ["pod", name, ("on" | "parked" | "none") as manifest, container]:
                found[name] = StaticPod(manifest, "" if container == "-" else container)
            case _:
                raise ValueError(f"this does not describe a static pod: {line!r}")
    return found


def _pods(action: str, pods: Sequence[str], patience_s: int) -> Command:
    variables = {"ACTION": action, "PODS": list(pods), "PATIENCE": str(patience_s)}
    command = script("static-pods", variables, timeout=4 * patience_s + 30, after=("etcd-find",))
    return replace(command, shown=f"static-pods {action} {' '.join(pods)}")
