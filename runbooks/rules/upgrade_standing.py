"""How far an upgrade has come, from the versions that are seen; nothing that kubeadm has said counts. Pure.

kubeadm's words and exit statuses are no proof: `kubeadm upgrade node` before the first `apply` has finished says that it was successful
and leaves the old version (seen with 1.36.3; docs/upgrade.md). What is in the manifests, what runs, and kubeadm-config are.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from runbooks.rules.finding import Finding
from runbooks.rules.upgrade_seen import NodeSeen, Seen, Version, each, minors, newest, text
from runbooks.text import counted, listed

TOPIC = "upgrade"
NOT_READ = "not all versions could be read"
State = Literal["whole", "control plane", "nodes", "mixed", "unknown"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """How far an upgrade has come.

    state   whole: one version everywhere, nothing is unfinished. control plane, nodes: what an unfinished upgrade is in the middle of.
            mixed: versions that no upgrade of one hop leaves behind. unknown: too little could be read.
    to      the version that the upgrade leads to; the only one when it is whole.
    since   the version that the control plane comes from; None when all of it has arrived, and in "mixed" and "unknown".
    done    hosts that have arrived: in "control plane" of its hosts, in "nodes" of all nodes.
    begun   hosts in the middle of their step: some parts have arrived, or the manifest has and the container has not.
    left    hosts that have not begun.
    why     what is wrong, for "mixed" and "unknown".
    next    how it goes on by hand.
    missing what could not be read, so that nothing is whole.
    """

    state: State
    to: Version | None = None
    since: Version | None = None
    done: tuple[str, ...] = ()
    begun: tuple[str, ...] = ()
    left: tuple[str, ...] = ()
    why: str = ""
    next: str = ""
    missing: tuple[str, ...] = ()


def standing(seen: Seen) -> Standing:
    """Return how far the cluster has come. What could not be read never counts as arrived."""
    gaps = _gaps(seen)
    parts = [version for node in seen.control_plane for pair in node.parts.values() for version in pair]
    to = newest([*parts, seen.config])
    if not to or not any(parts):
        return Standing(state="unknown", why="no version of the control plane could be read", missing=gaps)
    if why := _strange(seen, to):
        return Standing(state="mixed", to=to, why=why, missing=gaps)
    hosts = {node.name: arrived(node, to) for node in seen.control_plane}
    if {"begun", "left"} & set(hosts.values()) or seen.config not in {to, None}:
        return _control_plane(seen, hosts, to, gaps)
    done, begun, left = _by_word({node.name: _kubelet(node, to) for node in seen.nodes})
    if (begun or left) and "" not in hosts.values() and seen.config:
        step = f"{_in_turn([*begun, *left])}: drain, kubelet and kubectl {text(to)}, restart the kubelet, uncordon"
        return Standing(state="nodes", to=to, done=done, begun=begun, left=left, next=step, missing=gaps)
    if gaps:
        return Standing(state="unknown", to=to, done=done, why=f"{NOT_READ}: {listed(gaps)}", missing=gaps)
    return Standing(state="whole", to=to, done=done)


def findings(state: Standing, seen: Seen) -> list[Finding]:
    """Return what `standing` found as findings: what could not be read, and what is unfinished or does not fit."""
    found = [
        Finding("fail", topic=TOPIC, host=name, seen=f"not read: {why}", fix="inv cluster.status")
        for name, why in seen.unread.items()
    ]
    unknown = [name for name in state.missing if name not in seen.unread]
    found += (
        [Finding("warn", topic=TOPIC, seen=f"no version known: {listed(unknown)}", fix="inv cluster.status")] if unknown else []
    )
    found += _odd(state, seen)
    to = text(state.to)
    if state.state == "whole":
        return [
            Finding(
                "ok", topic=TOPIC, seen=f"{to} everywhere: kubeadm-config, control plane, {counted(len(state.done), 'kubelet')}"
            ),
            *found,
        ]
    if state.state in {"mixed", "unknown"}:
        fix = (
            "compare the manifests in /etc/kubernetes/manifests and kubeadm-config; nothing is upgraded before that"
            if state.state == "mixed"
            else "inv cluster.status"
        )
        return [Finding("fail", topic=TOPIC, host=_where(state), seen=state.why, fix=fix), *found]
    what = (
        "the control plane is on its way"
        if state.state == "control plane"
        else "the control plane has arrived, kubelets have not"
    )
    words = [
        f"{name}: {listed(hosts)}"
        for name, hosts in (("done", state.done), ("in the middle", state.begun), ("to go", state.left))
        if hosts
    ]
    severity: Literal["warn", "note"] = "warn" if state.state == "control plane" or state.begun else "note"
    fix = f"inv upgrade.run --to {to}; by hand: {state.next}"
    return [Finding(severity, topic=TOPIC, seen=f"to {to}: {what}; {'; '.join(words)}", fix=fix), *found]


def _control_plane(seen: Seen, hosts: dict[str, str], to: Version, gaps: tuple[str, ...]) -> Standing:
    done, begun, left = _by_word(hosts)
    versions = [version for node in seen.control_plane for pair in node.parts.values() for version in pair]
    since = min((version for version in [*versions, seen.config] if version and version != to), default=None)
    applied = seen.config == to
    first = listed(begun or done or left[:1])
    step = (
        f"on {_in_turn([*begun, *left])}: kubeadm upgrade node"
        if applied
        else f"on {first}: kubeadm upgrade apply v{text(to)} (it has not finished: kubeadm-config says {text(seen.config)}); only then kubeadm upgrade node on the others"
    )
    return Standing(state="control plane", to=to, since=since, done=done, begun=begun, left=left, next=step, missing=gaps)


def _in_turn(hosts: Sequence[str]) -> str:
    return listed(hosts) + (", one after the other" if len(hosts) > 1 else "")


def _by_word(words: dict[str, str]) -> tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]]:
    done, begun, left = (tuple(name for name, word in words.items() if word == each) for each in ("done", "begun", "left"))
    return done, begun, left


def arrived(node: NodeSeen, to: Version) -> str:
    """Return "done" when all parts of a control plane host have arrived, in the manifest and running; "begun" for some; "left" for none.

    "" when those that are known leave it open.
    """
    versions = [version for pair in node.parts.values() for version in pair]
    known = {version for version in versions if version}
    if known == {to}:
        return "done" if None not in versions else ""
    return "begun" if to in known else "left" if known else ""


def _kubelet(node: NodeSeen, to: Version) -> str:
    """Return the word for a node's kubelet; "" when its version is not known. Installed and not restarted is "begun"."""
    if node.kubelet_runs is None:
        return ""
    if node.kubelet_runs == to:
        return "done" if node.kubelet in {to, None} else "begun"
    return "begun" if node.kubelet == to else "left"


