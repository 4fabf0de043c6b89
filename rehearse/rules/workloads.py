"""What of a set would run Pods on the twin, and how each kind is kept from it: nothing of the owner's runs there. Pure.

https://kubernetes.io/docs/concepts/workloads/controllers/
A Job with parallelism 0 starts no Pod, in every version: https://kubernetes.io/docs/concepts/workloads/controllers/job/#controlling-parallelism
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, TypeAlias

from runbooks.errors import OutcomeError

Place: TypeAlias = tuple[str, str, str]  # kind as `kubectl` takes it, namespace, name
Kept: TypeAlias = Mapping[str, Sequence[Mapping[str, Any]]]  # the objects of a set, by kind

OWN: Final = {("daemonsets.apps", "kube-system", name) for name in ("kube-proxy", "lab-network")}  # they run on the twin
CRON_JOBS: Final = "cronjobs.batch"
JOBS: Final = "jobs.batch"
# What is patched, in this order: a CronJob first, so that it starts no further Job.
PATCHES: Final[Mapping[str, str]] = {
    CRON_JOBS: json.dumps({"spec": {"suspend": True}}),
    JOBS: json.dumps({"spec": {"parallelism": 0}}),
    "daemonsets.apps": json.dumps({"spec": {"template": {"spec": {"nodeSelector": {"ha-runbooks/rehearsal": "nowhere"}}}}}),
}
SCALED: Final = ("deployments.apps", "statefulsets.apps", "replicasets.apps", "replicationcontrollers")  # to no replicas
KINDS: Final = (*PATCHES, *SCALED)
CONTROLLERS: Final = {
    "ReplicaSet": "replicasets.apps",
    "ReplicationController": "replicationcontrollers",
    "StatefulSet": "statefulsets.apps",
    "DaemonSet": "daemonsets.apps",
    "Job": JOBS,
}
MISSING: Final = re.compile(r"\(NotFound\)|not found$")
ANSWERED: Final = re.compile(
    r"^Error from server \((?!ServiceUnavailable|Timeout|ServerTimeout|TooManyRequests)[A-Za-z]+\)|is invalid|denied the request"
)
MIRROR: Final = "kubernetes.io/config.mirror"  # the annotation of a static Pod: its file decides whether it runs


def stilled(kept: Kept) -> tuple[Place, ...]:
    """Return what is kept from running Pods: every workload, also one that an object of another kind owns, whose controller does not run here.

    Left out are the twin's own, the ReplicaSets of Deployments, which have no replicas when these have none, and Jobs that have ended.
    """
    found = []
    for kind in KINDS:
        for each in kept.get(kind, ()):
            place = (kind, *_place(each))
            if place not in OWN and not (kind == JOBS and _ended(each)) and _controller(each)[0] != "Deployment":
                found.append(place)
    return tuple(found)


def alone(kept: Kept) -> tuple[tuple[str, str], ...]:
    """Return the Pods (namespace, name) that run without one of these workloads: bare ones, and those of controllers of another kind.

    Never a static Pod, or one that has ended.
    """
    there = {(kind, *_place(each)) for kind in CONTROLLERS.values() for each in kept.get(kind, ())}
    return tuple(_place(pod) for pod in kept.get("pods", ()) if _runs(pod) and not _is_of(pod, there))


def batches(places: Sequence[Place], most: int = 50) -> Iterator[tuple[str, str, list[str]]]:
    """Yield kind, namespace and up to ``most`` names for one call of kubectl each, in the order of ``KINDS``.

    >>> list(batches([("deployments.apps", "a", "x"), ("cronjobs.batch", "a", "y"), ("deployments.apps", "a", "z")]))
    [('cronjobs.batch', 'a', ['y']), ('deployments.apps', 'a', ['x', 'z'])]
    """
    by: dict[tuple[str, str], list[str]] = {}
    for kind, namespace, name in places:
        by.setdefault((kind, namespace), []).append(name)
    for (kind, namespace), names in sorted(by.items(), key=lambda item: KINDS.index(item[0][0])):
        for at in range(0, len(names), most):
            yield kind, namespace, names[at : at + most]


def refused(stderr: str) -> list[str]:
    r"""Return what kubectl says that the API server did not take. Raises OutcomeError when it says that the server did not answer.

    >>> refused('Error from server (NotFound): jobs.batch "a" not found\nThe Job "b" is invalid: spec: Invalid value')
    ['The Job "b" is invalid: spec: Invalid value']
    """
    lines = [line.strip() for line in stderr.splitlines() if line.strip() and not MISSING.search(line)]
    if silent := [line for line in lines if not ANSWERED.search(line)]:
        raise OutcomeError(f"the twin's API server does not answer: {silent[0]}")
    return lines


def _place(each: Mapping[str, Any]) -> tuple[str, str]:
    return str(each["metadata"].get("namespace", "")), str(each["metadata"]["name"])


def _controller(each: Mapping[str, Any]) -> tuple[str, str]:
    """Return kind and name of the controller of an object, ("", "") for none."""
    owners = each["metadata"].get("ownerReferences") or ()
    owner: Mapping[str, Any] = next((owner for owner in owners if owner.get("controller")), {})
    return str(owner.get("kind", "")), str(owner.get("name", ""))


def _is_of(pod: Mapping[str, Any], there: set[Place]) -> bool:
    kind, name = _controller(pod)
    return (CONTROLLERS.get(kind, ""), _place(pod)[0], name) in there


def _runs(pod: Mapping[str, Any]) -> bool:
    ended = (pod.get("status") or {}).get("phase") in {"Succeeded", "Failed"}
    return not ended and MIRROR not in (pod["metadata"].get("annotations") or {})


def _ended(job: Mapping[str, Any]) -> bool:
    conditions = (job.get("status") or {}).get("conditions") or ()
    return any(each.get("type") in {"Complete", "Failed"} and each.get("status") == "True" for each in conditions)
