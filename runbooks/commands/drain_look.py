"""Reads the objects that decide how drains go: of each only the fields that matter, so that neither secrets nor megabytes are sent.

kubectl prints them by a jsonpath template, one line for each object; maps and lists come as JSON, also from kubectl 1.20.
https://kubernetes.io/docs/reference/kubectl/jsonpath/
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import Any

from runbooks.commands.base import Answer, Probe, script
from runbooks.commands.drain_objects import Budget, Cluster, Hook, Node, Volume
from runbooks.commands.drain_pods import POD, pod
from runbooks.commands.jsonpath import Line, template
from runbooks.commands.kubectl import url
from runbooks.commands.node_objects import MARK
from runbooks.commands.node_settings import Taint
from runbooks.commands.quantity import amounts
from runbooks.commands.selectors import label_selector, node_selector, of_labels
from runbooks.commands.verify import brief
from runbooks.inventory.model import Host

NAME, NAMESPACE, LABELS = "{.metadata.name}", "{.metadata.namespace}", "{.metadata.labels}"
NODE = {
    "name": NAME,
    "labels": LABELS,
    "taints": "{.spec.taints}",
    "cordoned": "{.spec.unschedulable}",
    "mark": "{.metadata.annotations." + MARK.replace(".", "\\.") + "}",
    "ready": '{.status.conditions[?(@.type=="Ready")].status}',
    "allocatable": "{.status.allocatable}",
}
BUDGET = {
    "api": "{.apiVersion}",
    "namespace": NAMESPACE,
    "name": NAME,
    "generation": "{.metadata.generation}",
    "selector": "{.spec.selector}",
    "policy": "{.spec.unhealthyPodEvictionPolicy}",
    "observed": "{.status.observedGeneration}",
    "healthy": "{.status.currentHealthy}",
    "desired": "{.status.desiredHealthy}",
    "expected": "{.status.expectedPods}",
    "allowed": "{.status.disruptionsAllowed}",
    "reason": '{.status.conditions[?(@.type=="DisruptionAllowed")].reason}',
    "message": '{.status.conditions[?(@.type=="DisruptionAllowed")].message}',
}
VOLUME = {
    "name": NAME,
    "namespace": "{.spec.claimRef.namespace}",
    "claim": "{.spec.claimRef.name}",
    "local": "{.spec.local.path}",
    "host": "{.spec.hostPath.path}",
    "nodes": "{.spec.nodeAffinity.required}",
}
SERVICE = {"namespace": NAMESPACE, "name": NAME, "selector": "{.spec.selector}"}
LABELLED = {"name": NAME, "labels": LABELS}
HOOK_PARTS = (
    "{.name}",
    "{.failurePolicy}",
    "{.clientConfig.service.namespace}",
    "{.clientConfig.service.name}",
    "{.rules}",
    "{.namespaceSelector}",
    "{.objectSelector}",
    "{.matchConditions}",
)
HOOKS = {
    "kind": "{.kind}",
    "name": NAME,
    "hooks": '{range .webhooks[*]}{"\\x1e"}' + '{"\\x1f"}'.join(HOOK_PARTS) + "{end}",
}
FORMATS = {
    "nodes": NODE,
    "pods": POD,
    "poddisruptionbudgets.policy": BUDGET,
    "persistentvolumes": VOLUME,
    "services": SERVICE,
    "namespaces": LABELLED,
    "validatingwebhookconfigurations.admissionregistration.k8s.io": HOOKS,
    "mutatingwebhookconfigurations.admissionregistration.k8s.io": HOOKS,
}


def look(api_host: Host) -> Probe[Cluster]:
    """Read what decides how drains go from the API server of ``api_host``. What cannot be read is in `Cluster.errors`."""
    return _look(api_host, tuple(FORMATS), "")


def of_node(api_host: Host, node: str) -> Probe[Cluster]:
    """As `look`, but only ``node`` and its Pods: how far its drain has come."""
    return _look(api_host, ("nodes", "pods"), node)


def _look(api_host: Host, kinds: Sequence[str], node: str) -> Probe[Cluster]:
    variables = {
        "SERVER": url(api_host.address),
        "KINDS": list(kinds),
        "FORMATS": [template(FORMATS[kind]) for kind in kinds],
        "NODE": node,
    }
    shown = f"drain-look {node}".rstrip()
    return Probe(replace(script("drain-look", variables, timeout=120), shown=shown), lambda answer: parse_look(answer, kinds))


def parse_look(answer: Answer, kinds: Sequence[str] = tuple(FORMATS)) -> Cluster:
    """Parse what drain-look.sh printed of ``kinds``. Raises ValueError when one is missing or an object does not have the expected fields."""
    head, *parts = answer.stdout.split("\n@@ ")
    said = dict(line.partition(" ")[::2] for line in head.splitlines())
    got: dict[str, list[Line]] = {}
    errors = {}
    for part in parts:
        first, _, text = part.partition("\n")
        kind, _, status = first.partition(" ")
        if kind not in FORMATS:
            continue
        got[kind] = []
        if status == "0":
            got[kind] = [Line(FORMATS[kind], line) for line in text.split("\n") if line]  # splitlines would also cut at \x1e
        else:
            errors[kind] = brief(text) or f"kubectl exited {status}"
    if missing := set(kinds) - got.keys():
        raise ValueError(f"drain-look said nothing about {', '.join(sorted(missing))}")
    try:
        return _cluster(got, said, errors)
    except (KeyError, TypeError, AttributeError, IndexError, json.JSONDecodeError) as error:
        raise ValueError(f"the API server's objects are not as they should be: {error!r}") from None


def _cluster(got: dict[str, list[Line]], said: dict[str, str], errors: dict[str, str]) -> Cluster:
    def each(kind: str, parse: Callable[[Line], Any]) -> Iterable[Any]:
        return (parse(line) for name, lines in got.items() if name.partition(".")[0] == kind for line in lines)

    version = said["version"]
    hooks = [*each("validatingwebhookconfigurations", _hooks), *each("mutatingwebhookconfigurations", _hooks)]
    return Cluster(
        nodes={one.name: one for one in each("nodes", _node)},
        pods=tuple(one for one in each("pods", pod) if one),
        budgets=tuple(each("poddisruptionbudgets", _budget)),
        volumes=tuple(one for one in each("persistentvolumes", _volume) if one),
        services=dict(each("services", _service)),
        namespaces={one["name"]: one.json("labels") or {} for one in got.get("namespaces", ())},
        hooks=tuple(hook for those in hooks for hook in those),
        version=json.loads(version)["gitVersion"] if version.startswith("{") else "",
        clock=int(said["clock"]),
        errors=errors if version.startswith("{") else {**errors, "version": brief(version)},
    )


def _node(line: Line) -> Node:
    return Node(
        name=line["name"],
        labels=line.json("labels") or {},
        taints=tuple(Taint(one["key"], one.get("value") or "", one["effect"]) for one in line.json("taints") or ()),
        cordoned=line["cordoned"] == "true",
        marked=bool(line["mark"]),
        ready=line["ready"] == "True",
        allocatable=amounts(line.json("allocatable")),
    )


def _budget(line: Line) -> Budget:
    selector = label_selector(line.json("selector"))
    if line["api"] == "policy/v1beta1" and not selector:
        selector = None  # an empty selector meets nothing in v1beta1, and everything in v1
    stale = ""
    if not line["desired"] or line.number("observed") < line.number("generation"):
        stale = "the controller manager has not judged it yet"
    elif line["reason"] == "SyncFailed":
        stale = brief(line["message"]) or "the controller manager cannot judge it"
    return Budget(
        namespace=line["namespace"],
        name=line["name"],
        selector=selector,
        healthy=line.number("healthy"),
        desired=line.number("desired"),
        expected=line.number("expected"),
        allowed=line.number("allowed"),
        always=line["policy"] == "AlwaysAllow",
        stale=stale,
    )


def _volume(line: Line) -> Volume | None:
    if not line["claim"]:
        return None
    kind = "local" if line["local"] else "hostPath" if line["host"] else ""
    return Volume(line["name"], f"{line['namespace']}/{line['claim']}", kind, node_selector(line.json("nodes")))


def _service(line: Line) -> tuple[str, Any]:
    labels = line.json("selector")
    return f"{line['namespace']}/{line['name']}", of_labels(labels) if labels else None


def _hooks(line: Line) -> list[Hook]:
    """Return the webhooks of one configuration that can stop a write. A URL instead of a Service is outside the cluster."""
    found = []
    for part in line["hooks"].split("\x1e")[1:]:
        name, policy, namespace, service, rules, namespaces, objects, conditions = part.split("\x1f")
        if policy == "Ignore" or not service:
            continue
        found.append(
            Hook(
                name=name,
                kind=line["kind"],
                configuration=line["name"],
                service=f"{namespace}/{service}",
                rules=tuple(_rule(rule) for rule in json.loads(rules or "[]")),
                namespaces=label_selector(json.loads(namespaces or "{}")) or (),
                objects=label_selector(json.loads(objects or "{}")) or (),
                conditions=bool(json.loads(conditions or "[]")),
            )
        )
    return found


def _rule(rule: dict[str, Any]) -> tuple[frozenset[str], frozenset[str]]:
    resources = (f"{group}/{each}" for group in rule.get("apiGroups") or () for each in rule.get("resources") or ())
    return frozenset(rule.get("operations") or ()), frozenset(resources)
