"""In which order several dead members of etcd are repaired: kubeadm waits for every listed one before it lets a host join. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterator

from runbooks.doctor.rules.etcd import few_healthy
from runbooks.inventory.model import Host
from runbooks.rules.etcd import View
from runbooks.rules.etcd_standing import standing
from runbooks.rules.finding import Finding
from runbooks.text import listed


def in_order(view: View, silent: Collection[Host], empty: Collection[Host]) -> Iterator[Finding]:
    """Return the finding with the order of the repairs, when two members or more are dead and etcd has its quorum.

    ``silent`` are the hosts that do not answer, ``empty`` those that do and are in no cluster. Invariant: what brings a member back
    comes before what removes one, and --others is named only when all that is left is lost.
    """
    answering = {status.member for status in view.statuses.values()}
    dead = [host for each in view.members if each.id not in answering and (host := view.host_of(each))]
    if len(dead) < 2 or few_healthy(view):
        return
    off = [host for host in dead if host in silent]
    lost = [host for host in dead if host in empty]
    stopped = [host for host in dead if host not in silent and host not in empty]
    yield Finding(
        "warn",
        topic="etcd",
        seen=f"the members on {listed(dead)} are dead: {standing(view)}",
        why="no host can join while another one's dead member is listed, so the order matters",
        fix="; then ".join([*_back(off), *(f"inv recover.etcd-member --member {host}" for host in stopped), *_anew(lost)]),
    )


def _back(off: list[Host]) -> list[str]:
    if not off:
        return []
    removed = ", ".join(f"inv recover.etcd-member --member {host}" for host in off)
    return [f"switch on {listed(off)} (if lost for good: {removed})"]


def _anew(lost: list[Host]) -> list[str]:
    others = " --others" if len(lost) > 1 else ""
    return [f"inv recover.node --host {host}{others if number == 0 else ''}" for number, host in enumerate(lost)]
