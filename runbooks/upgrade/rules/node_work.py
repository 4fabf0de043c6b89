"""When it is no time for work that takes one node after the other out of service. Pure."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence

from runbooks.commands.upgrade_kubeadm import Progress
from runbooks.errors import RunbookError
from runbooks.inventory.model import Host
from runbooks.rules.finding import Finding, unread
from runbooks.rules.upgrade_seen import text
from runbooks.rules.upgrade_standing import NOT_READ, Standing
from runbooks.text import listed


def unrepaired(found: Sequence[Finding], begun: Collection[str]) -> list[Finding]:
    """Return the findings without those that going on repairs on a host of ``begun``: containerd does not run, and its kubelet waits for it.

    A kubelet that was stopped is not started by this command.
    """
    return [
        each
        for each in found
        if not (each.topic == "host" and each.host in begun and re.match(r"containerd is |kubelet is activating", each.seen))
    ]


def unfinished(state: Standing, progress: Mapping[Host, Progress | RunbookError], begun: Collection[str]) -> Iterator[Finding]:
    """Yield a failure for each reason to finish an upgrade of Kubernetes first, or to read what could not be read.

    Nodes whose kubelets are older than the control plane are none, as long as no node is in the middle. ``begun``: the hosts on which
    an earlier run of this command has begun; their kubelets may not run.
    """
    for host, each in progress.items():
        if isinstance(each, RunbookError):
            yield unread("upgrade", host, each)
        elif each.running or each.attempt:
            how = "is at work" if each.running else "was begun and has not ended well"
            yield _unfinished(state, f"kubeadm upgrade {each.attempt or each.word} {how}", host.name)
        elif each.lost:
            yield _unfinished(state, f"no manifest of {listed(each.lost)}", host.name)
    if state.state == "control plane" or state.begun:
        words = {"done": state.done, "in the middle": state.begun, "to go": state.left}
        told = "; ".join(f"{name}: {listed(hosts)}" for name, hosts in words.items() if hosts)
        yield _unfinished(state, f"an upgrade of Kubernetes to {text(state.to)} is half done; {told}")
    elif state.state not in {"whole", "nodes"} and not _expected(state, begun):
        yield Finding("fail", topic="upgrade", seen=state.why, fix="inv upgrade.status")


def _unfinished(state: Standing, seen: str, host: str = "") -> Finding:
    return Finding("fail", topic="upgrade", host=host, seen=seen, fix=f"finish it first: inv upgrade.run --to {text(state.to)}")


def _expected(state: Standing, begun: Collection[str]) -> bool:
    """Return whether all that is not known of the versions is on hosts on which this command has begun."""
    hosts = {each.partition(" on ")[2] for each in state.missing}
    return state.state == "unknown" and state.why.startswith(NOT_READ) and bool(hosts) and hosts <= set(begun)
