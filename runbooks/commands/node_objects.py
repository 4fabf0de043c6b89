"""Node objects, as `kubectl get nodes` returns them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from runbooks.commands.base import Probe
from runbooks.commands.kubectl import read_json, read_path, seconds
from runbooks.inventory.model import Host

MARK = "ha-runbooks/drained"  # an annotation: the cordon is ours, and is taken away after the upgrade of the node
SEEN = "kubernetes.io/config.seen"  # an annotation of mirror pods
# Labels and taints: the first since 1.20, the second until 1.23.
CONTROL_PLANE_KEYS = frozenset({"node-role.kubernetes.io/control-plane", "node-role.kubernetes.io/master"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """A Node object. ``pressure``: conditions such as MemoryPressure that are True. ``created``: seconds since 1970.

    ``turned``: when it became Ready or stopped being so, in seconds since 1970, 0 for unknown.
    ``marked``: the cordon is that of an upgrade by this tool (`commands.drain.cordon`).
    """

    name: str
    address: str
    ready: bool
    reason: str
    pressure: tuple[str, ...]
    version: str
    cordoned: bool
    labels: frozenset[str]
    taints: frozenset[str]
    runtime: str
    created: int
    marked: bool = False
    turned: int = 0

    @property
    def is_control_plane(self) -> bool:
        """Whether the node has the label of a control plane host."""
        return bool(CONTROL_PLANE_KEYS & self.labels)


@dataclass(frozen=True, slots=True)
class StaticPodSeen:
    """A static pod as the API shows it: the image of its container, whether it is Ready, and when the kubelet first saw its manifest.

    ``since``: seconds since 1970 by the clock of its host, 0 for unknown. A manifest with the same content stays the same pod.
    """

    image: str
    ready: bool
    since: int = 0


def static_pods_of(api_host: Host, node: str) -> Probe[dict[str, StaticPodSeen]]:
    """Read the control plane's static pods of ``node`` by the name of their component."""
    words = ("-n", "kube-system", "get", "pods", "-l", "tier=control-plane", f"--field-selector=spec.nodeName={node}")
    return read_json(api_host, *words, parse=parse_static_pods)


def parse_static_pods(found: Any) -> dict[str, StaticPodSeen]:
    """Parse a list of static pods. Raises ValueError for anything else."""
    try:
        return {
            pod["metadata"]["labels"]["component"]: StaticPodSeen(
                pod["spec"]["containers"][0]["image"],
                any(each["type"] == "Ready" and each["status"] == "True" for each in pod["status"].get("conditions") or []),
                int(seconds((pod["metadata"].get("annotations") or {}).get(SEEN))),
            )
            for pod in found["items"]
        }
    except (KeyError, TypeError, IndexError) as error:
        raise ValueError(f"this is no list of static pods: {error!r}") from None


def nodes(host: Host) -> Probe[dict[str, Node]]:
    """Read the Node objects by name from the API server of ``host``."""
    return read_path(host, "/api/v1/nodes", parse_nodes)


def parse_nodes(found: Any) -> dict[str, Node]:
    """Parse a list of Node objects of the API. Raises ValueError for anything else."""
    try:
        return {node.name: node for node in map(parse_node, found["items"])}
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"this is no list of nodes: {error}") from None


def parse_node(item: dict[str, Any]) -> Node:
    """Parse one Node object. Raises KeyError, TypeError, AttributeError or ValueError for anything else."""
    meta, spec, status = item["metadata"], item.get("spec", {}), item.get("status", {})
    conditions = {each["type"]: each for each in status.get("conditions", [])}
    ready = conditions.get("Ready", {})
    return Node(
        name=meta["name"],
        address=next((each["address"] for each in status.get("addresses", []) if each["type"] == "InternalIP"), ""),
        ready=ready.get("status") == "True",
        reason=": ".join(filter(None, [ready.get("reason"), ready.get("message")])) or "the kubelet has not said anything",
        pressure=tuple(name for name, each in conditions.items() if name != "Ready" and each.get("status") == "True"),
        version=status.get("nodeInfo", {}).get("kubeletVersion", ""),
        cordoned=bool(spec.get("unschedulable")),
        labels=frozenset(meta.get("labels") or {}),
        taints=frozenset(each["key"] for each in spec.get("taints") or [] if each.get("effect") == "NoSchedule"),
        runtime=status.get("nodeInfo", {}).get("containerRuntimeVersion", ""),
        created=int(seconds(meta.get("creationTimestamp"))),
        marked=MARK in (meta.get("annotations") or {}),
        turned=int(seconds(ready.get("lastTransitionTime"))),
    )
