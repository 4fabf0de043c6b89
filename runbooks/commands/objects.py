"""The cluster's objects, reduced to the fields that the checks need."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from runbooks.commands import yaml_text
from runbooks.commands.base import Answer, Probe, script
from runbooks.commands.kubectl import seconds, url
from runbooks.commands.node_objects import Node, parse_node
from runbooks.commands.verify import brief
from runbooks.inventory.model import Host

CORE = "/api/v1"
NODES = f"{CORE}/nodes"
LEASES = "/apis/coordination.k8s.io/v1/namespaces/kube-system/leases"
KUBEADM_CONFIG = f"{CORE}/namespaces/kube-system/configmaps/kubeadm-config"


@dataclass(frozen=True, slots=True, kw_only=True)
class Pod:
    """A pod. ``why``: why it is not ready. ``restarted``: when a container last ended (seconds since 1970), 0 for never; ``created``: it itself.

    image  of its first container, as it is wanted; of a static pod: as its manifest has it.
    runs   the image that this container runs now, "" when it does not run.
    """

    namespace: str
    name: str
    node: str
    labels: dict[str, str]
    phase: str
    ready: bool
    why: str
    leaving: bool
    restarts: int
    restarted: int
    image: str = ""
    runs: str = ""
    created: int = 0


@dataclass(frozen=True, slots=True)
class Lease:
    """A leader's lease: holder, last renewal (seconds since 1970), and duration in seconds."""

    name: str
    holder: str
    renewed: float
    duration_s: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Cluster:
    """The objects. ``clock`` is that of the API server's host (seconds since 1970); ``errors`` has the paths that could not be read."""

    clock: int
    nodes: tuple[Node, ...]
    pods: tuple[Pod, ...]
    leases: tuple[Lease, ...]
    config: dict[str, str]
    errors: dict[str, str]


def pods_in(namespace: str) -> str:
    """Return the API path of a namespace's pods."""
    return f"{CORE}/namespaces/{namespace}/pods"


def control_plane_pods() -> str:
    """Return the API path of the static pods that kubeadm makes."""
    return f"{pods_in('kube-system')}?labelSelector=tier%3Dcontrol-plane"


def cluster(host: Host, namespaces: Sequence[str]) -> Probe[Cluster]:
    """Read nodes, leases, kubeadm-config and the pods of ``namespaces`` from the API server of ``host``."""
    return objects(host, [NODES, LEASES, KUBEADM_CONFIG, *(pods_in(each) for each in namespaces)])


def objects(host: Host, paths: Sequence[str]) -> Probe[Cluster]:
    """Read the objects at these API paths from the API server of ``host``; all other fields stay empty."""
    variables = {"SERVER": url(host.address), "RESOURCES": paths}
    return Probe(
        replace(script("verify-cluster", variables, timeout=30, after=("api-ask",)), shown="verify-cluster"), parse_cluster
    )


def parse_cluster(answer: Answer) -> Cluster:
    """Parse lines of ``PATH EXIT JSON``. Raises ValueError when an object does not have the expected fields."""
    first, _, rest = answer.stdout.partition("\n")
    got: dict[str, Any] = {}
    errors = {}
    for line in rest.splitlines():
        path, status, text = line.split(" ", 2)
        if status == "0":
            got[path] = json.loads(text)
        else:
            errors[path] = brief(text)
    try:
        return Cluster(
            clock=int(first.removeprefix("clock ")),
            nodes=tuple(map(parse_node, got.get(NODES, {}).get("items", []))),
            pods=tuple(_pod(item) for path, value in got.items() if _is_list_of_pods(path) for item in value["items"]),
            leases=tuple(map(_lease, got.get(LEASES, {}).get("items", []))),
            config=_top(got.get(KUBEADM_CONFIG, {}).get("data", {}).get("ClusterConfiguration", "")),
            errors=errors,
        )
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"the API server's objects are not as they should be: {error!r}") from None


# ---- reading


def _is_list_of_pods(path: str) -> bool:
    return path.partition("?")[0].endswith("/pods")


def _pod(item: dict[str, Any]) -> Pod:
    meta, status = item["metadata"], item.get("status", {})
    containers = [*(status.get("initContainerStatuses") or []), *(status.get("containerStatuses") or [])]
    wanted: dict[str, Any] = next(iter(item.get("spec", {}).get("containers") or []), {})
    ready: dict[str, Any] = next((each for each in status.get("conditions") or [] if each["type"] == "Ready"), {})
    ended = [
        seconds(each.get("lastState", {}).get("terminated", {}).get("finishedAt"))
        for each in status.get("containerStatuses") or []
    ]
    return Pod(
        namespace=meta["namespace"],
        name=meta["name"],
        node=item.get("spec", {}).get("nodeName", ""),
        labels=meta.get("labels") or {},
        phase=status.get("phase", ""),
        ready=status.get("phase") == "Running" and ready.get("status") == "True",
        why=_waiting(containers) or status.get("reason") or ready.get("reason") or _phase(status),
        leaving=bool(meta.get("deletionTimestamp")),
        restarts=sum(each.get("restartCount", 0) for each in status.get("containerStatuses") or []),
        restarted=int(max(ended, default=0)),
        image=str(wanted["image"]) if wanted else "",
        runs=_running(status, str(wanted["name"])) if wanted else "",
        created=int(seconds(meta.get("creationTimestamp"))),
    )


def _running(status: dict[str, Any], name: str) -> str:
    """Return the image of the container ``name``, "" when it does not run."""
    there: dict[str, Any] = next((each for each in status.get("containerStatuses") or [] if each.get("name") == name), {})
    return str(there.get("image", "")) if "running" in there.get("state", {}) else ""


def _phase(status: dict[str, Any]) -> str:
    """Return the phase; "not ready" for Running, which is also the phase of a pod whose probes fail."""
    phase = str(status.get("phase", ""))
    return "not ready" if phase == "Running" else phase


def _waiting(containers: Sequence[dict[str, Any]]) -> str:
    """Return the first reason why a container waits, such as CrashLoopBackOff, or its exit code."""
    for each in containers:
        state = each.get("state", {})
        if reason := state.get("waiting", {}).get("reason", ""):
            return str(reason)
        if state.get("terminated", {}).get("exitCode"):
            return f"{state['terminated'].get('reason', 'Error')} ({state['terminated']['exitCode']})"
    return ""


def _lease(item: dict[str, Any]) -> Lease:
    spec = item.get("spec", {})
    return Lease(
        item["metadata"]["name"],
        spec.get("holderIdentity") or "",
        seconds(spec.get("renewTime")),
        int(spec.get("leaseDurationSeconds") or 15),
    )


def _top(text: str) -> dict[str, str]:
    r"""Return the string values of a ClusterConfiguration by ``key``, those one level below by ``networking.key``.

    >>> _top("clusterName: one\nnetworking:\n  podSubnet: 10.0.0.0/8\n")
    {'clusterName': 'one', 'networking.podSubnet': '10.0.0.0/8'}
    """
    found = {}
    for key, value in yaml_text.mapping(text).items():
        below = {f"{key}.{name}": each for name, each in value.items()} if isinstance(value, dict) else {key: value}
        found.update({name: each for name, each in below.items() if isinstance(each, str) and each})
    return found
