"""The way from one version of Kubernetes to another: which hops, and what is refused. Pure.

kubeadm takes one minor version at a time (`MaximumAllowedMinorVersionUpgradeSkew` in cmd/kubeadm/app/phases/upgrade/policy.go). It lets
more through than is safe: a lower patch release without a word (seen with 1.36.3), one minor version down with --force. So it is decided here.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from runbooks.rules import upgrade_skew
from runbooks.rules.finding import Finding
from runbooks.rules.kubeadm import FIRST, LAST
from runbooks.rules.upgrade_seen import Seen, Version, minors, text
from runbooks.rules.upgrade_standing import Standing, findings, standing
from runbooks.text import counted, listed

TOPIC = "path"
BACK = "to go back, restore a set that was made before the upgrade: docs/recover-quorum.md"


@dataclass(frozen=True, slots=True)
class Hop:
    """One upgrade: to a version of the minor (``major``, ``minor``). ``to`` is None when its patch release is not known yet."""

    major: int
    minor: int
    to: Version | None

    def __str__(self) -> str:
        return text(self.to) if self.to else f"the newest {self.major}.{self.minor}"


def hops(current: Version, target: Version, offered: Collection[Version] = ()) -> tuple[Hop, ...]:
    """Return the hops from ``current`` to ``target``: one for each minor version, the last one to ``target``.

    ``offered`` are the versions that the hosts' repositories have: of each minor between, the newest one is taken. () when ``target`` is
    not newer.

    >>> [str(hop) for hop in hops((1, 33, 4), (1, 36, 3), [(1, 34, 8), (1, 34, 9)])]
    ['1.34.9', 'the newest 1.35', '1.36.3']
    """
    if target <= current or target[0] != current[0]:
        return ()
    major = target[0]
    between = [Hop(major, minor, _newest(major, minor, offered)) for minor in range(current[1] + 1, target[1])]
    return (*between, Hop(major, target[1], target))


def refused(current: Version, target: Version, *, several: bool = False, offered: Collection[Version] = ()) -> Finding | None:
    """Return why there is no way from ``current`` to ``target``, with the way that there is; None when it is one hop, or none at all.

    ``several``: several hops are asked for, each of them a whole upgrade.
    """
    if target[0] != current[0] or target[:2] < FIRST:
        return _no(
            f"{text(target)} is not a version that this tool upgrades to", f"give a version of {FIRST[0]}.{FIRST[1]} or newer"
        )
    if minors(target, current) < 0:
        why = "no part of Kubernetes supports a lower minor version over data that a newer one has written"
        return _no(f"{text(target)} is older than {text(current)}, which runs here: a downgrade", BACK, why)
    if target < current:
        why = "kubeadm itself would accept it without a word, and take fixes out again that the cluster may rely on"
        return _no(
            f"{text(target)} is an older patch release than {text(current)}, which runs here: a downgrade",
            f"give {text(current)} or newer",
            why,
        )
    way = hops(current, target, offered)
    if len(way) > 1 and not several:
        why = f"{counted(len(way), 'minor version')} up; kubeadm and the version skew policy allow one at a time"
        return _no(
            f"from {text(current)} to {text(target)}: minor versions in between are skipped",
            f"one after the other: {listed(way)}",
            why,
        )
    return None


def findings_for(seen: Seen, target: Version, *, several: bool = False, offered: Collection[Version] = ()) -> list[Finding]:
    """Return the findings about the path to ``target``: what is refused, what is unfinished, versions that do not fit, the hops."""
    state = standing(seen)
    found = [*findings(state, seen), *upgrade_skew.now(seen)]
    if unfinished := other_target(state, target):
        return [unfinished, *found]
    current = state.since or state.to
    if not current:
        return [*found, Finding("fail", topic=TOPIC, seen="the version that runs here is not known", fix="inv cluster.status")]
    if no := refused(current, target, several=several, offered=offered):
        return [no, *found]
    way = hops(current, target, offered)
    first = way[0] if way else None
    if first and first.to:
        found += upgrade_skew.with_target(seen, first.to)
    return [_way(current, target, way), *_beyond(target), *found]


def other_target(state: Standing, target: Version) -> Finding | None:
    """Return the refusal of another target than that of the upgrade that is unfinished, or None."""
    if state.state not in {"control plane", "nodes"} or not state.to or target == state.to:
        return None
    if state.state == "nodes" and target > state.to:
        return None  # kubelets may stay behind the control plane; `upgrade_skew.with_target` says how far
    seen = f"an upgrade to {text(state.to)} is unfinished, so none to {text(target)} can begin"
    return _no(seen, f"first finish the one to {text(state.to)}: {state.next}" if state.next else "inv cluster.status")


def _way(current: Version, target: Version, way: tuple[Hop, ...]) -> Finding:
    if not way:
        return Finding("ok", topic=TOPIC, seen=f"the control plane is at {text(target)} already")
    if len(way) == 1:
        kind = "a patch release" if minors(target, current) == 0 else "one minor version"
        return Finding("ok", topic=TOPIC, seen=f"from {text(current)} to {text(target)}: {kind}")
    return Finding("ok", topic=TOPIC, seen=f"from {text(current)} in {len(way)} hops: {listed(way)}")


def _beyond(target: Version) -> list[Finding]:
    if target[:2] <= LAST:
        return []
    seen = f"{target[0]}.{target[1]} is newer than what this tool's tables were checked for ({LAST[0]}.{LAST[1]})"
    return [
        Finding(
            "warn",
            topic=TOPIC,
            seen=seen,
            fix="read the release notes for what was removed; look for a newer version of this tool",
        )
    ]


def _newest(major: int, minor: int, offered: Collection[Version]) -> Version | None:
    return max((version for version in offered if version[:2] == (major, minor)), default=None)


def _no(seen: str, fix: str, why: str = "") -> Finding:
    return Finding("fail", topic=TOPIC, seen=seen, why=why, fix=fix)