def _strange(seen: Seen, to: Version) -> str:
    """Return why no upgrade of one hop leaves these versions behind, or ""."""
    versions = {node.name: node.parts for node in seen.control_plane}
    parts = {version for pairs in versions.values() for pair in pairs.values() for version in pair if version}
    if len(parts | ({seen.config} if seen.config else set())) > 2:
        every = {
            f"{host} ({name})": version
            for host, pairs in versions.items()
            for name, pair in pairs.items()
            for version in pair[:1]
        }
        return f"the control plane has more than two versions: {each(every)}; kubeadm-config: {text(seen.config)}"
    oldest = min(parts)
    if oldest[0] != to[0] or minors(to, oldest) > 1:
        return f"the control plane has versions that are more than one minor version apart: {text(oldest)} and {text(to)}"
    ahead: dict[str, Version | None] = {
        node.name: node.kubelet_runs for node in seen.nodes if node.kubelet_runs and node.kubelet_runs > to
    }
    if ahead:
        return f"kubelets are newer than the whole control plane ({text(to)}): {each(ahead)}"
    if seen.config and to not in parts:
        return f"kubeadm-config says {text(seen.config)}, but no host has it; the control plane has {listed(map(text, sorted(parts)))}"
    return ""


def _gaps(seen: Seen) -> tuple[str, ...]:
    """Return what is not known: hosts, kubeadm-config, and parts of the hosts that were read."""
    gaps = list(seen.unread)
    if seen.config is None and "kubeadm-config" not in gaps:
        gaps.append("kubeadm-config")
    for node in seen.nodes:
        if node.name in seen.unread:
            continue
        unknown = [name for name, pair in node.parts.items() if None in pair]
        unknown += ["kubelet"] if node.kubelet_runs is None else []
        gaps += [f"{name} on {node.name}" for name in unknown]
    return tuple(dict.fromkeys(gaps))


def _where(state: Standing) -> str:
    """Return the hosts of parts without a version, when those are all that is missing."""
    hosts = [each.partition(" on ")[2] for each in state.missing]
    return listed(dict.fromkeys(hosts)) if state.why.startswith(NOT_READ) and all(hosts) else ""


def _odd(state: Standing, seen: Seen) -> list[Finding]:
    """Return a warning when kubelets have been restarted before the last control plane host has arrived."""
    early = [node.name for node in seen.nodes if state.state == "control plane" and node.kubelet_runs == state.to]
    if not early:
        return []
    why = "a kubelet must not be newer than any API server that it may reach through the VIP"
    fix = "finish the control plane first, before any other kubelet"
    return [
        Finding(
            "warn",
            topic=TOPIC,
            host=listed(early),
            seen=f"its kubelet is {text(state.to)} already, but the control plane is not",
            why=why,
            fix=fix,
        )
    ]
