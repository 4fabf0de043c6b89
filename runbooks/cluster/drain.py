"""A node is drained, and what still runs on it is told."""

from __future__ import annotations

from typing import Any

from runbooks.commands import kubectl
from runbooks.commands.base import Probe
from runbooks.engine.by_hand import by_hand
from runbooks.engine.steps import Run, Step, Unmet
from runbooks.inventory.model import Host
from runbooks.view.cluster import Survey

MINUTES = 60


def drain(survey: Survey, host: Host, *, force: bool) -> Step:
    """Move its pods elsewhere (https://kubernetes.io/docs/tasks/administer-cluster/safely-drain-node/); a dead node is only cordoned."""

    def done(run: Run) -> bool | Unmet:
        api_host = survey.serving(run, without=host)
        known = survey.nodes(run, api_host).get(host.name)
        if not known:
            return True
        if not known.cordoned:
            return Unmet("it still takes new pods")
        left = run.read(api_host, pods_on(api_host, host)) if known.ready else ()
        return Unmet(f"still there: {', '.join(left[:5])}") if left else True

    def do(run: Run) -> None:
        api_host = survey.serving(run, without=host)
        known = survey.nodes(run, api_host).get(host.name)
        if known and not known.ready:
            run.note(host, "is not Ready: its pods cannot be moved, they are given up together with the node")
            run.change(api_host, kubectl.kubectl(api_host, "cordon", host.name))
            return
        words = ["--ignore-daemonsets", "--delete-emptydir-data", "--timeout=300s", *(["--force"] if force else [])]
        run.change(api_host, kubectl.kubectl(api_host, "drain", host.name, *words, timeout=6 * MINUTES))

    text = by_hand("cluster", "drain", host=host, force=force)
    return Step("drain", host, done=done, do=do, within=30, by_hand=text)


def pods_on(api_host: Host, host: Host) -> Probe[tuple[str, ...]]:
    """The pods on ``host`` that a drain moves: none of a DaemonSet, none of the host's own static ones, none that has ended."""
    return kubectl.read_json(
        api_host, "get", "pods", "--all-namespaces", f"--field-selector=spec.nodeName={host.name}", parse=parse_pods
    )


def parse_pods(found: Any) -> tuple[str, ...]:
    """Read a list of Pods into "namespace/name" of those that keep a node from being empty."""
    try:
        return tuple(f"{each['metadata']['namespace']}/{each['metadata']['name']}" for each in found["items"] if _moves(each))
    except (KeyError, TypeError) as error:
        raise ValueError(f"this is no list of pods: {error}") from None


def _moves(pod: Any) -> bool:
    owners = {owner["kind"] for owner in pod["metadata"].get("ownerReferences", [])}
    ended = pod.get("status", {}).get("phase") in {"Succeeded", "Failed"}
    return not ended and not owners & {"DaemonSet", "Node"}
