"""A Pod of ours that proves that a node, or the scheduler, starts Pods, and that logs and exec work through every API server."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from runbooks.commands.base import Answer, Command, script
from runbooks.commands.kubectl import ADMIN_CONF

NAMESPACE = "kube-system"
NAME = "ha-runbooks-probe"
PATIENCE_S = 60
# What kubectl says when the API server answers otherwise than by asking the kubelet, or does not answer.
OF_API = r"forbidden|unauthorized|unable to connect to the server|did you specify the right host or port|apiserver not ready"


@dataclass(frozen=True, slots=True)
class Probed:
    """What the Pod has shown. ``late``: why it did not run in time, "" when it did. ``failed``: "logs URL" or "exec URL", and why.

    ``silent``: it is late because the API server has not taken it, or has not said how it is.
    """

    late: str
    failed: Mapping[str, str]
    silent: bool = False

    @property
    def of_api(self) -> bool:
        """Whether it is the API server that did not do its part, or may not ask the kubelet: that says nothing about the node."""
        return self.silent or any(re.search(OF_API, why, re.IGNORECASE) for why in self.failed.values())

    @property
    def reason(self) -> str:
        """What is wrong in one line, "" for nothing."""
        parts = [f"a Pod does not start: {self.late}"] if self.late else []
        return "; ".join([*parts, *(f"{what}: {why}" for what, why in self.failed.items())])


def probe(
    image: str, servers: Sequence[str], *, node: str = "", host_network: bool = False, patience_s: int = PATIENCE_S
) -> Command:
    """Start the Pod on ``node`` and ask for its logs and exec through each of ``servers``; without ``node`` only let it run and end.

    ``image``: the pause image that nodes have; its program ends at once with -v, as kubeadm's own health Job wants it.
    ``patience_s``: how long it may take to start.
    """
    name = f"{NAME}-{node}" if node else NAME
    variables = {
        "MANIFEST": json.dumps(_pod(name, image, node, host_network=host_network)),
        "NAMESPACE": NAMESPACE,
        "NAME": name,
        "ENDS": "" if node else "yes",
        "SERVERS": list(servers),
        "PATIENCE": str(patience_s),
        "CONF": ADMIN_CONF,
    }
    where = f"on {node}: logs and exec through {len(servers)} API servers" if node else "that ends by itself"
    return replace(
        script("upgrade-pod", variables, timeout=patience_s + 60 * (1 + len(servers))), shown=f"probe with a Pod {where}"
    )


def _pod(name: str, image: str, node: str, *, host_network: bool) -> dict[str, object]:
    container: dict[str, object] = {"name": "probe", "image": image, "imagePullPolicy": "IfNotPresent"}
    spec: dict[str, object] = {
        "restartPolicy": "Never",
        "terminationGracePeriodSeconds": 0,
        "automountServiceAccountToken": False,
        "containers": [container if node else {**container, "args": ["-v"]}],
    }
    if node:
        spec |= {"nodeName": node, "tolerations": [{"operator": "Exists"}]}
    else:
        keys = ("node-role.kubernetes.io/control-plane", "node-role.kubernetes.io/master")
        spec |= {"tolerations": [{"key": key, "effect": "NoSchedule"} for key in keys]}
    if host_network:
        spec["hostNetwork"] = True
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "namespace": NAMESPACE}, "spec": spec}


def parse(answer: Answer) -> Probed:
    """Parse what upgrade-pod.sh printed. Raises ValueError when it said neither that the Pod started nor that it did not."""
    late, failed, started, silent = "", dict[str, str](), False, False
    for line in answer.stdout.splitlines():
        match line.split(" ", 3):
            case ["started", _]:
                started = True
            case ["late" | "silent" as what, *words]:
                late, silent = " ".join(words), what == "silent"
            case [("logs" | "exec") as what, url, "failed", *words]:
                failed[f"{what} through {url}"] = " ".join(words)
            case _:
                pass
    if not started and not late:
        raise ValueError("upgrade-pod said nothing about its Pod")
    return Probed(late, failed, silent)
