"""A workload, and whether a node is in service: for the tests of what takes nodes out of service and puts them back."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from runbooks.commands.node_settings import RECORD
from tests.support.operator import Operator, sh

KUBECTL = "kubectl --kubeconfig=/etc/kubernetes/admin.conf"
WORKLOAD = {
    "apiVersion": "apps/v1",
    "kind": "Deployment",
    "metadata": {"name": "kept", "namespace": "default"},
    "spec": {
        "replicas": 1,
        "selector": {"matchLabels": {"app": "kept"}},
        "template": {
            "metadata": {"labels": {"app": "kept"}},
            "spec": {
                "terminationGracePeriodSeconds": 0,
                "containers": [{"name": "kept", "image": "ha-lab/tools:1", "command": ["sleep", "100000"]}],
            },
        },
    },
}
ON_WORKER1 = {"matchFields": [{"key": "metadata.name", "operator": "In", "values": ["worker1"]}]}
NEAR = {"nodeAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": [{"weight": 100, "preference": ON_WORKER1}]}}
IN_SERVICE = {"ready": True, "cordoned": False, "marks": []}


def apply(operator: Operator, *objects: dict[str, Any]) -> None:
    text = json.dumps({"apiVersion": "v1", "kind": "List", "items": list(objects)})
    operator.lab.console("master1", ["sh", "-c", f"{KUBECTL} apply -f -"], stdin=text, timeout_s=60)


def ended(step: str) -> Callable[[dict[str, Any]], bool]:
    """Whether an event is the end of a step."""
    return lambda event: event["event"] == "step" and step in event["step"]


def run_workload(operator: Operator) -> None:
    """Start the workload on worker1, from where it may go anywhere, and wait until it runs."""
    template = json.loads(json.dumps(WORKLOAD["spec"]["template"]))
    anywhere = [{"key": "node-role.kubernetes.io/master", "effect": "NoSchedule"}]
    template["spec"] |= {"affinity": NEAR, "tolerations": anywhere}
    others = "master1 master2 master3"  # cordoned until it runs: the scheduler may think better of what is only preferred
    sh(operator, "master1", f"{KUBECTL} cordon {others}")
    apply(operator, {**WORKLOAD, "spec": {**WORKLOAD["spec"], "template": template}})
    look = f"{KUBECTL} rollout status deployment/kept --timeout=300s"
    sh(operator, "master1", f"{look}; code=$?; {KUBECTL} uncordon {others}; exit $code")


def place(operator: Operator) -> str:
    """Return the node on which the workload runs."""
    return sh(
        operator, "master1", f"{KUBECTL} get pods -l app=kept --field-selector=status.phase=Running -o jsonpath={{..nodeName}}"
    )


def node(operator: Operator, host: str) -> dict[str, object]:
    """Return whether the node is Ready and cordoned, and our marks of work on it; what hosts.yaml has given it is none."""
    said = json.loads(sh(operator, "master1", f"{KUBECTL} get node {host} -o json"))
    ready = next(each["status"] for each in said["status"]["conditions"] if each["type"] == "Ready")
    ours = [name for name in said["metadata"]["annotations"] if name.startswith("ha-runbooks/")]
    marks = [name for name in ours if name != RECORD]
    return {"ready": ready == "True", "cordoned": bool(said["spec"].get("unschedulable")), "marks": marks}


def in_lbs(operator: Operator, host: str) -> set[str]:
    """Return the states of the host on the LBs."""
    status = json.loads(operator.well("lb.status", "--json"))
    return {each["status"] for lb in status["lbs"].values() for each in lb["backends"] if each["server"] == host}
