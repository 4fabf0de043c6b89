"""The site and its hosts as typed, frozen values: the content of hosts.yaml after every check."""

from collections.abc import Mapping
from functools import reduce
from pathlib import Path
from typing import Annotated, Any, Final, Literal, TypeVar

import msgspec

from runbooks.errors import InventoryError
from runbooks.inventory.base import Model
from runbooks.inventory.settings import (
    Backup,
    Drills,
    Endpoint,
    Gateway,
    HostSsh,
    Kubernetes,
    Monitoring,
    Networks,
    OfNodes,
    Roles,
    Ssh,
)
from runbooks.inventory.settings_baseline import Baseline
from runbooks.inventory.settings_lb import LoadBalancer, Vip
from runbooks.inventory.words import Address, Flags, HostName, Interface, Name, Priority, Role, Settings, TaintText

T = TypeVar("T")

WORDS: Final = {
    None: "host",
    "lb": "load balancer",
    "control-plane": "control plane host",
    "worker": "worker",
    "node": "control plane host or worker",
}


def over(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """Return ``below`` updated with ``above``: mappings at every level, lists are replaced.

    >>> over({"a": {"b": 1, "c": 2}, "d": [1]}, {"a": {"c": 3}, "d": [2]})
    {'a': {'b': 1, 'c': 3}, 'd': [2]}
    """
    found = dict(below)
    for key, value in above.items():
        old = found.get(key)
        found[key] = over(old, value) if isinstance(old, Mapping) and isinstance(value, Mapping) else value
    return found


class Host(Model, frozen=True):
    """One machine. ``priority`` and ``interface`` are for LBs; ``weight`` (0-256) is its share of the LBs' connections.

    ``labels``, ``annotations`` and ``taints`` are of its node, on top of those of its roles; so are ``kubelet``, fields of its
    KubeletConfiguration, and ``patches``, files for kubeadm (`Site.of_node`).
    """

    name: HostName
    address: Address
    roles: tuple[Role, ...]
    priority: Priority | None = None
    interface: Interface | None = None
    weight: Annotated[int, msgspec.Meta(ge=0, le=256)] = 100
    labels: Flags = msgspec.field(default_factory=dict)
    annotations: Flags = msgspec.field(default_factory=dict)
    taints: tuple[TaintText, ...] = ()
    kubelet: Settings = msgspec.field(default_factory=dict)
    patches: tuple[Path, ...] = ()
    ssh: HostSsh = HostSsh()

    def __str__(self) -> str:
        return self.name

    def __hash__(self) -> int:  # the groups of labels have none; hosts of one site differ by name
        return hash(self.name)

    def is_called(self, hostname: str) -> bool:
        """Whether a machine that calls itself ``hostname`` may be this host: of the two, either may have the domain and the other not."""
        said = hostname.lower()
        return said == self.name or said.partition(".")[0] == self.name or self.name.partition(".")[0] == said

    def among(self, found: Mapping[str, T]) -> T | None:
        """Return what belongs to this host in ``found``, by the names of machines: the one of its very name, else the one with (or without) the domain."""
        if self.name in found:
            return found[self.name]
        return next((each for name, each in found.items() if self.is_called(name)), None)

    @property
    def is_lb(self) -> bool:
        """Whether it is one of the load balancers."""
        return "lb" in self.roles

    @property
    def is_control_plane(self) -> bool:
        """Whether it has an API server; it may be a worker as well."""
        return "control-plane" in self.roles

    @property
    def is_worker(self) -> bool:
        """Whether workload runs on it."""
        return "worker" in self.roles

    @property
    def is_node(self) -> bool:
        """Whether it is, or is to be, a node of the cluster: a control plane host or a worker."""
        return self.is_control_plane or self.is_worker


class LabTwin(Model, frozen=True):
    """Written by `inv lab.up` into the twin's site file: the network namespace in which the twin's addresses exist."""

    namespace: Name


class Site(Model, frozen=True):
    """The whole site, with ``hosts`` in the order of the file."""

    name: Name
    endpoint: Endpoint
    networks: Networks
    kubernetes: Kubernetes
    load_balancer: LoadBalancer
    ssh: Ssh
    hosts: tuple[Host, ...]
    roles: Roles = Roles()
    baseline: Baseline = Baseline()
    backup: Backup | None = None
    monitoring: Monitoring | None = None
    drills: Drills = Drills()
    example: bool = False
    lab: LabTwin | None = None

    @property
    def cluster_name(self) -> str:
        """The name in kubeadm's clusterName and in kubeconfigs: the site's own unless ``kubernetes.cluster_name`` says another."""
        return self.kubernetes.cluster_name or self.name

    @property
    def load_balancers(self) -> tuple[Host, ...]:
        """The LBs, highest VRRP priority first: the order in which they hold the VIP."""
        found = [host for host in self.hosts if host.is_lb]
        return tuple(sorted(found, key=lambda host: -(host.priority or 0)))

    def order_of(self, vip: Vip) -> tuple[Host, ...]:
        """Return the LBs in the order in which they hold ``vip``: the preferred one, then as they hold the VIP of the API."""
        return tuple(sorted(self.load_balancers, key=lambda host: host.name != vip.prefer))

    @property
    def ingress_vip(self) -> Address:
        """The address on which the ingress front ends listen: that of the VIP which serves them, else the VIP of the API."""
        return next((vip.address for vip in self.load_balancer.vips if "ingress" in vip.serves), self.endpoint.vip)

    @property
    def vips(self) -> dict[str, Address]:
        """Every virtual address by name, that of the API first, as "api"."""
        return {"api": self.endpoint.vip, **{vip.name: vip.address for vip in self.load_balancer.vips}}

    @property
    def control_plane(self) -> tuple[Host, ...]:
        """The control plane hosts in the order of the file; the first is the one that initialises the cluster."""
        return tuple(host for host in self.hosts if host.is_control_plane)

    @property
    def workers(self) -> tuple[Host, ...]:
        """The workers in the order of the file."""
        return tuple(host for host in self.hosts if host.is_worker)

    @property
    def nodes(self) -> tuple[Host, ...]:
        """The hosts that are to be nodes, each once: the control plane first, then the other workers."""
        return (*self.control_plane, *(host for host in self.workers if not host.is_control_plane))

    def of_node(self, host: Host) -> OfNodes:
        """Return what the node of ``host`` is to have: that of its roles, the host's own over it. A taint is known by its key and effect.

        Fields of ``kubelet`` are merged at every level, lists are replaced. ``patches`` begin with those of ``kubernetes.patches``.
        """
        having = ((host.is_control_plane, self.roles.control_plane), (host.is_worker, self.roles.worker))
        own = OfNodes(
            labels=host.labels, annotations=host.annotations, taints=host.taints, kubelet=host.kubelet, patches=host.patches
        )
        groups = [*(group for has, group in having if has), own]
        taints = {
            (text.partition(":")[0].partition("=")[0], text.rpartition(":")[2]): text for each in groups for text in each.taints
        }
        return OfNodes(
            labels={key: text for each in groups for key, text in each.labels.items()},
            annotations={key: text for each in groups for key, text in each.annotations.items()},
            taints=tuple(taints.values()),
            kubelet=reduce(over, (each.kubelet for each in groups), {}),
            patches=(*self.kubernetes.patches, *(path for each in groups for path in each.patches)),
        )

    def hops(self, host: Host) -> tuple[Gateway, ...]:
        """Return the gateways that lead to ``host``, the first one first.

        A gateway that is the host itself is reached through those before it, and is not passed.
        """
        given = self.ssh.gateway if host.ssh.gateway is None else host.ssh.gateway
        chain = given if isinstance(given, tuple) else (given,) if given else ()
        here = (host.address, host.ssh.port or self.ssh.port)
        own = next((number for number, each in enumerate(chain) if (each.address, each.port) == here), len(chain))
        return chain[:own]

    def behind(self, gateway: Gateway) -> tuple[Host, ...]:
        """Return the hosts that are reached through ``gateway``, in the order of the file."""
        return tuple(host for host in self.hosts if gateway in self.hops(host))

    def host(self, name: str, role: Role | Literal["node"] | None = None) -> Host:
        """Return the host of this name, which has ``role`` (any when None). Raises InventoryError that names those that have it."""
        there = {host.name: host for host in self._having(role)}
        if name not in there:
            raise InventoryError(f"{name} is no {WORDS[role]} of {self.name} ({', '.join(there)})")
        return there[name]

    def named(self, names: str, role: Role | Literal["node"] | None = None) -> tuple[Host, ...]:
        """Return the hosts that ``names`` (with commas) means, in the order of the file; all that have ``role`` when it is empty.

        Raises InventoryError as ``host`` does.
        """
        wanted = {self.host(word.strip(), role) for word in names.split(",") if word.strip()}
        return tuple(host for host in self._having(role) if not wanted or host in wanted)

    def _having(self, role: Role | Literal["node"] | None) -> list[Host]:
        return [host for host in self.hosts if role is None or role in host.roles or (role == "node" and host.is_node)]
