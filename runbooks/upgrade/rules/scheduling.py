"""Where the scheduler could put a Pod: a model of its filters, on a picture of the cluster that changes with every eviction. Pure.

In the model: requests of every resource and the number of Pods, cordons, taints, nodeSelector, required node affinity, nodes of bound
volumes, ports of the host, required affinity and anti-affinity between Pods with any topology key, topology spread with DoNotSchedule.
Not in it: preemption, quotas, limits of attached volumes, devices of dynamic resource allocation, schedulers of other makers.
https://kubernetes.io/docs/reference/scheduling/config/#scheduling-plugins
https://github.com/kubernetes/kubernetes/tree/master/pkg/scheduler/framework/plugins
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping

from runbooks.commands.drain_objects import CORDON, Cluster, Near, Node, Pod, Spread, Volume
from runbooks.commands.quantity import Amounts, shown
from runbooks.commands.selectors import NAME_FIELD, Selector, matches
from runbooks.text import listed

Domain = tuple[str, str]  # a label of nodes: all nodes that have it


class Picture:
    """Which Pod is on which node, and what is free there. Nodes are never overfilled by `put` when `fits` was asked before."""

    def __init__(self, cluster: Cluster, pods: Iterable[Pod], cordoned: Iterable[str]) -> None:
        self.nodes = cluster.nodes
        self.cordoned = set(cordoned)
        self.on: dict[str, dict[str, Pod]] = {name: {} for name in cluster.nodes}
        self.free: dict[str, Amounts] = {name: dict(node.allocatable) for name, node in cluster.nodes.items()}
        self._namespaces = cluster.namespaces
        self._volumes = {each.claim: each for each in cluster.volumes}
        self._static: dict[object, frozenset[str]] = {}
        self._keepers: dict[str, Pod] = {}  # placed Pods with anti-affinity, which keep others away
        self._where: dict[str, str] = {}
        self._in: dict[str, dict[str, Pod]] = {}  # placed Pods by namespace
        self._replicas: dict[str, Counter[str]] = {}  # how many Pods of a workload each node has
        for pod in pods:
            if pod.node in self.nodes:
                self.put(pod, pod.node)

    def where(self, pod: Pod) -> str:
        """Return the node that the Pod is on, "" for none."""
        return self._where.get(pod.key, "")

    def put(self, pod: Pod, node: str) -> None:
        """Place the Pod on a node."""
        self.on[node][pod.key] = pod
        self._where[pod.key] = node
        self._in.setdefault(pod.namespace, {})[pod.key] = pod
        self._replicas.setdefault(pod.workload, Counter())[node] += 1
        self._use(node, pod.requests, -1)
        if pod.apart:
            self._keepers[pod.key] = pod

    def take(self, pod: Pod) -> None:
        """Take the Pod from its node."""
        node = self._where.pop(pod.key)
        del self.on[node][pod.key]
        del self._in[pod.namespace][pod.key]
        self._replicas[pod.workload][node] -= 1
        self._use(node, pod.requests, 1)
        self._keepers.pop(pod.key, None)

    def _use(self, node: str, requests: Amounts, sign: int) -> None:
        free = self.free[node]
        for name, number in requests.items():
            free[name] = free.get(name, 0) + sign * number

    # ---- what the Pod itself wants of a node

    def suitable(self, pod: Pod) -> frozenset[str]:
        """Return the nodes that the Pod may run on by taints, labels, affinity to nodes and its volumes; cordons are not looked at."""
        key = (pod.namespace, pod.node_labels, pod.affinity, pod.tolerations, pod.claims)
        if key not in self._static:
            self._static[key] = frozenset(name for name, node in self.nodes.items() if self._suits(pod, node))
        return self._static[key]

    def _suits(self, pod: Pod, node: Node) -> bool:
        return _tolerated(pod, node) and _wanted(pod, node) and all(_any_of(volume.nodes, node) for volume in self.volumes(pod))

    def volumes(self, pod: Pod) -> list[Volume]:
        """Return the bound volumes of the Pod."""
        found = (self._volumes.get(f"{pod.namespace}/{claim}") for claim in pod.claims)
        return [volume for volume in found if volume]

    # ---- what the others leave

    def candidates(self, pod: Pod) -> list[str]:
        """Return the nodes that the scheduler could put the Pod on now, the one that it would probably choose first.

        The order is that of its default scores, roughly: few Pods of the same workload, then much that is free.
        """
        replicas: Mapping[str, int] = self._replicas.get(pod.workload, {})
        return sorted(
            self.fitting(pod), key=lambda name: (name in self.cordoned, replicas.get(name, 0), -self._share(name), name)
        )

    def fitting(self, pod: Pod) -> list[str]:
        """Return the nodes that the scheduler could put the Pod on now, in no order."""
        banned = self._banned(pod)
        open_to = (name for name in self.suitable(pod) if name not in self.cordoned or pod.tolerates(CORDON))
        found = [name for name in open_to if self._has_room(pod, name) and not self._is_in(name, banned)]
        if pod.together:
            found = [name for name in found if self._near_its_own(pod, name)]
        if pod.spreads:
            spreads = [(each, self._counts(pod, each)) for each in pod.spreads]
            found = [name for name in found if all(self._spreads(pod, name, *each) for each in spreads)]
        return found

    def _has_room(self, pod: Pod, node: str) -> bool:
        free = self.free[node]
        return all(free.get(name, 0) >= number for name, number in pod.requests.items() if number) and not (
            pod.ports and any(_collide(pod, other) for other in self.on[node].values())
        )

    def _is_in(self, node: str, domains: set[Domain]) -> bool:
        return bool(domains) and any(domain in domains for domain in self.nodes[node].labels.items())

    def _banned(self, pod: Pod) -> set[Domain]:
        """Return the domains that anti-affinity closes: that of the Pod against others, and that of others against it."""
        mine = (self._domain(other, term) for term in pod.apart for other in self._meant(term))
        theirs = (self._domain(other, term) for other in self._keepers.values() for term in other.apart if self._means(term, pod))
        return {domain for domain in (*mine, *theirs) if domain}

    def _near_its_own(self, pod: Pod, node: str) -> bool:
        """Return whether required affinity is met, by Pods that all terms mean; the first one that wants its own kind may go anywhere."""
        labels = self.nodes[node].labels
        if any(term.topology not in labels for term in pod.together):
            return False
        first, *rest = pod.together
        all_terms = [other for other in self._meant(first) if all(self._means(term, other) for term in rest)]
        there = {self._domain(other, term) for other in all_terms for term in pod.together} - {None}
        if all((term.topology, labels[term.topology]) in there for term in pod.together):
            return True
        return not there and all(self._means(term, pod) for term in pod.together)

    def _domain(self, pod: Pod, term: Near) -> Domain | None:
        value = self.nodes[self._where[pod.key]].labels.get(term.topology)
        return None if value is None else (term.topology, value)

    def _means(self, term: Near, pod: Pod) -> bool:
        there = pod.namespace in term.namespaces or self._by_label(term, pod.namespace)
        return there and matches(term.selector, pod.labels)

    def _by_label(self, term: Near, namespace: str) -> bool:
        return matches(term.namespace_selector, self._namespaces.get(namespace, {}))

    def _meant(self, term: Near) -> Iterator[Pod]:
        meant = (name for name in self._in if name in term.namespaces or self._by_label(term, name))
        return (pod for name in meant for pod in self._in[name].values() if matches(term.selector, pod.labels))

    # ---- topology spread

    def _counts(self, pod: Pod, spread: Spread) -> dict[str, int]:
        """Return how many Pods of the spread each domain has. Cordoned nodes count, as they do for the scheduler."""
        counts: dict[str, int] = {}
        for name, node in self.nodes.items():
            if any(each.topology not in node.labels for each in pod.spreads):
                continue
            if (spread.affinity and not _wanted(pod, node)) or (spread.taints and not self._bears(pod, node)):
                continue
            domain = node.labels[spread.topology]
            here = self.on[name].values() if spread.selector else ()  # an empty selector counts nothing
            number = sum(other.namespace == pod.namespace and matches(spread.selector, other.labels) for other in here)
            counts[domain] = counts.get(domain, 0) + number
        return counts

    def _bears(self, pod: Pod, node: Node) -> bool:
        return _tolerated(pod, node) and (node.name not in self.cordoned or pod.tolerates(CORDON))

    def _spreads(self, pod: Pod, node: str, spread: Spread, counts: dict[str, int]) -> bool:
        domain = self.nodes[node].labels.get(spread.topology)
        if domain is None:
            return False
        least = min(counts.values(), default=0) if len(counts) >= spread.least_domains else 0
        return counts.get(domain, 0) + matches(spread.selector, pod.labels) - least <= spread.skew

    # ---- scores

    def _share(self, node: str) -> float:
        """Return the free part of cpu and memory, 0 to 1."""
        whole, free = self.nodes[node].allocatable, self.free[node]
        return sum(free.get(name, 0) / whole[name] for name in ("cpu", "memory") if whole.get(name)) / 2

    # ---- why not

    def why_nowhere(self, pod: Pod, leaving: frozenset[str]) -> str:
        """Return why no node takes the Pod, while the nodes ``leaving`` are drained; for one that has no candidates."""
        suitable = self.suitable(pod)
        if not suitable - leaving:
            volumes = [
                f"{each.name}{f' ({each.kind})' if each.kind else ''}" for each in self.volumes(pod) if each.nodes is not None
            ]
            bound = f"; its volumes: {listed(volumes)}" if volumes else ""
            return f"only {listed(sorted(suitable))} can run it{bound}" if suitable else "no node can run it by labels and taints"
        rest = sorted(name for name in suitable - leaving if name not in self.cordoned or pod.tolerates(CORDON))
        if not rest:
            return f"the other nodes that could run it are cordoned: {listed(sorted(suitable - leaving))}"
        short = [
            name
            for name, number in pod.requests.items()
            if number and all(self.free[node].get(name, 0) < number for node in rest)
        ]
        if short:
            most = {name: max(self.free[node].get(name, 0) for node in rest) for name in short}
            lacks = listed(
                f"{shown(name, pod.requests[name])} of {name} (free: {shown(name, max(0, most[name]))})" for name in short
            )
            return f"{listed(rest)}: no room for {lacks}"
        return f"{listed(rest)}: kept out by room, ports, affinity between Pods or topology spread"


def _wanted(pod: Pod, node: Node) -> bool:
    return matches(pod.node_labels, node.labels) and _any_of(pod.affinity, node)


def _any_of(terms: tuple[Selector, ...] | None, node: Node) -> bool:
    return terms is None or any(matches(term, {**node.labels, NAME_FIELD: node.name}) for term in terms)


def _tolerated(pod: Pod, node: Node) -> bool:
    """Return whether the Pod tolerates the node's taints but for the cordon's."""
    return all(
        pod.tolerates(taint)
        for taint in node.taints
        if taint.effect in {"NoSchedule", "NoExecute"} and (taint.key, taint.effect) != (CORDON.key, CORDON.effect)
    )


def _collide(one: Pod, other: Pod) -> bool:
    """Return whether both want the same port of the host. The address "" is all addresses."""
    return any(
        (protocol, port) == (their_protocol, their_port) and (not address or not their_address or address == their_address)
        for protocol, address, port in one.ports
        for their_protocol, their_address, their_port in other.ports
    )
