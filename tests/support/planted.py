"""What people set on a node: planted, looked for again after the node was replaced, and taken away."""

from __future__ import annotations

import json
from typing import Any

from tests.support.operator import Operator

KUBECTL = ["kubectl", "--kubeconfig=/etc/kubernetes/admin.conf"]
LABELS = {
    "tier": "gold",
    "node-role.kubernetes.io/db": "",
    "node-restriction.kubernetes.io/zone": "a",
}  # no kubelet may set the last two
TAINT = {"key": "dedicated", "value": "db", "effect": "NoSchedule"}
ANNOTATION = {"example.com/owner": "team db"}
WAITING = "waits-for-a-node"


def kubectl(operator: Operator, via: str, *words: str) -> str:
    return operator.lab.console(via, [*KUBECTL, *words], check=True).stdout


def plant(operator: Operator, via: str, host: str, *, cordon: bool = False) -> None:
    """Set all of it on the node of ``host``, by the API server of ``via``."""
    kubectl(operator, via, "label", "--overwrite", "node", host, *(f"{key}={text}" for key, text in LABELS.items()))
    kubectl(operator, via, "taint", "--overwrite", "node", host, f"{TAINT['key']}={TAINT['value']}:{TAINT['effect']}")
    kubectl(operator, via, "annotate", "--overwrite", "node", host, *(f"{key}={text}" for key, text in ANNOTATION.items()))
    if cordon:
        kubectl(operator, via, "cordon", host)


def planted(operator: Operator, via: str, host: str) -> dict[str, Any]:
    """Return what the node of ``host`` has of it, and its podCIDR."""
    node = json.loads(kubectl(operator, via, "get", "node", host, "-o", "json"))
    meta, spec = node["metadata"], node["spec"]
    return {
        "labels": {key: text for key, text in meta["labels"].items() if key in LABELS},
        "annotations": {key: text for key, text in meta["annotations"].items() if key in ANNOTATION},
        "taints": [{key: each.get(key, "") for key in TAINT} for each in spec.get("taints", []) if each["key"] == TAINT["key"]],
        "cordoned": spec.get("unschedulable", False),
        "podCIDR": spec.get("podCIDR"),
    }


def labels(operator: Operator, via: str, host: str) -> dict[str, str]:
    """Return all labels of the node of ``host``."""
    found: dict[str, str] = json.loads(kubectl(operator, via, "get", "node", host, "-o", "json"))["metadata"]["labels"]
    return found


def expected(pod_cidr: object, *, cordoned: bool = False) -> dict[str, Any]:
    return {"labels": LABELS, "annotations": ANNOTATION, "taints": [TAINT], "cordoned": cordoned, "podCIDR": pod_cidr}


def pull_out(operator: Operator, via: str, host: str) -> None:
    """Take away again what there is of it."""
    kubectl(operator, via, "label", "node", host, *(f"{key}-" for key in LABELS))
    if planted(operator, via, host)["taints"]:
        kubectl(operator, via, "taint", "node", host, f"{TAINT['key']}-")
    kubectl(operator, via, "annotate", "node", host, *(f"{key}-" for key in ANNOTATION))
    kubectl(operator, via, "uncordon", host)


def let_a_pod_wait(operator: Operator, via: str) -> None:
    """Create a pod without tolerations: it goes to the first node that takes it."""
    spec = {"containers": [{"name": "waits", "image": "none.invalid/none:1"}], "terminationGracePeriodSeconds": 0}
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": WAITING, "namespace": "default"}, "spec": spec}
    operator.lab.console(via, [*KUBECTL, "create", "-f", "-"], stdin=json.dumps(pod), check=True)


def node_of_the_pod(operator: Operator, via: str) -> str:
    """Return where that pod is, or "", and delete it."""
    where = kubectl(operator, via, "-n", "default", "get", "pod", WAITING, "-o", "jsonpath={.spec.nodeName}")
    kubectl(operator, via, "-n", "default", "delete", "pod", WAITING, "--wait=false")
    return where
