"""What a cluster says of itself to somebody who has no hosts.yaml of it: nodes, what kubeadm keeps, and what runs on every node."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from ipaddress import ip_address, ip_network
from typing import Any, Final

from runbooks.commands import kubeadm_config
from runbooks.commands.base import Answer, Probe, script
from runbooks.commands.kubeadm_config import ClusterSettings
from runbooks.commands.kubectl import url
from runbooks.commands.node_objects import CONTROL_PLANE_KEYS
from runbooks.commands.node_settings import NodeSettings, settings_of
from runbooks.commands.objects import NODES
from runbooks.commands.verify import brief
from runbooks.commands.yaml_text import mapping
from runbooks.inventory.model import Host
from runbooks.inventory.words import Address, Network

MAPS: Final = "/api/v1/namespaces/kube-system/configmaps"
SETS: Final = "/apis/apps/v1/daemonsets"
# https://kubernetes.io/docs/concepts/overview/working-with-objects/names/#dns-subdomain-names
NODE_NAME: Final = re.compile(r"[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?")
DEPLOYMENTS: Final = "/apis/apps/v1/namespaces/kube-system/deployments"


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """A Node object. ``schedules``: no taint of the control plane keeps ordinary Pods away. ``settings``: its labels and taints. ``pods``: its networks of Pods."""

    name: str
    addresses: tuple[Address, ...]
    control_plane: bool
    schedules: bool
    version: str
    runtime: str
    settings: NodeSettings
    pods: tuple[Network, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterLook:
    """What the API has.

    configuration  ClusterConfiguration of kubeadm; every scalar is text. ``settings``: what else kubeadm keeps.
    everywhere     the images of each DaemonSet, by "namespace/name".
    deployments    the names of the Deployments in kube-system.
    """

    members: tuple[Member, ...]
    configuration: Mapping[str, Any]
    settings: ClusterSettings
    everywhere: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    deployments: frozenset[str] = frozenset()

    def part(self, path: str) -> Any:
        """Return what is at ``path`` of ClusterConfiguration, such as "networking.podSubnet"; "" when there is nothing."""
        found: Any = self.configuration
        for key in path.split("."):
            found = found.get(key, "") if isinstance(found, Mapping) else ""
        return found


class Silent(str):
    """Why an API server gave no answer, or not to this question. It may have just been started."""

    __slots__ = ()


def look(host: Host) -> Probe[ClusterLook | str]:
    """Ask the API server of the control plane host ``host``, as the administrator; a text says why it gave no answer."""
    variables = {"SERVER": url(host.address), "RESOURCES": [NODES, MAPS, SETS, DEPLOYMENTS]}
    command = script("verify-cluster", variables, timeout=40, after=("api-ask",))
    return Probe(replace(command, shown="kubectl get nodes,configmaps,daemonsets,deployments"), parse)


def parse(answer: Answer) -> ClusterLook | str:
    """Parse lines of ``PATH EXIT JSON``; return the API server's words (`Silent`) when it did not give one of them. Raises ValueError for anything else."""
    got: dict[str, Any] = {}
    for line in answer.stdout.splitlines()[1:]:
        path, status, said = line.split(" ", 2)
        if status != "0":
            return Silent(f"its API server did not give {path}: {brief(said)}")
        got[path] = json.loads(said)
    try:
        maps, sets = got[MAPS]["items"], got[SETS]["items"]
        data = {each["metadata"]["name"]: each.get("data") or {} for each in maps}
        if "kubeadm-config" not in data:
            return "there is no ConfigMap kubeadm-config in kube-system: kubeadm did not build this cluster"
        return ClusterLook(
            members=tuple(map(_member, got[NODES]["items"])),
            configuration=mapping(data["kubeadm-config"].get("ClusterConfiguration", "")),
            settings=kubeadm_config.parse(
                {"kind": "List", "items": [*_kind("ConfigMap", maps), *_kind("DaemonSet", _proxy(sets))]}
            ),
            everywhere={f"{each['metadata']['namespace']}/{each['metadata']['name']}": _images(each) for each in sets},
            deployments=frozenset(each["metadata"]["name"] for each in got[DEPLOYMENTS]["items"]),
        )
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"the API server's objects are not as they should be: {error!r}") from None


def _kind(kind: str, items: list[Any]) -> list[Any]:
    """Return the items of a list as objects of their own: in a list they do not say their kind."""
    return [{**each, "kind": kind} for each in items]


def _proxy(sets: list[Any]) -> list[Any]:
    return [each for each in sets if (each["metadata"]["namespace"], each["metadata"]["name"]) == ("kube-system", "kube-proxy")]


def _images(workload: Any) -> tuple[str, ...]:
    return tuple(str(each.get("image", "")) for each in workload["spec"]["template"]["spec"]["containers"])


def _member(item: Any) -> Member:
    meta, spec, status = item["metadata"], item.get("spec") or {}, item.get("status") or {}
    if not NODE_NAME.fullmatch(meta["name"]):
        raise ValueError("the API server has a node with a name that Kubernetes does not allow")
    leads = bool(CONTROL_PLANE_KEYS & (meta.get("labels") or {}).keys())
    kept = {each["key"] for each in spec.get("taints") or [] if each.get("effect") in {"NoSchedule", "NoExecute"}}
    settings = settings_of(item)
    info = status.get("nodeInfo") or {}
    return Member(
        name=meta["name"],
        addresses=tuple(ip_address(each["address"]) for each in status.get("addresses") or [] if each["type"] == "InternalIP"),
        control_plane=leads,
        schedules=not CONTROL_PLANE_KEYS & kept,
        version=info.get("kubeletVersion", ""),
        runtime=info.get("containerRuntimeVersion", ""),
        settings=settings,
        pods=tuple(ip_network(each) for each in settings.pod_cidrs),
    )
