"""Node objects: what the API server knows about the hosts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from runbooks.commands.base import Probe
from runbooks.commands.kubectl import read_json, seconds
from runbooks.inventory.model import Host

# The first since 1.20, the second until 1.23; labels and taints alike.
CONTROL_PLANE_KEYS = frozenset({"node-role.kubernetes.io/control-plane", "node-role.kubernetes.io/master"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """A Node object. ``pressure`` names the conditions that are True and should not be; ``created`` in seconds since 1970."""

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

    @property
    def is_control_plane(self) -> bool:
        """Whether it has a label of the control plane."""
        return bool(CONTROL_PLANE_KEYS & self.labels)


def nodes(host: Host) -> Probe[dict[str, Node]]:
    """Read the Node objects by name, as the API server of ``host`` has them."""
    return read_json(host, "get", "nodes", parse=parse_nodes)


def parse_nodes(found: Any) -> dict[str, Node]:
    """Read a list of Node objects (`kubectl get nodes -o json`). Raises ValueError when it is none."""
    try:
        return {node.name: node for node in map(parse_node, found["items"])}
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"this is no list of nodes: {error}") from None


def parse_node(item: dict[str, Any]) -> Node:
    """Read one Node object. Raises KeyError, TypeError, AttributeError or ValueError when it is none."""
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
    )
