"""What was seen of a cluster that is to be adopted, as values. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

from runbooks.commands import lb_config
from runbooks.commands.adopt import HostLook
from runbooks.commands.adopt_cluster import ClusterLook, Member
from runbooks.commands.haproxy_environment import replaced
from runbooks.commands.haproxy_sections import Server
from runbooks.commands.keepalived_includes import Includes
from runbooks.commands.lb_claims import Claims
from runbooks.commands.lb_paths import HAPROXY_CFG, KEEPALIVED_CONF
from runbooks.inventory.words import Address
from runbooks.site.adopt.rules import proxies, vrrp
from runbooks.site.adopt.rules.proxies import Proxy
from runbooks.site.adopt.rules.vrrp import Instance


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """Where clients find the API server: controlPlaneEndpoint of kubeadm. ``name`` "" where it is an address; ``asked``: who knew the name's address."""

    vip: Address
    port: int
    name: str = ""
    asked: str = ""


@dataclass(frozen=True, kw_only=True)
class Balancer:
    """A host with HAProxy or keepalived. ``more``: the configurations that they read besides the usual files, by path; ``includes``: keepalived's."""

    address: Address
    look: HostLook
    claims: Claims
    more: Mapping[str, str] = field(default_factory=dict, repr=False)
    includes: Includes = field(default_factory=Includes, repr=False)

    @property
    def name(self) -> str:
        """Its own host name, in lower case as hosts.yaml wants it."""
        return self.look.hostname.lower()

    @cached_property
    def haproxy(self) -> str:
        """All that HAProxy reads, in its order."""
        return "\n".join(self.haproxy_files.values())

    @property
    def haproxy_files(self) -> dict[str, str]:
        """The files that HAProxy reads, by path, in its order."""
        return {path: text for each in self.claims.haproxy_reads for path, text in self._files(each).items()}

    @property
    def unknown(self) -> list[str]:
        """The variables in the files of HAProxy whose values are not known: where they stand, in words."""
        found, known = [], self.claims.environment
        for path, text in self.haproxy_files.items():
            said = replaced(text, known)
            found += [f"{name} ({path}, line {number})" for number, name in said.unknown]
            known = said.after
        return found

    @cached_property
    def keepalived(self) -> str:
        """All that keepalived reads, what is included in its place."""
        return "\n".join(self.includes.whole(path, text) for path, text in self.keepalived_files.items())

    @property
    def keepalived_files(self) -> dict[str, str]:
        """The files that keepalived is started with, by path."""
        named = self.claims.named.get("keepalived") or (KEEPALIVED_CONF,)
        return {path: "\n".join(self._files(path).values()) for path in named}

    @cached_property
    def instances(self) -> tuple[Instance, ...]:
        """The VRRP instances of keepalived."""
        return vrrp.instances(self.keepalived)

    @cached_property
    def proxies(self) -> tuple[Proxy, ...]:
        """The front ends and back ends of HAProxy."""
        return proxies.proxies(self.haproxy, self.claims.environment)

    @property
    def ours(self) -> bool:
        """Whether `inv lb.setup` wrote its configurations."""
        texts = [self.claims.files[path].content for path in (HAPROXY_CFG, KEEPALIVED_CONF) if path in self.claims.files]
        return len(texts) == 2 and all(map(lb_config.is_ours, texts))

    def instance_of(self, vip: Address) -> Instance | None:
        """Return the VRRP instance that has ``vip``."""
        return next((each for each in self.instances if str(vip) in each.addresses), None)

    def front(self, endpoint: Endpoint) -> Proxy | None:
        """Return the front end that listens where clients find the API server: on the VIP rather than on all addresses."""
        there = [
            (bind.address != str(endpoint.vip), proxy)
            for proxy in self.proxies
            for bind in proxy.binds
            if bind.port == endpoint.port and lb_config.overlap(bind.address, str(endpoint.vip))
        ]
        return min(there, key=lambda each: each[0], default=(True, None))[1]

    def servers(self, endpoint: Endpoint) -> tuple[Server, ...]:
        """Return the servers behind that front end."""
        front = self.front(endpoint)
        return proxies.through(self.proxies, front) if front else ()

    def serves(self, endpoint: Endpoint) -> bool:
        """Whether it is one of the load balancers behind the VIP."""
        return bool(self.look.has(endpoint.vip) or self.instance_of(endpoint.vip) or self.servers(endpoint))

    def _files(self, path: str) -> dict[str, str]:
        """Return the file at ``path``; of a directory the files in it."""
        own = {path: self.claims.files[path].content} if path in self.claims.files else {}
        return own | {
            other: text for other, text in self.more.items() if other == path or other.startswith(f"{path.rstrip('/')}/")
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeLook:
    """What one node says of itself."""

    look: HostLook
    manifests: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """All of it. ``nodes``: by the node's name, a text where it could not be read; ``balancers``: those that have been found.

    candidates  addresses that may be load balancers, which were not asked or did not answer, with the reason.
    """

    cluster: ClusterLook
    endpoint: Endpoint
    nodes: Mapping[str, NodeLook | str]
    balancers: tuple[Balancer, ...] = ()
    candidates: Mapping[str, str] = field(default_factory=dict)

    def read(self) -> dict[str, NodeLook]:
        """Return the nodes that could be read, by name."""
        return {name: each for name, each in self.nodes.items() if isinstance(each, NodeLook)}

    def address(self, member: Member) -> Address | None:
        """Return the address of a node: of the VIP's family, else its first one."""
        same = [each for each in member.addresses if each.version == self.endpoint.vip.version]
        return next(iter([*same, *member.addresses]), None)

    @property
    def leaders(self) -> tuple[Member, ...]:
        """The control plane hosts."""
        return tuple(each for each in self.cluster.members if each.control_plane)
