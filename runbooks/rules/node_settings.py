"""Which settings of a Node are kept when it is deleted, and the Node that is made from them. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from runbooks.commands.node_objects import CONTROL_PLANE_KEYS, MARK
from runbooks.commands.node_settings import RECORD, NodeSettings, Taint
from runbooks.inventory.model import Host
from runbooks.text import listed

# The kubelet sets these labels itself, kubeadm those of a control plane.
# https://kubernetes.io/docs/reference/labels-annotations-taints/
KUBELET_LABELS = frozenset(f"{prefix}kubernetes.io/{name}" for prefix in ("", "beta.") for name in ("hostname", "os", "arch"))
# Taints that the cluster sets and removes by the state of the node.
STATE_TAINTS = ("node.kubernetes.io/", "node.cloudprovider.kubernetes.io/")
NOT_READY = Taint("node.kubernetes.io/not-ready", "", "NoSchedule")  # the cluster removes it when the node is Ready
# A kubelet sets it when it registers a Node itself; the cloud controller sets up only nodes that have it, and removes it.
NO_CLOUD_YET = Taint("node.cloudprovider.kubernetes.io/uninitialized", "true", "NoSchedule")
ROOM = {"cpu": "1000", "memory": "10Ti", "ephemeral-storage": "10Ti", "pods": "1000"}  # enough for any static pod
# Annotations that software writes on its own node: the facts of the old machine would be wrong on a new one.
SOFTWARE_ANNOTATIONS = (
    "alpha.kubernetes.io/",
    "csi.volume.kubernetes.io/",
    "flannel.alpha.coreos.com/",
    "ha-runbooks/",
    "io.cilium.",
    "k8s.ovn.org/",
    "kubeadm.alpha.kubernetes.io/",
    "kubectl.kubernetes.io/",
    "network.cilium.io/",
    "nfd.node.kubernetes.io/",
    "node.alpha.kubernetes.io/",
    "ovn.kubernetes.io/",
    "projectcalico.org/",
    "volumes.kubernetes.io/",
)


def own(settings: NodeSettings) -> NodeSettings:
    """Return the settings without what kubelet, kubeadm, the pod network and the cluster set themselves."""
    return replace(
        settings,
        labels={key: text for key, text in settings.labels.items() if key not in KUBELET_LABELS | CONTROL_PLANE_KEYS},
        annotations={
            key: text for key, text in settings.annotations.items() if key == RECORD or not key.startswith(SOFTWARE_ANNOTATIONS)
        },
        taints=tuple(each for each in settings.taints if not each.key.startswith(STATE_TAINTS)),
        cordoned=settings.cordoned
        and MARK not in settings.annotations,  # that of an upgrade which has not finished is no setting
    )


def to_keep(live: NodeSettings | None, kept: NodeSettings | None) -> NodeSettings | None:
    """Return the settings to keep for the next node, from those of the Node now (``live``) and those that were kept before.

    A Node without any settings is kept too: so a cordon that it gets later is known as that of our own drain. A Node that was read
    before is read again, without such a cordon. Another Node of the same name that has no settings is one that a kubelet registered by
    itself, on a disk that came back: it never replaces settings that were kept. A cordon is no sign of settings: our drain sets it too.
    """
    if not live:
        return kept
    mine = own(live)
    if not kept:
        return mine
    if kept.uid == mine.uid:
        return replace(mine, cordoned=mine.cordoned and kept.cordoned)
    return mine if _given(mine) or not (_given(kept) or kept.cordoned) else kept


def _given(settings: NodeSettings) -> bool:
    taints = [each for each in settings.taints if each.key not in CONTROL_PLANE_KEYS]
    return bool(settings.labels or settings.annotations or taints)


def told(settings: NodeSettings) -> str:
    """Return the settings in one line, of annotations only the names; "" when there is nothing to keep."""
    parts = {
        "labels": listed([f"{key}={text}" if text else key for key, text in sorted(settings.labels.items())]),
        "taints": listed([str(each) for each in settings.taints]),
        "annotations": listed(sorted(settings.annotations.keys() - {RECORD})),
        "podCIDR": listed(settings.pod_cidrs),
    }
    return "; ".join([*(f"{name} {text}" for name, text in parts.items() if text), *(["cordoned"] if settings.cordoned else [])])


def usable(settings: NodeSettings, host: Host, used: Mapping[str, str]) -> tuple[NodeSettings, list[str]]:
    """Return what the new node of ``host`` gets, and a line for each setting that it cannot get.

    The taint of a control plane follows the roles in hosts.yaml. ``used``: the podCIDRs of the other nodes, with the nodes' names.
    """
    lost = []
    if taken := {cidr: used[cidr] for cidr in settings.pod_cidrs if used.get(cidr, host.name) != host.name}:
        lost += [f"its podCIDR {cidr} belongs to {name} now: it gets another one" for cidr, name in taken.items()]
        settings = replace(settings, pod_cidrs=())
    if host.is_worker or not host.is_control_plane:
        settings = replace(settings, taints=tuple(each for each in settings.taints if each.key not in CONTROL_PLANE_KEYS))
    return settings, lost


def node(host: Host, settings: NodeSettings) -> dict[str, Any]:
    """Return the Node object of ``host`` with these settings, for the kubelet that will find it.

    It is not Ready, so it takes no pod until that kubelet reports. Until then the kubelet judges its own static pods by the capacity
    that it finds here: too little, and it never starts them; none at all, and the kubelet of 1.20 ends with a panic.
    """
    taints = [NOT_READY, *([NO_CLOUD_YET] if settings.cloud else []), *settings.taints]
    spec: dict[str, Any] = {
        "taints": [{"key": each.key, **({"value": each.value} if each.value else {}), "effect": each.effect} for each in taints]
    }
    if settings.cordoned:
        spec["unschedulable"] = True
    if settings.pod_cidrs:
        spec |= {"podCIDR": settings.pod_cidrs[0], "podCIDRs": list(settings.pod_cidrs)}
    metadata = {"name": host.name, "labels": settings.labels, "annotations": settings.annotations}
    waits = {"type": "Ready", "status": "False", "reason": "NotJoinedYet", "message": "its kubelet has not joined yet"}
    status = {"capacity": ROOM, "allocatable": ROOM, "conditions": [waits]}
    return {"apiVersion": "v1", "kind": "Node", "metadata": metadata, "spec": spec, "status": status}
