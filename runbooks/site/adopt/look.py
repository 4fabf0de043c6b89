"""Find a cluster from one of its control plane hosts: its nodes from the API, then its load balancers. Only looks."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from ipaddress import ip_address
from typing import Any

from runbooks.commands import adopt, adopt_cluster, haproxy_environment, lb_claims, settings_look
from runbooks.commands.adopt import ADMIN, HostLook
from runbooks.commands.adopt_cluster import ClusterLook, Silent
from runbooks.commands.base import Probe, named_batch
from runbooks.commands.lb_config import canonical
from runbooks.commands.lb_paths import KEEPALIVED_CONF
from runbooks.engine.readings import Readings
from runbooks.engine.ssh import Ssh
from runbooks.errors import InventoryError, NotServing, PrecheckError, RunbookError, reason
from runbooks.inventory.model import Host
from runbooks.inventory.words import Address
from runbooks.local.names import known_as
from runbooks.site.adopt.ground import Ground
from runbooks.site.adopt.login import Logins
from runbooks.site.adopt.patience import patiently
from runbooks.site.adopt.rules import endpoint
from runbooks.site.adopt.rules.seen import Balancer, Endpoint, NodeLook, Seen
from runbooks.site.trusting import Asking, trust
from runbooks.text import listed
from runbooks.view.includes import gather

MOST_PEERS = 8  # so many load balancers are followed from one to the next, and asked at once


@dataclass
class Explorer:
    """Connects to hosts that no site file names yet. ``yes``: record their keys without asking. ``ask`` returns addresses of load balancers.

    ``ask`` gets what was found of them, in lines, and the addresses that the control plane hosts have heard of.
    """

    ground: Ground
    logins: Logins
    yes: bool
    ask: Callable[[Sequence[str], Sequence[Address]], Sequence[Address]]
    _ssh: Ssh = field(init=False)
    _readings: Readings = field(init=False)

    def __post_init__(self) -> None:
        self.first = self.logins.first()
        self.ground.allow([self.first])
        self._site = self.ground.stand_in(self.host(self.logins.given.host, self.first), self.logins.ssh)
        self._ssh = Ssh(self._site)
        self._readings = Readings(self._ssh)
        self._asked: dict[Address, Host] = {}

    def close(self) -> None:
        """Close every connection."""
        self._ssh.close()

    def host(self, name: str, address: Address, *roles: Any) -> Host:
        """Return a host to connect to."""
        return Host(name=name, address=address, roles=roles, ssh=self.logins.of(name, address))

    def trust(self, hosts: Iterable[Host]) -> dict[Host, RunbookError]:
        """Show the keys of hosts that are new here, and record them; return the hosts that gave none. Raises PrecheckError when it may not go on."""
        new = [each for each in hosts if each.address not in self._asked]
        self.ground.allow(each.address for each in new)
        self.ground.allow(address for each in new for way in self._site.hops(each) for address in known_as(way.address))
        known = self._site.ssh.known_hosts
        asking = Asking(yes=self.yes, way_out=lambda server: f"delete the line of {server.entry} in {known}")
        failed = trust(self._site, new, asking) if new else {}
        self._asked |= {each.address: each for each in new if each.name not in failed}
        return {each: failed[each.name] for each in new if each.name in failed}

    def read(self, probes: Mapping[Host, Probe[Any]]) -> dict[Host, Any]:
        """Return what each host says, or its error; those whose key is not known get that error."""
        failed = self.trust(probes)
        said = self._readings.read_each({host: probe for host, probe in probes.items() if host not in failed}, fresh=False)
        return failed | said

    def explore(self, lbs: Sequence[Address]) -> Seen:
        """Return all that was found. ``lbs``: the load balancers, where they were named.

        Raises PrecheckError or InventoryError where this is no cluster that can be adopted, and the error of the first host.
        """
        first = self.host(self.logins.given.host, self.first, "control-plane")
        opened = self._one(first, adopt.look())
        if ADMIN not in opened.servers:
            raise PrecheckError(_no_leader(opened, self.first), hint="--host has to be a control plane host")
        cluster = self._cluster(first)
        nodes = self._nodes(cluster)
        looks = {name: each.look for name, each in nodes.items() if isinstance(each, NodeLook)}
        manifests = {name: each.manifests for name, each in nodes.items() if isinstance(each, NodeLook)}
        if other := endpoint.holder(cluster, manifests):
            raise InventoryError(
                f"the VIP of this cluster is held by {other}, not by HAProxy and keepalived",
                hint="this tool looks after clusters with load balancers of their own; nothing was written",
            )
        where = endpoint.endpoint(cluster, looks)
        leaders = [looks[each.name] for each in cluster.members if each.control_plane and each.name in looks]
        guesses = lbs or endpoint.candidates(cluster, where, leaders, looks.values())
        if guesses and not lbs:
            print(f"\n{listed(guesses)}: talks to every API server, and may be a load balancer")
        on_nodes = [each.address for each in self._with_vip(cluster, looks, where)]
        balancers, left = self._balancers([*on_nodes, *guesses], where)
        if len(balancers) < 2 and not lbs:
            heard = sorted({each for look in leaders for each in look.neighbours}, key=str)
            known = {each.address for each in balancers}
            found = listed(f"{each.name} ({each.address})" for each in balancers) or "no load balancer"
            said = [f"{found}: all that was found behind {where.vip}", *(f"{address}: {why}" for address, why in left.items())]
            more, silent = self._balancers([each for each in self.ask(said, heard) if each not in known], where)
            balancers, left = [*balancers, *more], left | silent
        return Seen(cluster=cluster, endpoint=where, nodes=nodes, balancers=tuple(balancers), candidates=left)

    def _one(self, host: Host, probe: Probe[Any]) -> Any:
        said = self.read({host: probe})[host]
        if isinstance(said, RunbookError):
            raise said
        return said

    def _cluster(self, first: Host) -> ClusterLook:
        """Return what the API server of ``first`` says, which may have just been started. Raises NotServing when it gives no answer in time."""

        def ask() -> ClusterLook | str:
            self._readings.forget()
            found: ClusterLook | str = self._one(first, adopt_cluster.look(first))
            return found

        def missing(each: ClusterLook | str) -> str:
            return each if isinstance(each, Silent) else ""

        said = patiently(ask, missing, first.name)
        if not isinstance(said, ClusterLook):
            raise NotServing(f"{first}: {said}", hint="--host takes any control plane host: try another one")
        return said

    def _nodes(self, cluster: ClusterLook) -> dict[str, NodeLook | str]:
        """Return what every node of the cluster says, or why it says nothing."""
        hosts = {
            member.name: self.host(member.name, _reached(member.addresses, self.first))
            for member in cluster.members
            if member.addresses
        }
        parts = {"look": adopt.look(), "settings": settings_look.look()}
        said = self.read({host: named_batch(parts) for host in hosts.values()})
        found: dict[str, NodeLook | str] = {member.name: "its Node has no InternalIP" for member in cluster.members}
        for name, host in hosts.items():
            each = said[host]
            if isinstance(each, RunbookError):
                found[name] = reason(host, each)
                continue
            files = [path for path in each["settings"].files if path.startswith(f"{settings_look.MANIFESTS}/")]
            found[name] = NodeLook(look=each["look"], manifests=tuple(path.rpartition("/")[2] for path in files))
        return found

    def _with_vip(self, cluster: ClusterLook, looks: Mapping[str, HostLook], where: Endpoint) -> list[Host]:
        """Return the nodes that are load balancers themselves: keepalived runs there, or the VIP is there."""
        return [
            self.host(each.name, _reached(each.addresses, self.first))
            for each in cluster.members
            if each.name in looks and (looks[each.name].has(where.vip) or "keepalived" in looks[each.name].active)
        ]

    def _balancers(self, addresses: Sequence[Address], where: Endpoint) -> tuple[list[Balancer], dict[str, str]]:
        """Read what may be load balancers, and those that these name as their peers. Return those that are, and why the others are none."""
        found: dict[Address, Balancer] = {}
        left: dict[str, str] = {}
        wanted = list(dict.fromkeys(addresses))
        while wanted and len(found) < MOST_PEERS:
            asked = {self.host(str(each), each): each for each in wanted}
            said = self.read({host: named_batch({"look": adopt.look(), "claims": lb_claims.look()}) for host in asked})
            for host, each in said.items():
                if isinstance(each, RunbookError):
                    left[host.name] = f"talks to the API servers, and could not be asked: {reason(host, each)}"
                    continue
                one = Balancer(address=host.address, look=each["look"], claims=each["claims"])
                one = self._with_variables(host, replace(one, more=self._more(host, one)))
                one = replace(one, includes=gather(partial(self._one, host), host, one.keepalived_files))
                if one.serves(where):
                    found[host.address] = one
                else:
                    unknown = (
                        f"; the values of variables of its HAProxy are not known: {listed(one.unknown)}" if one.unknown else ""
                    )
                    left[host.name] = f"talks to the API servers, and is no load balancer of this VIP{unknown}"
            wanted = [each for each in _peers(found.values(), where) if each not in found and str(each) not in left]
        return list(found.values()), left

    def _with_variables(self, host: Host, one: Balancer) -> Balancer:
        """Read the variables that the configurations of HAProxy name; where the host does not say them, they stay unknown."""
        names = haproxy_environment.names(one.haproxy_files.values())
        said = self._readings.read_each({host: haproxy_environment.look(names)}, fresh=False)[host] if names else None
        return (
            one if said is None or isinstance(said, RunbookError) else replace(one, claims=replace(one.claims, environment=said))
        )

    def _more(self, host: Host, one: Balancer) -> dict[str, str]:
        """Read the configurations beside the usual files."""
        keepalived = [each for each in one.claims.named.get("keepalived", ()) if each != KEEPALIVED_CONF]
        paths = [*one.claims.other_paths, *keepalived]
        said = self._readings.read_each({host: lb_claims.beside(paths)}, fresh=False)[host] if paths else {}
        return {} if isinstance(said, RunbookError) else said


def _peers(found: Iterable[Balancer], where: Endpoint) -> list[Address]:
    """Return the load balancers that keepalived sends its adverts to. One that is written as a variable (`$PEER`) is not known."""
    named = [canonical(peer) for each in found if (one := each.instance_of(where.vip)) for peer in one.peers]
    return [ip_address(each) for each in dict.fromkeys(named) if each][:MOST_PEERS]


def _reached(addresses: Sequence[Address], first: Address) -> Address:
    """Return the address of a node by which it is reached: of the family of the one that was given."""
    return next((each for each in addresses if each.version == first.version), addresses[0])


def _no_leader(look: HostLook, address: Address) -> str:
    """Return what the host is instead."""
    if look.servers:
        return f"{look.hostname} ({address}) is a node, and no control plane host: its API server is {listed(sorted(set(look.servers.values())))}"
    if {"haproxy", "keepalived"} & look.active:
        return f"{look.hostname} ({address}) is a load balancer, and no control plane host"
    return f"{look.hostname} ({address}) is in no cluster: it has no /etc/kubernetes/{ADMIN}"
