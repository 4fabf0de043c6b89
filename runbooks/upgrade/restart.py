"""A control plane host while its containers restart, or might: out of the load balancers, and no leader of etcd.

A kubelet of another minor version restarts every container of the host: https://github.com/kubernetes/kubernetes/issues/129385 ; seen from 1.33.13
to 1.34.9: a connection through that host's API server was silent for eight seconds. A patch release restarts nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from runbooks.engine.steps import Run, Step, Unmet
from runbooks.inventory.model import Host
from runbooks.lb import traffic
from runbooks.rules.upgrade_seen import NodeSeen
from runbooks.upgrade import control_plane
from runbooks.upgrade.context import Upgrade

WHY = "while its containers restart"

Spared = Callable[[Run], bool]  # nothing will restart on the host: it need not be taken out


def before(upgrade: Upgrade, host: Host) -> list[Step]:
    """Return the steps before the kubelet of ``host`` is restarted."""

    def spared(run: Run) -> bool:
        return not restarts(upgrade, upgrade.node(run, host))

    steps = take_out(upgrade, host, spared), hand_over(upgrade, host, spared)
    return [replace(step, name=f"{step.name} {WHY}") for step in steps]


def after(upgrade: Upgrade, host: Host) -> list[Step]:
    """Return the steps after it: its API server and its member of etcd are well, and the load balancers use it. Nothing while they use it already."""
    whole, let_in = control_plane.serves(upgrade, host), traffic.let_in(host)

    def done(run: Run) -> bool | Unmet:
        if len(upgrade.site.control_plane) > 1 and traffic.in_use(run, host):
            return True
        return whole.done(run) if whole.done else True

    return [replace(whole, name=f"{whole.name} again", done=done), replace(let_in, name=f"{let_in.name} again")]


def take_out(upgrade: Upgrade, host: Host, spared: Spared) -> Step:
    """Send new connections to other hosts. With one control plane host there is no other: nothing is done."""
    step = traffic.take_out(host)

    def done(run: Run) -> bool | Unmet:
        if len(upgrade.site.control_plane) == 1 or spared(run):
            return True
        return step.done(run) if step.done else True

    def check(run: Run) -> None:
        if not done(run):
            control_plane.may_be_away(upgrade, run, host)

    return replace(step, check=check, done=done)


def hand_over(upgrade: Upgrade, host: Host, spared: Spared) -> Step:
    """Make another member etcd's leader."""
    step = control_plane.hand_over(upgrade, host)

    def done(run: Run) -> bool | Unmet:
        return True if spared(run) or not control_plane.leads(upgrade, run, host) else Unmet("it is etcd's leader")

    return replace(step, done=done)


def restarts(upgrade: Upgrade, seen: NodeSeen) -> bool:
    """Return whether the new kubelet will restart the containers of the host: it is of another minor version, or not known."""
    return seen.kubelet_runs is None or seen.kubelet_runs[:2] != upgrade.to[:2]
