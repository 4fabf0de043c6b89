"""Who is in the cluster, who shall begin it, and whether a host is ready for kubeadm. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from runbooks.commands.node import PROGRAMS, STATIC_PODS, NodeState
from runbooks.commands.prepare import MODULES, Kernel, Runtime
from runbooks.errors import PrecheckError, RunbookError
from runbooks.inventory.model import Host

Seen = NodeState | RunbookError


def version_of(package: str) -> str:
    """Return the upstream version in a package's: "1.20.2-1.1", "0:1.20.2-150500.1" and "1.20.2" all give "1.20.2"."""
    return package.rpartition(":")[2].partition("-")[0]


def pinned(state: NodeState, version: str) -> bool:
    """Whether all three programs are there in ``version`` and held, with a container runtime."""
    right = all(version_of(state.packages.get(name, "")) == version for name in PROGRAMS)
    runtime = bool({"containerd", "containerd.io"} & state.packages.keys())
    return right and runtime and set(PROGRAMS) <= state.held


def other_version(state: NodeState, version: str) -> str:
    """Return "kubelet 1.20.1" when a program is there in another version than ``version``, else ""."""
    for name in PROGRAMS:
        found = version_of(state.packages.get(name, ""))
        if found and found != version:
            return f"{name} {found}"
    return ""


def kernel_not_ready(kernel: Kernel, *, swap: str) -> str:
    """Return what the kernel still lacks, or ""."""
    missing = [module for module in MODULES if module not in kernel.modules]
    if missing:
        return f"kernel modules missing: {', '.join(missing)}"
    if kernel.differs:
        return "; ".join(kernel.differs)
    if swap == "off" and kernel.swap:
        return f"swap is on: {', '.join(kernel.swap)}"
    return ""


def runtime_not_ready(runtime: Runtime) -> str:
    """Return why containerd is not yet what the kubelet needs, or ""."""
    if runtime.active != "active":
        return f"containerd is {runtime.active}"
    if runtime.enabled != "enabled" or runtime.kubelet != "enabled":
        return "containerd or the kubelet would not start at boot"
    if not runtime.loaded:
        return "containerd runs with an older configuration"
    return "" if runtime.answers else "containerd does not answer on its socket"


def init_host(control_plane: Sequence[Host], seen: Mapping[Host, Seen]) -> Host | None:
    """Return the host on which the cluster is to be begun; None when there is a cluster already.

    The first control plane host of the file, or the one where an attempt to begin was left unfinished. Raises PrecheckError when a
    host holds what nobody here began, since beginning again would destroy it.
    """
    states = {host: state for host in control_plane if isinstance(state := seen.get(host), NodeState)}
    if any(state.joined for state in states.values()):
        return None
    for host, state in states.items():
        if state.attempt == "init":
            return host
    for host, state in states.items():
        refuse_leftovers(host, state)
    return control_plane[0]


def refuse_leftovers(host: Host, state: NodeState) -> None:
    """Raise PrecheckError when ``host``, which is in no cluster of ours, holds what no attempt of ours left there."""
    if not state.blank and not state.attempt:
        what = ", ".join(sorted([*state.manifests, *state.files])) or "a cluster's CA"
        raise PrecheckError(
            f"{host} holds the remains of another cluster ({what}), and no host of this site is in one",
            hint=f"look at them; `inv cluster.reset --host {host}` removes them for good",
        )


def of_another_cluster(state: NodeState, ca: str) -> str:
    """Return why this host, which has a kubelet's identity, is of another cluster than the one whose CA has the hash ``ca``."""
    if state.ca and ca and state.ca != ca:
        return "it belongs to another cluster (its CA is not ours)"
    return ""


def has_every_static_pod(state: NodeState) -> bool:
    """Whether every part of a control plane host is in place."""
    return state.joined and set(STATIC_PODS) <= state.manifests


def in_join_order(hosts: Sequence[Host]) -> tuple[tuple[Host, ...], tuple[Host, ...]]:
    """Return the control plane hosts, to be joined one after the other, and the workers, which may join together."""
    first = tuple(host for host in hosts if host.is_control_plane)
    return first, tuple(host for host in hosts if host.is_worker and not host.is_control_plane)
