"""kube-proxy's configuration in the cluster, and whether its pods run with it.

kube-proxy reads its ConfigMap only when it starts. A mark (the digest of the configuration) stands on the ConfigMap and in the template of the
DaemonSet's pods: where they differ, pods still run with an older one. kubeadm takes the marks away with an upgrade, which restarts the pods as well.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from hashlib import sha256
from typing import Any, Final

from runbooks.commands import kubectl
from runbooks.commands.base import Command, Probe
from runbooks.inventory.model import Host

NAMESPACE: Final = "kube-system"
NAME: Final = "kube-proxy"
MARK, BEFORE = "ha-runbooks/config", "ha-runbooks/config-before"
KEY: Final = "config.conf"


@dataclass(frozen=True, slots=True, kw_only=True)
class Proxy:
    """``config``: the text; ``mark`` and ``before`` (the text before) as the ConfigMap has them, ``pods`` the mark of the pods; "" for none.

    ``late``: why not all pods run as the DaemonSet says, "" when they do.
    """

    config: str
    mark: str
    before: str
    pods: str
    late: str


def look(api_host: Host) -> Probe[Proxy]:
    """Read kube-proxy's ConfigMap and DaemonSet. Raises ValueError when there are none."""
    return kubectl.read_json(api_host, "-n", NAMESPACE, "get", f"configmap/{NAME}", f"daemonset/{NAME}", parse=parse)


def parse(found: Any) -> Proxy:
    """Parse these two objects. Raises ValueError for anything else."""
    try:
        kept, own = found["items"]
        notes = kept["metadata"].get("annotations") or {}
        pods = own["spec"]["template"]["metadata"].get("annotations") or {}
        return Proxy(
            config=kept["data"][KEY],
            mark=notes.get(MARK, ""),
            before=notes.get(BEFORE, ""),
            pods=pods.get(MARK, ""),
            late=_late(own["metadata"]["generation"], own.get("status") or {}),
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ValueError(f"this is no kube-proxy: {error!r}") from None


def _late(generation: int, status: dict[str, Any]) -> str:
    wanted = status.get("desiredNumberScheduled", 0)
    updated, ready = status.get("updatedNumberScheduled", 0), status.get("numberAvailable", 0)
    if status.get("observedGeneration", 0) < generation:
        return "the controller manager has not seen the change yet"
    return "" if updated == ready == wanted else f"{updated} of {wanted} pods are new, {ready} are ready"


def digest(config: str) -> str:
    """Return the mark of a configuration."""
    return sha256(config.encode()).hexdigest()[:16]


def write(api_host: Host, config: str, before: str) -> Command:
    """Write the configuration into the ConfigMap, with its mark; ``before``: the one that going back brings back."""
    change = {"metadata": {"annotations": {MARK: digest(config), BEFORE: before or None}}, "data": {KEY: config}}
    command = kubectl.kubectl(api_host, "-n", NAMESPACE, "patch", "configmap", NAME, "--type=merge", "-p", json.dumps(change))
    return replace(command, shown=f"kubectl -n {NAMESPACE} patch configmap {NAME}")


def restart(api_host: Host, config: str) -> Command:
    """Restart kube-proxy's pods, one node after the other."""
    change = {"spec": {"template": {"metadata": {"annotations": {MARK: digest(config)}}}}}
    command = kubectl.kubectl(api_host, "-n", NAMESPACE, "patch", "daemonset", NAME, "--type=merge", "-p", json.dumps(change))
    return replace(command, shown=f"kubectl -n {NAMESPACE} rollout restart daemonset {NAME}")
