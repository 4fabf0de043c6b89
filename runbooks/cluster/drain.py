"""The step that drains a node.

https://kubernetes.io/docs/tasks/administer-cluster/safely-drain-node/
"""

from __future__ import annotations

from typing import Any

from runbooks.commands import kubectl
from runbooks.commands.base import Probe
from runbooks.engine.by_hand import by_hand
from runbooks.engine.steps import Run, Step, Unmet
from runbooks.inventory.model import Host
from runbooks.text import listed
from runbooks.view.cluster import Survey

MINUTES = 60


def drain(survey: Survey, host: Host, *, force: bool) -> Step:
    """Return the step that evicts the pods of ``host``; a node that is not Ready is only cordoned.

    ``force`` also deletes pods that no controller recreates.
    """

    def done(run: Run) -> bool | Unmet:
        api_host = survey.serving(run, without=host)
        known = survey.nodes(run, api_host).get(host.name)
        if not known:
            return True
        if not known.cordoned:
            return Unmet("it still takes new pods")
        left = run.read(api_host, pods_on(api_host, host)) if known.ready else ()
        return Unmet(f"still there: {listed(left[:5])}") if left else True

    def do(run: Run) -> None:
        api_host = survey.serving(run, without=host)
        known = survey.nodes(run, api_host).get(host.name)
        if known and not known.ready:
            run.note(host, "is not Ready: its pods cannot be evicted; Kubernetes deletes them together with the node")
            run.change(api_host, kubectl.kubectl(api_host, "cordon", host.name))
            return
        words = ["--ignore-daemonsets", "--delete-emptydir-data", "--timeout=300s", *(["--force"] if force else [])]
        run.change(api_host, kubectl.kubectl(api_host, "drain", host.name, *words, timeout=6 * MINUTES))

    text = by_hand("cluster", "drain", host=host, force=force)
    return Step("drain", host, done=done, do=do, within=30, by_hand=text)


def pods_on(api_host: Host, host: Host) -> Probe[tuple[str, ...]]:
    """Return the pods on ``host`` that a drain evicts: not those of DaemonSets, not static pods, not pods that have finished."""
    return kubectl.read_json(
        api_host, "get", "pods", "--all-namespaces", f"--field-selector=spec.nodeName={host.name}", parse=parse_pods
    )


def parse_pods(found: Any) -> tuple[str, ...]:
    """Return "namespace/name" of each pod in a PodList that a drain evicts. Raises ValueError when ``found`` is no list of pods."""
    try:
        return tuple(f"{each['metadata']['namespace']}/{each['metadata']['name']}" for each in found["items"] if _moves(each))
    except (KeyError, TypeError) as error:
        raise ValueError(f"kubectl returned no list of pods: {error}") from None


def _moves(pod: Any) -> bool:
    owners = {owner["kind"] for owner in pod["metadata"].get("ownerReferences", [])}
    ended = pod.get("status", {}).get("phase") in {"Succeeded", "Failed"}
    return not ended and not owners & {"DaemonSet", "Node"}
