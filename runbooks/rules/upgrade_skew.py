"""Which versions may run beside each other: the version skew policy of Kubernetes, and kubeadm's own. Pure.

Official sources: https://kubernetes.io/releases/version-skew-policy/ ; for kubeadm
https://kubernetes.io/docs/setup/production-environment/tools/kubeadm/create-cluster-kubeadm/#version-skew-policy
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from runbooks.rules.finding import Finding, Severity
from runbooks.rules.upgrade_seen import CONTROL_PLANE, SERVER, NodeSeen, Seen, Version, each, minors, text

TOPIC = "version skew"
PROXY_OF_KUBELET = "kube-proxy"


@dataclass(frozen=True, slots=True)
class Skew:
    """How many minor versions a part may be newer and older than the API servers.

    With API servers of two versions: not newer than the oldest, not further behind than allowed for the newest.
    """

    part: str
    newer: int
    older: int
    severity: Severity = "fail"


POLICY = (
    Skew("kube-controller-manager", 0, 1),
    Skew("kube-scheduler", 0, 1),
    Skew("kubelet", 0, 3),
    Skew("kube-proxy", 0, 3),
    Skew("kubectl", 1, 1, "warn"),
)
# A kubelet or kube-proxy before 1.25, or beside an API server before 1.28, may be two minor versions older, not three (KEP-3935).
NODE_PARTS, OLDER_BEFORE, NODE_SINCE, SERVER_SINCE = ("kubelet", "kube-proxy"), 2, 25, 28
SERVERS_APART = 1  # minor versions between the newest and the oldest API server


def older_allowed(part: str, version: Version, server: Version) -> int:
    """Return how many minor versions ``part`` in ``version`` may be older than an API server ``server``.

    >>> older_allowed("kubelet", (1, 33, 0), (1, 36, 0)), older_allowed("kubelet", (1, 24, 0), (1, 26, 0))
    (3, 2)
    """
    rule = next(each for each in POLICY if each.part == part)
    old = part in NODE_PARTS and (version[1] < NODE_SINCE or server[1] < SERVER_SINCE)
    return min(rule.older, OLDER_BEFORE) if old else rule.older


def why_not(part: str, version: Version, oldest: Version, newest: Version) -> str:
    """Return why ``part`` in ``version`` must not run beside API servers from ``oldest`` to ``newest``, or "".

    >>> why_not("kubelet", (1, 36, 3), (1, 35, 6), (1, 36, 3))
    'kubelet 1.36.3 is newer than the API server 1.35.6'
    >>> why_not("kubelet", (1, 32, 0), (1, 36, 3), (1, 36, 3))
    'kubelet 1.32.0 is 4 minor versions older than the API server 1.36.3; at most 3 are supported'
    """
    rule = next(each for each in POLICY if each.part == part)
    if (ahead := minors(version, oldest)) > rule.newer:
        by = f" by {ahead} minor versions" if rule.newer else ""
        return f"{part} {text(version)} is newer{by} than the API server {text(oldest)}"
    allowed = older_allowed(part, version, newest)
    if (behind := minors(newest, version)) > allowed:
        return f"{part} {text(version)} is {behind} minor versions older than the API server {text(newest)}; at most {allowed} {'is' if allowed == 1 else 'are'} supported"
    return ""


def now(seen: Seen) -> list[Finding]:
    """Return a finding for each pair of versions that the policy does not allow, as the cluster is now; one that is ok without any.

    Parts whose version is not known are not judged here; `standing` reports them. Without a known API server nothing can be judged:
    that is a failure.
    """
    servers = seen.servers
    if not servers:
        return [Finding("fail", topic=TOPIC, seen="the version of no API server is known", fix="inv cluster.status")]
    oldest, newest = min(servers.values()), max(servers.values())
    found = _apart(seen, oldest, newest)
    for node in seen.nodes:
        found += [_finding(node, why, severity) for why, severity in _wrong(node, oldest, newest)]
    notes = [note for node in seen.nodes for note in _kubeadm(node, seen.config)]
    span = text(oldest) if oldest == newest else f"{text(oldest)} to {text(newest)}"
    return [*(found or [Finding("ok", topic=TOPIC, seen=f"every part fits the API servers ({span})")]), *notes]


def with_target(seen: Seen, target: Version) -> list[Finding]:
    """Return a failure for each kubelet and kube-proxy that would be too old for API servers of ``target``.

    They come after the control plane, so they run beside it in their present version for a while.
    """
    found = []
    for node in seen.nodes:
        for part, version in (("kubelet", node.kubelet_runs), (PROXY_OF_KUBELET, node.proxy)):
            if version and (why := why_not(part, version, max(version, target), target)):
                found.append(
                    Finding(
                        "fail",
                        topic=TOPIC,
                        host=node.name,
                        seen=why,
                        fix=f"first upgrade {part} on {node.name} to the version of its API servers",
                    )
                )
    return found


def _apart(seen: Seen, oldest: Version, newest: Version) -> list[Finding]:
    if minors(newest, oldest) <= SERVERS_APART:
        return []
    versions: dict[str, Version | None] = dict(seen.servers)
    return [
        Finding(
            "fail",
            topic=TOPIC,
            seen=f"the API servers are more than one minor version apart: {each(versions)}",
            fix="bring the oldest ones up first, one minor version at a time: kubeadm upgrade node",
        )
    ]


def _wrong(node: NodeSeen, oldest: Version, newest: Version) -> Iterable[tuple[str, Severity]]:
    versions = {"kubelet": node.kubelet_runs, "kube-proxy": node.proxy, "kubectl": node.kubectl}
    versions |= {name: runs for name, (_, runs) in node.parts.items() if name != SERVER}
    for rule in POLICY:
        version = versions.get(rule.part)
        # kubeadm's controller-manager and scheduler use the API server of their own host (controller-manager.conf, scheduler.conf).
        local = node.server if rule.part in CONTROL_PLANE else None
        if version and (why := why_not(rule.part, version, local or oldest, local or newest)):
            yield why, rule.severity
    if node.proxy and node.kubelet_runs:
        apart = abs(minors(node.proxy, node.kubelet_runs))
        allowed = older_allowed("kube-proxy", min(node.proxy, node.kubelet_runs), newest)
        if apart > allowed:
            yield (
                f"kube-proxy {text(node.proxy)} and kubelet {text(node.kubelet_runs)} are {apart} minor versions apart; at most {allowed} are supported",
                "fail",
            )


def _kubeadm(node: NodeSeen, config: Version | None) -> list[Finding]:
    """Note a kubeadm that does not manage this cluster (yet): it takes a control plane of its own minor version, or of the one before."""
    if not (node.kubeadm and config) or minors(node.kubeadm, config) in {0, 1}:
        return []
    why = f"kubeadm {text(node.kubeadm)} cannot manage this cluster, which is {text(config)} (kubeadm-config)"
    fix = f"on {node.name}: install kubeadm of {config[0]}.{config[1]}"
    return [Finding("note", topic=TOPIC, host=node.name, seen=why, fix=fix)]


def _finding(node: NodeSeen, why: str, severity: Severity) -> Finding:
    newer = "is newer" in why
    fix = (
        "finish the upgrade of the control plane first: no kubelet before the last API server"
        if newer and why.startswith("kubelet")
        else ""
    )
    return Finding(
        severity, topic=TOPIC, host=node.name, seen=why, fix=fix or f"bring it to the version of the API servers on {node.name}"
    )
