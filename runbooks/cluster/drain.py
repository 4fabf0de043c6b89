"""The step that drains a node.

https://kubernetes.io/docs/tasks/administer-cluster/safely-drain-node/
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from runbooks.commands import drain as commands
from runbooks.commands import kubectl
from runbooks.commands.base import Probe
from runbooks.commands.drain import Drained
from runbooks.engine.by_hand import by_hand
from runbooks.engine.steps import Run, Step, Unmet
from runbooks.errors import OutcomeError
from runbooks.inventory.model import Host
from runbooks.text import first_few, indented, listed
from runbooks.view.cluster import Survey

WITHIN_S, TOLD = 300, 5
# What kubectl 1.20 to 1.36 says about Pods that it only evicts with a flag.
REFUSALS = {"--delete-emptydir-data": ("local storage",), "--force": ("no controller", "managed by")}


@dataclass(frozen=True, slots=True)
class Named:
    """What the operator lets be lost with the node."""

    force: bool = False
    empty_dirs: bool = False

    @property
    def flags(self) -> tuple[str, ...]:
        """The flags of kubectl and of `inv cluster.remove`."""
        return (*(["--delete-emptydir-data"] if self.empty_dirs else []), *(["--force"] if self.force else []))


def drain(survey: Survey, host: Host, named: Named) -> Step:
    """Return the step that evicts the pods of ``host``; a node that is not Ready is only cordoned.

    Never deletes data of emptyDir volumes, or pods that no controller recreates, unless the operator has ``named`` them.
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
        command = commands.drain(api_host, host.name, WITHIN_S, empty_dirs=named.empty_dirs, force=named.force)
        if answer := run.change(api_host, command):
            refuse(host, commands.parse_drain(answer), named)

    text = by_hand("cluster", "drain", host=host, flags="".join(f"{flag} " for flag in named.flags), seconds=WITHIN_S)
    return Step("drain", host, done=done, do=do, within=30, by_hand=text)


def refuse(host: Host, said: Drained, named: Named) -> None:
    """Raise OutcomeError, with the Pods and why they stay, unless all is gone. The node stays cordoned: it was to be removed."""
    if said.done:
        return
    lines = [f"kubectl refuses {reason}: {listed(first_few(pods, TOLD))}" for reason, pods in said.refused.items()]
    lines += [f"{pod}: {words}" for pod, words in {**said.blocked, **said.failed}.items()]
    lines += [f"{pod} was evicted, but is still there" for pod in said.terminating]
    wanted = [flag for flag, words in REFUSALS.items() if any(word in reason for word in words for reason in said.refused)]
    keep = f"to keep the host: kubectl uncordon {host}"
    hint = f"kubectl get poddisruptionbudgets -A; {keep}"
    if wanted:
        flags = " ".join(dict.fromkeys([*named.flags, *wanted]))
        hint = f"when they and their data may be lost: inv cluster.remove --host {host} {flags}; {keep}"
    raise OutcomeError(f"{host} is cordoned, but not drained:{indented(lines or [said.error])}", hint=hint)


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
