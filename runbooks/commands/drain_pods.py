"""Pods as `commands.drain_look` reads them: what they need of a node, and what a drain does to them."""

from __future__ import annotations

import json
from typing import Any

from runbooks.commands.drain_objects import Near, Pod, Spread, Toleration
from runbooks.commands.jsonpath import Line
from runbooks.commands.kubectl import seconds
from runbooks.commands.quantity import Amounts, added, amounts, largest
from runbooks.commands.selectors import Requirement, Selector, label_selector, node_selector, of_labels

# \x1e begins a part, \x1f stands between its fields: JSON has neither, and a path or a name does not either.
VOLUMES = ("{.name}", "{.emptyDir}", "{.hostPath.path}", "{.persistentVolumeClaim.claimName}", "{.ephemeral}")
INITS = ("{.restartPolicy}", "{.resources.requests}", "{.ports}")


def _parts(path: str, fields: tuple[str, ...]) -> str:
    return f'{{range {path}[*]}}{{"\\x1e"}}' + '{"\\x1f"}'.join(fields) + "{end}"


POD = {
    "namespace": "{.metadata.namespace}",
    "name": "{.metadata.name}",
    "uid": "{.metadata.uid}",
    "node": "{.spec.nodeName}",
    "labels": "{.metadata.labels}",
    "owners": "{.metadata.ownerReferences}",
    "mirror": "{.metadata.annotations.kubernetes\\.io/config\\.mirror}",
    "phase": "{.status.phase}",
    "ready": '{.status.conditions[?(@.type=="Ready")].status}',
    "deleted": "{.metadata.deletionTimestamp}",
    "priority": "{.spec.priority}",
    "preempts": "{.spec.preemptionPolicy}",
    "grace": "{.spec.terminationGracePeriodSeconds}",
    "requests": "{.spec.containers[*].resources.requests}",
    "whole": "{.spec.resources.requests}",
    "overhead": "{.spec.overhead}",
    "inits": _parts(".spec.initContainers", INITS),
    "ports": "{.spec.containers[*].ports}",
    "selector": "{.spec.nodeSelector}",
    "affinity": "{.spec.affinity}",
    "tolerations": "{.spec.tolerations}",
    "spreads": "{.spec.topologySpreadConstraints}",
    "volumes": _parts(".spec.volumes", VOLUMES),
    "scheduler": "{.spec.schedulerName}",
    "gates": "{.spec.schedulingGates}",
    "devices": "{.spec.resourceClaims}",
}
BUILT_IN = {"", "ReplicaSet", "ReplicationController", "StatefulSet", "Job", "DaemonSet", "Node"}


def pod(line: Line) -> Pod | None:
    """Return the Pod; None for one that has finished, which a drain deletes without asking. Raises KeyError, TypeError or ValueError."""
    if line["phase"] in {"Succeeded", "Failed"}:
        return None
    inits = [part.split("\x1f") for part in line["inits"].split("\x1e")[1:]]
    volumes = [part.split("\x1f") for part in line["volumes"].split("\x1e")[1:]]
    affinity = line.json("affinity") or {}
    namespace, labels = line["namespace"], line.json("labels") or {}
    owner: dict[str, Any] = next((each for each in line.json("owners") or () if each.get("controller")), {})
    near = {kind: _near(affinity.get(kind), namespace) for kind in ("podAffinity", "podAntiAffinity")}
    required = (affinity.get("nodeAffinity") or {}).get("requiredDuringSchedulingIgnoredDuringExecution")
    return Pod(
        namespace=namespace,
        name=line["name"],
        uid=line["uid"],
        node=line["node"],
        labels=labels,
        owner=(owner.get("kind", ""), owner.get("name", "")),
        mirror=bool(line["mirror"]),
        running=line["phase"] != "Pending",
        ready=line["ready"] == "True",
        leaving=bool(line["deleted"]),
        leaves_by=seconds(line["deleted"]),
        priority=line.number("priority"),
        preempts=line["preempts"] != "Never",
        grace_s=int(line["grace"] or 30),
        requests=_requests(line, inits),
        ports=_ports([*line.several("ports"), *(json.loads(ports) for _, _, ports in inits if ports)]),
        node_labels=of_labels(line.json("selector")),
        affinity=node_selector(required),
        tolerations=tuple(_toleration(each) for each in line.json("tolerations") or ()),
        together=near["podAffinity"],
        apart=near["podAntiAffinity"],
        spreads=tuple(_spread(one, labels) for one in line.json("spreads") or () if one["whenUnsatisfiable"] == "DoNotSchedule"),
        claims=tuple(claim for _, _, _, claim, _ in volumes if claim),
        empty_dirs=tuple(name for name, empty, *_ in volumes if empty),
        host_paths=tuple(path for _, _, path, *_ in volumes if path),
        odd=_odd(line, owner.get("kind", ""), any(ephemeral for *_, ephemeral in volumes)),
    )


