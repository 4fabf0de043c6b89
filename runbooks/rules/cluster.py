"""Which hosts are in the cluster, where `kubeadm init` runs, and whether a host is ready for kubeadm. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from runbooks.commands.node import PROGRAMS, STATIC_PODS, NodeState
from runbooks.commands.prepare import Runtime
from runbooks.errors import PrecheckError, RunbookError
from runbooks.inventory.model import Host
from runbooks.text import listed


def version_of(package: str) -> str:
    """Return the upstream part of a package version: "1.20.2-1.1", "0:1.20.2-150500.1" and "1.20.2" all give "1.20.2"."""
    return package.rpartition(":")[2].partition("-")[0]


def pinned(state: NodeState, version: str) -> bool:
    """Whether kubeadm, kubelet and kubectl are installed in ``version`` and held, and containerd is installed."""
    right = all(version_of(state.packages.get(name, "")) == version for name in PROGRAMS)
    runtime = bool({"containerd", "containerd.io"} & state.packages.keys())
    return right and runtime and set(PROGRAMS) <= state.held


def other_version(state: NodeState, version: str) -> str:
    """Return the first program in another version than ``version``, such as "kubelet 1.20.1", or ""."""
    for name in PROGRAMS:
        found = version_of(state.packages.get(name, ""))
        if found and found != version:
            return f"{name} {found}"
    return ""


def runtime_not_ready(runtime: Runtime, pause: str) -> str:
    """Return why containerd is not ready for the kubelet with the image ``pause``, or "".

    That our file is there is not enough: sections of another version of containerd's configuration are ignored without an error.
    """
    if runtime.active != "active":
        return f"containerd is {runtime.active}"
    if runtime.enabled != "enabled" or runtime.kubelet != "enabled":
        return "containerd or the kubelet is not enabled at boot"
    if not runtime.loaded:
        return "containerd still runs with its old configuration"
    if runtime.config.invalid:
        return f"containerd cannot read its configuration: {runtime.config.invalid}"
    if runtime.config.sandbox != pause:
        return f"containerd takes the pause image {runtime.config.sandbox or '(none)'} and not the one of its configuration file, {pause}"
    return "" if runtime.answers else "containerd does not answer on its socket"


def init_host(control_plane: Sequence[Host], found: Mapping[Host, NodeState | RunbookError]) -> Host | None:
    """Return the host on which to run `kubeadm init`, None when the cluster exists already.

    This is the first control plane host of hosts.yaml, or the one where an earlier `kubeadm init` of this tool was left unfinished.
    Never starts a second cluster: returns None as soon as one control plane host has joined, and raises PrecheckError when a host
    holds files of another cluster.
    """
    states = {host: state for host in control_plane if isinstance(state := found.get(host), NodeState)}
    if any(state.joined for state in states.values()):
        return None
    for host, state in states.items():
        if state.attempt == "init":
            return host
    for host, state in states.items():
        refuse_leftovers(host, state)
    return control_plane[0]


def refuse_leftovers(host: Host, state: NodeState) -> None:
    """Raise PrecheckError when ``host``, which has not joined, holds files of a cluster that no attempt of this tool left."""
    if not state.blank and not state.attempt:
        what = listed(sorted([*state.manifests, *state.files])) or "a cluster's CA"
        raise PrecheckError(
            f"{host} holds files of another cluster ({what}), and no host of this site is in a cluster yet",
            hint=f"check whether they are still needed; `inv cluster.reset --host {host}` deletes them",
        )


def of_another_cluster(state: NodeState, ca: str) -> str:
    """Return why a host belongs to another cluster than the one whose CA has the hash ``ca``, or ""."""
    if state.ca and ca and state.ca != ca:
        return "it belongs to another cluster (its CA is different)"
    return ""


def has_every_static_pod(state: NodeState) -> bool:
    """Whether a control plane host has joined and has the manifests of all static pods."""
    return state.joined and set(STATIC_PODS) <= state.manifests


def in_join_order(hosts: Sequence[Host]) -> tuple[tuple[Host, ...], tuple[Host, ...]]:
    """Return the control plane hosts, which join first, and the workers."""
    first = tuple(host for host in hosts if host.is_control_plane)
    return first, tuple(host for host in hosts if host.is_worker and not host.is_control_plane)
