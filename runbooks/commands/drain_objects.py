"""The objects that decide how drains of nodes go, reduced to the fields that matter; `commands.drain_look` reads them.

https://kubernetes.io/docs/tasks/administer-cluster/safely-drain-node/
https://kubernetes.io/docs/concepts/scheduling-eviction/assign-pod-node/
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

from runbooks.commands.node_settings import Taint
from runbooks.commands.quantity import Amounts
from runbooks.commands.selectors import Selector

CORDON = Taint("node.kubernetes.io/unschedulable", "", "NoSchedule")  # what the scheduler takes for a cordon


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """A node. ``marked``: the cordon is that of our own drain (`commands.node_objects.MARK`). ``allocatable`` is in thousandths."""

    name: str
    labels: dict[str, str]
    taints: tuple[Taint, ...]
    cordoned: bool
    marked: bool
    ready: bool
    allocatable: Amounts


@dataclass(frozen=True, slots=True)
class Toleration:
    """A toleration; an empty key with Exists tolerates everything, an empty effect every effect."""

    key: str
    operator: str
    value: str
    effect: str

    def tolerates(self, taint: Taint) -> bool:
        """Return whether it tolerates ``taint``. Operators newer than Equal and Exists tolerate nothing here."""
        if (self.effect and self.effect != taint.effect) or (self.key and self.key != taint.key):
            return False
        if self.operator == "Exists":
            return True
        return self.operator in {"", "Equal"} and bool(self.key) and self.value == taint.value


@dataclass(frozen=True, slots=True)
class Near:
    """A required term of affinity or anti-affinity between Pods: the Pods that it means, and the label of nodes that makes a domain."""

    selector: Selector | None
    topology: str
    namespaces: frozenset[str]
    namespace_selector: Selector | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Spread:
    """A topology spread constraint with DoNotSchedule. ``affinity``, ``taints``: whether its nodeAffinityPolicy and nodeTaintsPolicy are Honor."""

    topology: str
    skew: int
    selector: Selector | None
    least_domains: int
    affinity: bool
    taints: bool


@dataclass(frozen=True, kw_only=True)
class Pod:
    """A Pod that has not finished. Amounts are in thousandths, with ``pods`` = one Pod.

    node          "" while it is not scheduled.
    owner         kind and name of its controller, ("", "") for a bare Pod.
    running       phase Running. A Pod that is only Pending is evicted without asking its budget.
    leaving       it is being deleted; ``leaves_by``: the end of its grace period (seconds since 1970).
    preempts      it may push out Pods of a lower ``priority``.
    ports         (protocol, address, port) on its host; the address "" stands for all.
    affinity      terms for nodes of which one has to be met; None: any node.
    claims        its PersistentVolumeClaims; ``empty_dirs`` its emptyDir volumes, ``host_paths`` its hostPath volumes.
    odd           what the Pod uses and the forecast does not know, in words.
    """

    namespace: str
    name: str
    uid: str = ""
    node: str = ""
    labels: dict[str, str] = field(default_factory=dict)
    owner: tuple[str, str] = ("", "")
    mirror: bool = False
    running: bool = True
    ready: bool = True
    leaving: bool = False
    leaves_by: float = 0
    priority: int = 0
    preempts: bool = True
    grace_s: int = 30
    requests: Amounts = field(default_factory=dict)
    ports: frozenset[tuple[str, str, int]] = frozenset()
    node_labels: Selector = ()
    affinity: tuple[Selector, ...] | None = None
    tolerations: tuple[Toleration, ...] = ()
    together: tuple[Near, ...] = ()
    apart: tuple[Near, ...] = ()
    spreads: tuple[Spread, ...] = ()
    claims: tuple[str, ...] = ()
    empty_dirs: tuple[str, ...] = ()
    host_paths: tuple[str, ...] = ()
    odd: tuple[str, ...] = ()

    @cached_property
    def key(self) -> str:
        """Return "NAMESPACE/NAME"."""
        return f"{self.namespace}/{self.name}"

    @cached_property
    def workload(self) -> str:
        """Return "NAMESPACE/NAME" of what it belongs to: of the Deployment where a ReplicaSet owns it; of itself when it is bare."""
        name = self.owner[1] or self.name
        if self.owner[0] == "ReplicaSet" and (template := self.labels.get("pod-template-hash")):
            name = name.removesuffix(f"-{template}")
        return f"{self.namespace}/{name}"

    def tolerates(self, taint: Taint) -> bool:
        """Return whether one of its tolerations tolerates ``taint``."""
        return any(each.tolerates(taint) for each in self.tolerations)


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """A PodDisruptionBudget, with the figures of its status. ``stale``: why they are not to be relied on, or "".

    ``always``: unhealthyPodEvictionPolicy is AlwaysAllow. A selector None is met by no Pod.
    """

    namespace: str
    name: str
    selector: Selector | None
    healthy: int
    desired: int
    expected: int
    allowed: int
    always: bool = False
    stale: str = ""

    @property
    def key(self) -> str:
        """Return "NAMESPACE/NAME"."""
        return f"{self.namespace}/{self.name}"


@dataclass(frozen=True, slots=True)
class Volume:
    """A bound PersistentVolume: its claim ("NAMESPACE/NAME"), its kind ("local", "hostPath" or ""), and the nodes that can use it."""

    name: str
    claim: str
    kind: str
    nodes: tuple[Selector, ...] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Hook:
    """A webhook whose failurePolicy is Fail and that a Service of the cluster ("NAMESPACE/NAME") answers.

    rules          (operations, "GROUP/RESOURCE") that it judges, as written, with "*".
    namespaces     the namespaces, by their labels, and ``objects`` the objects, by theirs, that it judges.
    conditions     it has matchConditions, which are not evaluated here.
    """

    name: str
    kind: str
    configuration: str
    service: str
    rules: tuple[tuple[frozenset[str], frozenset[str]], ...]
    namespaces: Selector
    objects: Selector
    conditions: bool


@dataclass(frozen=True, kw_only=True)
class Cluster:
    """What was read. ``errors`` has, for each kind that could not be read, the API's answer: that kind is empty here, not absent there.

    services    the selectors of Services by "NAMESPACE/NAME"; None where a Service has none.
    namespaces  the labels of the namespaces.
    version     of the API server, such as "v1.33.1"; clock: seconds since 1970.
    """

    nodes: dict[str, Node] = field(default_factory=dict)
    pods: tuple[Pod, ...] = ()
    budgets: tuple[Budget, ...] = ()
    volumes: tuple[Volume, ...] = ()
    services: dict[str, Selector | None] = field(default_factory=dict)
    namespaces: dict[str, dict[str, str]] = field(default_factory=dict)
    hooks: tuple[Hook, ...] = ()
    version: str = ""
    clock: int = 0
    errors: dict[str, str] = field(default_factory=dict)
