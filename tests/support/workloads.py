"""Workloads of an owner: everything of Kubernetes that makes Pods, with an image that every host of a lab has."""

from __future__ import annotations

from typing import Any, Final

SLEEP: Final = "sleep 100000"  # the command of each Pod


def pod(name: str, restarts: str = "Always", **spec: Any) -> dict[str, Any]:
    """Return what a Pod has below its kind: labels, and one container that sleeps."""
    container = {"name": "a", "image": "ha-lab/tools:1", "command": SLEEP.split()}
    return {
        "metadata": {"labels": {"app": name}},
        "spec": {"restartPolicy": restarts, "terminationGracePeriodSeconds": 1, "containers": [container], **spec},
    }


def on(node: str) -> list[dict[str, Any]]:
    """Return one workload of each kind, by its API of Kubernetes 1.20, all of whose Pods are on ``node``; a DaemonSet's are everywhere."""

    def workload(kind: str, name: str, version: str, **spec: Any) -> dict[str, Any]:
        return {"apiVersion": version, "kind": kind, "metadata": {"name": name, "namespace": "default"}, "spec": spec}

    def labels(name: str) -> dict[str, Any]:
        return {"matchLabels": {"app": name}}

    everywhere = pod("logs", tolerations=[{"operator": "Exists"}])
    job = {"template": pod("job", "Never", nodeName=node)}
    bare = pod("bare", nodeName=node)
    return [
        workload("Deployment", "web", "apps/v1", selector=labels("web"), template=pod("web", nodeName=node)),
        workload("StatefulSet", "db", "apps/v1", serviceName="db", selector=labels("db"), template=pod("db", nodeName=node)),
        workload("ReplicaSet", "alone", "apps/v1", selector=labels("alone"), template=pod("alone", nodeName=node)),
        workload("DaemonSet", "logs", "apps/v1", selector=labels("logs"), template=everywhere),
        workload("ReplicationController", "old", "v1", selector={"app": "old"}, template=pod("old", nodeName=node)),
        workload("Job", "once", "batch/v1", **job),
        workload(
            "CronJob", "often", "batch/v1beta1", schedule="* * * * *", concurrencyPolicy="Forbid", jobTemplate={"spec": job}
        ),
        {"apiVersion": "v1", "kind": "Pod", "metadata": {**bare["metadata"], "name": "bare"}, "spec": bare["spec"]},
    ]