def _requests(line: Line, inits: list[list[str]]) -> Amounts:
    """Return what the scheduler counts: the containers and sidecars together, or an init container that needs more, and the overhead."""
    sidecars: Amounts = {}
    peaks: list[Amounts] = []
    for policy, requests, _ in inits:
        mine = amounts(json.loads(requests or "{}"))
        if policy == "Always":
            sidecars = added([sidecars, mine])
        peaks.append(sidecars if policy == "Always" else added([sidecars, mine]))
    running = added([sidecars, *map(amounts, line.several("requests"))])
    needs = largest([running, *peaks]) | amounts(line.json("whole"))
    return added([needs, amounts(line.json("overhead")), {"pods": 1000}])


def _ports(found: list[list[dict[str, Any]]]) -> frozenset[tuple[str, str, int]]:
    """Return the ports on the host; the address 0.0.0.0 as ""."""
    return frozenset(
        (port.get("protocol") or "TCP", (port.get("hostIP") or "").replace("0.0.0.0", ""), int(port["hostPort"]))  # noqa: S104 - no bind
        for ports in found
        for port in ports
        if port.get("hostPort")
    )


def _toleration(found: dict[str, Any]) -> Toleration:
    return Toleration(*(found.get(key) or "" for key in ("key", "operator", "value", "effect")))


def _near(found: dict[str, Any] | None, namespace: str) -> tuple[Near, ...]:
    """Return the required terms. Without namespaces a term means those of the Pod's own one."""
    terms = (found or {}).get("requiredDuringSchedulingIgnoredDuringExecution") or ()
    near = []
    for term in terms:
        names, by_label = frozenset(term.get("namespaces") or ()), term.get("namespaceSelector")
        if not names and by_label is None:
            names = frozenset({namespace})
        near.append(Near(label_selector(term.get("labelSelector")), term["topologyKey"], names, label_selector(by_label)))
    return tuple(near)


def _spread(found: dict[str, Any], labels: dict[str, str]) -> Spread:
    selector = label_selector(found.get("labelSelector"))
    alike: Selector = tuple(
        Requirement(key, "In", frozenset({labels[key]})) for key in found.get("matchLabelKeys") or () if key in labels
    )
    return Spread(
        topology=found["topologyKey"],
        skew=int(found["maxSkew"]),
        selector=None if selector is None else selector + alike,
        least_domains=int(found.get("minDomains") or 1),
        affinity=(found.get("nodeAffinityPolicy") or "Honor") == "Honor",
        taints=found.get("nodeTaintsPolicy") == "Honor",
    )


def _odd(line: Line, owner: str, ephemeral: bool) -> tuple[str, ...]:
    odd = {
        f"the scheduler {line['scheduler']}": (line["scheduler"] or "default-scheduler") != "default-scheduler",
        "scheduling gates": bool(line.json("gates")),
        "devices of dynamic resource allocation": bool(line.json("devices")),
        "ephemeral volumes (their data is deleted with the Pod)": ephemeral,
        f"an owner of another kind ({owner}), which decides whether it comes back": owner not in BUILT_IN,
        "tolerations with operators newer than Equal and Exists": any(
            (each.get("operator") or "Equal") not in {"Equal", "Exists"} for each in line.json("tolerations") or ()
        ),
    }
    return tuple(text for text, there in odd.items() if there)
