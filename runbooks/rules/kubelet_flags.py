"""Settings of one host's kubelet as flags, for versions whose kubeadm has no patches of the kubelet's configuration (below 1.25). Pure.

A flag wins over the kubelet's file. https://kubernetes.io/docs/reference/command-line-tools-reference/kubelet/
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from runbooks.inventory.patch_names import KUBELET, TARGETS

PATCHED_SINCE: Final = TARGETS[KUBELET]
# Fields of KubeletConfiguration whose flag every kubelet from 1.20 to 1.24 has, and means the same.
FLAGS: Final[Mapping[str, str]] = {
    "allowedUnsafeSysctls": "allowed-unsafe-sysctls",
    "containerLogMaxFiles": "container-log-max-files",
    "containerLogMaxSize": "container-log-max-size",
    "cpuCFSQuota": "cpu-cfs-quota",
    "cpuManagerPolicy": "cpu-manager-policy",
    "enforceNodeAllocatable": "enforce-node-allocatable",
    "eventBurst": "event-burst",
    "eventRecordQPS": "event-qps",
    "evictionHard": "eviction-hard",
    "evictionMaxPodGracePeriod": "eviction-max-pod-grace-period",
    "evictionMinimumReclaim": "eviction-minimum-reclaim",
    "evictionPressureTransitionPeriod": "eviction-pressure-transition-period",
    "evictionSoft": "eviction-soft",
    "evictionSoftGracePeriod": "eviction-soft-grace-period",
    "imageGCHighThresholdPercent": "image-gc-high-threshold",
    "imageGCLowThresholdPercent": "image-gc-low-threshold",
    "kubeAPIBurst": "kube-api-burst",
    "kubeAPIQPS": "kube-api-qps",
    "kubeReserved": "kube-reserved",
    "kubeReservedCgroup": "kube-reserved-cgroup",
    "maxOpenFiles": "max-open-files",
    "maxPods": "max-pods",
    "nodeStatusUpdateFrequency": "node-status-update-frequency",
    "podPidsLimit": "pod-max-pids",
    "podsPerCore": "pods-per-core",
    "protectKernelDefaults": "protect-kernel-defaults",
    "registryBurst": "registry-burst",
    "registryPullQPS": "registry-qps",
    "reservedSystemCPUs": "reserved-cpus",
    "serializeImagePulls": "serialize-image-pulls",
    "syncFrequency": "sync-frequency",
    "systemReserved": "system-reserved",
    "systemReservedCgroup": "system-reserved-cgroup",
    "topologyManagerPolicy": "topology-manager-policy",
}
FIELDS: Final = {flag: field for field, flag in FLAGS.items()}
BELOW: Final = frozenset({"evictionHard", "evictionSoft"})  # signal<quantity; every other group is key=value
WORD: Final = re.compile(r"[^\s\"'\\$`]+")


def refusal(field: str, value: object, minor: int) -> str:
    """Return why kubelets of 1.``minor`` cannot have ``field`` for one host, or a role, alone; "" when they can."""
    if minor >= PATCHED_SINCE:
        return ""
    if field not in FLAGS:
        return (
            f"one host or role cannot have it below 1.{PATCHED_SINCE}: kubeadm has no patches of the kubelet's configuration there,"
            " and the kubelet has no flag for it"
        )
    try:
        text = as_text(field, value)
    except ValueError as error:
        return str(error)
    return (
        "" if WORD.fullmatch(text) else f"{text!r} cannot stand in the kubelet's flag --{FLAGS[field]} (below 1.{PATCHED_SINCE})"
    )


def flags(fields: Mapping[str, Any], cluster: Mapping[str, Any]) -> dict[str, str]:
    """Return the flags, without dashes, for the ``fields`` of one host. ``cluster``: those of all kubelets.

    A flag replaces a whole group, such as evictionHard, so the keys that only the cluster has are in it too.

    >>> flags({"maxPods": 50, "evictionHard": {"memory.available": "1Gi"}}, {"evictionHard": {"nodefs.available": "5%"}})
    {'max-pods': '50', 'eviction-hard': 'nodefs.available<5%,memory.available<1Gi'}
    """
    found = {}
    for field, value in fields.items():
        below = cluster.get(field)
        whole = {**below, **value} if isinstance(value, Mapping) and isinstance(below, Mapping) else value
        found[FLAGS[field]] = as_text(field, whole)
    return found


def as_text(field: str, value: object) -> str:
    """Return the value of a flag. Raises ValueError for a value that no flag can have."""
    if isinstance(value, Mapping):
        mark = "<" if field in BELOW else "="
        return ",".join(f"{key}{mark}{_scalar(each)}" for key, each in value.items())
    return ",".join(map(_scalar, value)) if isinstance(value, list) else _scalar(value)


def _scalar(value: object) -> str:
    if value is None or isinstance(value, Mapping | list):
        raise ValueError("this value cannot be a flag of the kubelet: write text, numbers, or one list or group of them")
    return str(value).lower() if isinstance(value, bool) else str(value)
