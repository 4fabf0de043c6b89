"""What people have set on a Node: read from the Node, and kept in a ConfigMap while no Node of that name exists."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Any

from runbooks.commands import kubectl
from runbooks.commands.base import Command, Probe
from runbooks.inventory.model import Host

NAMESPACE = "kube-system"
RECORD = "ha-runbooks/from-hosts-yaml"  # on a Node: which of its labels, annotations and taints hosts.yaml has set
BY_CLOUD = "alpha.kubernetes.io/provided-node-ip"  # a kubelet with --cloud-provider=external sets it, for the cloud controller


@dataclass(frozen=True, slots=True)
class Taint:
    """A taint of a Node. ``value`` may be ""."""

    key: str
    value: str
    effect: str

    def __str__(self) -> str:
        return f"{self.key}{f'={self.value}' if self.value else ''}:{self.effect}"


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeSettings:
    """Labels, annotations, taints, cordon (spec.unschedulable) and podCIDRs of the Node with the ID ``uid``.

    ``cloud``: a cloud controller outside the kubelet (--cloud-provider=external) has given it its providerID and addresses.
    """

    labels: dict[str, str]
    annotations: dict[str, str]
    taints: tuple[Taint, ...]
    cordoned: bool
    pod_cidrs: tuple[str, ...]
    uid: str
    cloud: bool = False


@dataclass(frozen=True, slots=True)
class Live:
    """The settings of a Node, and its resourceVersion when they were read."""

    settings: NodeSettings
    version: str


@dataclass(frozen=True, slots=True)
class Found:
    """What the API has of a node's settings: those of the Node itself, and those that were kept. None: there is none.

    ``cluster`` is the ID of the namespace kube-system, which stays the same for the life of a cluster, also when etcd is restored.
    """

    live: NodeSettings | None
    kept: NodeSettings | None
    cluster: str


def kept_name(host: Host) -> str:
    """Return the name of the ConfigMap that keeps the settings of ``host``."""
    return f"ha-runbooks-node-{host}"


def look(api_host: Host, host: Host) -> Probe[Found]:
    """Read the settings of ``host`` from the API server of ``api_host``."""
    what = (f"node/{host}", f"configmap/{kept_name(host)}", f"namespace/{NAMESPACE}")
    return kubectl.read_json(api_host, "-n", NAMESPACE, "get", *what, "--ignore-not-found", parse=parse)


def every(api_host: Host) -> Probe[dict[str, Live]]:
    """Read the settings of all Nodes from the API server of ``api_host``, by the Node's name."""
    return kubectl.read_json(api_host, "get", "nodes", parse=_every)


def _every(found: Any) -> dict[str, Live]:
    try:
        return {each["metadata"]["name"]: Live(settings_of(each), each["metadata"]["resourceVersion"]) for each in found["items"]}
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"this is no list of nodes: {error!r}") from None


def change(api_host: Host, name: str, patch: dict[str, Any]) -> Command:
    """Change a Node by a merge patch. Fails when the patch has an older resourceVersion than the Node."""
    text = json.dumps(patch, separators=(",", ":"), sort_keys=True)
    return kubectl.kubectl(api_host, "patch", "node", name, "--type=merge", "-p", text)


def parse(found: Any) -> Found:
    """Parse a list of these objects, or one of them alone. Raises ValueError for anything else."""
    try:
        by_kind = {item["kind"]: item for item in (found["items"] if found["kind"] == "List" else [found])}
        node, kept = by_kind.get("Node"), by_kind.get("ConfigMap")
        return Found(
            settings_of(node) if node else None,
            parse_kept(kept["data"]["settings"]) if kept else None,
            by_kind["Namespace"]["metadata"]["uid"],
        )
    except (KeyError, TypeError, AttributeError, json.JSONDecodeError) as error:
        raise ValueError(f"these are no settings of a node: {error!r}") from None


def settings_of(node: Any) -> NodeSettings:
    """Return all settings of a Node object. Raises KeyError, TypeError or AttributeError for anything else."""
    meta, spec = node["metadata"], node.get("spec") or {}
    one = spec.get("podCIDR")
    return NodeSettings(
        labels=dict(meta.get("labels") or {}),
        annotations=dict(meta.get("annotations") or {}),
        taints=tuple(Taint(each["key"], each.get("value") or "", each["effect"]) for each in spec.get("taints") or ()),
        cordoned=bool(spec.get("unschedulable")),
        pod_cidrs=tuple(spec.get("podCIDRs") or ([one] if one else [])),
        uid=meta.get("uid", ""),
        cloud=bool(spec.get("providerID")) and BY_CLOUD in (meta.get("annotations") or {}),
    )


def parse_kept(text: str) -> NodeSettings:
    """Parse what `keep` wrote. Raises KeyError, TypeError or JSONDecodeError for anything else."""
    found = json.loads(text)
    found["taints"] = tuple(Taint(**each) for each in found["taints"])
    found["pod_cidrs"] = tuple(found["pod_cidrs"])
    return NodeSettings(**found)


def keep(api_host: Host, host: Host, settings: NodeSettings, *, again: bool) -> Command:
    """Write the settings of ``host`` to its ConfigMap, which exists if ``again``.

    Not by `kubectl apply`: it writes all of it into an annotation too, and those have at most 256 KiB, as have the Node's own.
    """
    manifest = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {
            "name": kept_name(host),
            "namespace": NAMESPACE,
            "labels": {"app.kubernetes.io/managed-by": "ha-runbooks"},
        },
        "data": {"settings": json.dumps(asdict(settings), sort_keys=True)},
    }
    return kubectl.apply(api_host, json.dumps(manifest), "replace" if again else "create")


def forget(api_host: Host, host: Host) -> Command:
    """Delete the ConfigMap of ``host``."""
    return kubectl.kubectl(api_host, "-n", NAMESPACE, "delete", "configmap", kept_name(host), "--ignore-not-found")


def pod_cidrs(api_host: Host) -> Probe[dict[str, str]]:
    """Return which Node has which podCIDR: names by podCIDR."""
    return kubectl.read_json(api_host, "get", "nodes", parse=_names_by_cidr)


def _names_by_cidr(found: Any) -> dict[str, str]:
    try:
        return {cidr: node["metadata"]["name"] for node in found["items"] for cidr in settings_of(node).pod_cidrs}
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"this is no list of nodes: {error}") from None
