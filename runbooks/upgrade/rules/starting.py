"""What is wrong after an interruption and may still be starting: only that is worth waiting for. Pure.

A host that was started, a kubelet, a manifest that was put in its place, a pod: each needs its time, and is well after it, or never.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from runbooks.commands.haproxy import Backend
from runbooks.commands.objects import Cluster
from runbooks.commands.upgrade_kubeadm import Progress
from runbooks.rules.finding import Finding
from runbooks.upgrade.rules.going_on import IN_WORK, hosts_of

YOUNG_S = 180
CLUSTER = ""  # stands for what is on no host yet
# Of the cluster's checks, those that fail while something starts. The others are as they are, however long one waits.
STARTS = IN_WORK | {"coredns", "etcd", "host", "objects", "pods"}
LOOPS = "CrashLoopBackOff"


def ages(
    progress: Mapping[str, Progress], cluster: Cluster | str, nodes: Mapping[str, str], servers: Iterable[Backend] = ()
) -> dict[str, int]:
    """Return how many seconds ago something was last started, by host name. CLUSTER: of pods without a node.

    ``progress`` is of the hosts that answer; ``nodes`` has the host's name of each Node. ``servers``: as the load balancers see them; one that
    they do not use since a moment may only have been slow. A container that ends again and again does not count.
    """
    found = {
        name: min([*each.started.values(), *each.written.values(), *each.up.values()], default=YOUNG_S)
        for name, each in progress.items()
    }
    for server in servers:
        if server.server in progress and not server.up:
            found[server.server] = min(found[server.server], server.since_s)
    if isinstance(cluster, str):
        return found
    events = [(nodes.get(node.name, CLUSTER), node.turned) for node in cluster.nodes]
    events += [
        (nodes.get(pod.node, CLUSTER), max(pod.created, pod.restarted if pod.why != LOOPS else 0))
        for pod in cluster.pods
        if not pod.ready and not pod.leaving
    ]
    for name, moment in events:
        if name in progress or name == CLUSTER:
            found[name] = min(found.get(name, YOUNG_S), max(0, cluster.clock - moment))
    return found


def may_pass(finding: Finding, age: Mapping[str, int]) -> bool:
    """Return whether a failure may pass by itself: something was started on each of its hosts, or on any when it names none, a short time ago.

    A host without an age does not answer: it does not come back by waiting.
    """
    young = {name for name, seconds in age.items() if seconds < YOUNG_S}
    names = hosts_of(finding)
    return finding.topic in STARTS and (names <= young if names else bool(young))


def hopeless(found: Sequence[Finding], age: Mapping[str, int]) -> bool:
    """Return whether any of these failures does not pass by itself."""
    return not all(may_pass(each, age) for each in found)
