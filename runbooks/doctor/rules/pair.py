"""What is wrong with the load balancers and the VIP, and the findings of `cluster.verify` that nothing else explains. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime

from runbooks.commands.haproxy import Maintenance
from runbooks.commands.kubectl import url
from runbooks.commands.lb import LbState
from runbooks.commands.objects import Cluster
from runbooks.commands.verify import Health, HostFacts
from runbooks.inventory.model import Host, Site
from runbooks.rules import lb, lb_servers, next_command, verify_versions
from runbooks.rules.finding import Finding, Severity
from runbooks.rules.verify import node_of
from runbooks.rules.verify_hosts import LbReading
from runbooks.text import listed

# Topics of cluster.verify that are judged by the doctor's own rules, each by its cause.
ELSEWHERE = frozenset({"host", "etcd", "VIP", lb_servers.TOPIC, *verify_versions.TOPICS})
NOT_INSTALLED = "haproxy and keepalived are not installed"
GRAVE = frozenset({"API by VIP", "objects", "CAs"})  # clients cannot connect, or some of them are refused


def pair(states: Mapping[Host, LbState]) -> Iterator[Finding]:
    """Return what is wrong with the VIP, or else with each LB. `recover.vip` finds the reason."""
    if not states:
        return
    apart = lb.not_a_pair(states)
    bare = [host for host, state in states.items() if not (state.haproxy.enabled or state.keepalived.enabled)]
    yield from _bare(bare, alone=len(bare) == len(states))
    if len(bare) == len(states):
        return
    idle = {host: reason for host, state in states.items() if host not in bare and (reason := lb.not_serving(state))}
    if apart:
        seen = "; ".join([apart, *(f"{host}: {reason}" for host, reason in idle.items())])
        who = "clients" if apart != "; ".join(lb.others_apart(states)) else "clients of that VIP"
        nothing = "clients reach no API server" if who == "clients" else f"{who} reach nothing"
        why = nothing if "no LB" in apart else f"{who} reach one LB or the other at random"
        yield Finding("fail", topic="VIP", seen=seen, why=why, fix="inv recover.vip", explains=frozenset(states))
        return
    for host, reason in idle.items():
        yield Finding(
            "warn",
            topic="LB",
            host=host.name,
            seen=reason,
            why="the VIP cannot fail over",
            fix="inv recover.vip",
            explains=frozenset({host}),
        )
    for host, state in states.items():
        if state.drained and host not in idle:
            seen = "drained: it takes the VIP only when the other one fails"
            yield Finding("note", topic="LB", host=host.name, seen=seen, fix="inv lb.failover")


def _bare(hosts: Sequence[Host], *, alone: bool) -> Iterator[Finding]:
    """Return the LBs without HAProxy and keepalived; ``alone``: there is no other one."""
    if alone:
        why = "no LB has the VIP: clients reach no API server"
        yield Finding(
            "fail", topic="LB", host=listed(hosts), seen=NOT_INSTALLED, why=why, fix="inv lb.setup", explains=frozenset(hosts)
        )
        return
    why = "it was replaced by an empty machine: the VIP cannot fail over"
    for host in hosts:
        fix = next_command.replace(host)
        yield Finding("warn", topic="LB", host=host.name, seen=NOT_INSTALLED, why=why, fix=fix, explains=frozenset({host}))


def api_servers(health: Mapping[Host, Sequence[Health]], explained: Collection[Host]) -> Iterator[Finding]:
    """Return the hosts whose own API server fails its checks without a known cause; the finding explains pods and backends."""
    for host, answers in health.items():
        own = [each for each in answers if each.server == url(host.address) and not each.ok]
        if own and host not in explained:
            said = f"fails its checks: {listed(own[0].failed)}" if own[0].failed else own[0].error
            fix = f"on {host}: crictl ps -a --name kube-apiserver; crictl logs ID; journalctl -u kubelet -n 50"
            yield Finding(
                "warn",
                topic="API server",
                host=host.name,
                seen=f"its API server: {said}",
                why="the other API servers serve its share",
                fix=fix,
                explains=frozenset({host}),
            )


def taken_out(balancers: Mapping[Host, LbReading], explained: Collection[Host]) -> Iterator[Finding]:
    """Return the servers that a person or an interrupted command has taken out of the LBs (MAINT) and not put back.

    One that was taken out by `inv lb.maintenance` is a note: somebody is at work there.
    """
    names = {host.name for host in explained}
    out: dict[tuple[str, str], list[Host]] = {}
    noted: dict[tuple[str, str, Maintenance], list[Host]] = {}
    for host, (state, backends) in balancers.items():
        for each in () if state.foreign else backends or ():
            if each.maintenance:
                noted.setdefault((each.proxy, each.server, each.maintenance), []).append(host)
            elif each.out and each.server not in names:
                out.setdefault((each.proxy, each.server), []).append(host)
    for (proxy, server, why), hosts in noted.items():
        seen = f"{server} is taken out of {proxy} since {datetime.fromtimestamp(why.since, UTC):%Y-%m-%d %H:%M} UTC by {why.who}: {why.reason}"
        fix = f"when that is over: inv lb.maintenance off --server {server} --backend {proxy}"
        yield Finding("note", topic="LB", host=listed(hosts), seen=seen, fix=fix)
    for (proxy, server), hosts in out.items():
        seen = f"{server} gets no connections: it was taken out of {proxy} (MAINT) and not put back"
        yield Finding(
            "warn", topic="LB", host=listed(hosts), seen=seen, fix=f"inv lb.maintenance off --server {server} --backend {proxy}"
        )


def servers(
    site: Site, balancers: Mapping[Host, LbReading], facts: Mapping[Host, HostFacts], unlisted: Collection[str]
) -> list[Finding]:
    """Return the servers that the LBs lack or have too many. The others serve, so it is no failure yet."""
    joined = [host for host, seen in facts.items() if seen.joined]
    found = lb_servers.findings(site, balancers, joined=joined, unlisted=unlisted)
    return [replace(each, severity="warn") for each in found]


def strangers(site: Site, addresses: Collection[str]) -> Iterator[Finding]:
    """Return the addresses in the Endpoints object `kubernetes` that no control plane host has."""
    known = {str(host.address) for host in site.control_plane}
    for address in sorted(set(addresses) - known):
        why = "a share of the connections from pods to the API fails"
        fix = f"etcdctl del /registry/masterleases/{address}, on a control plane host; or add that host to hosts.yaml"
        yield Finding(
            "warn",
            topic="API",
            seen=f"its endpoints name {address}, which is no control plane host of hosts.yaml",
            why=why,
            fix=fix,
        )


# ---- what cluster.verify sees


def without(cluster: Cluster | str, hosts: Iterable[Host]) -> Cluster | str:
    """Return the cluster's objects without the nodes of ``hosts``; pods there count as ready, because their cause is known."""
    if isinstance(cluster, str):
        return cluster
    gone = {node.name for host in hosts if (node := node_of(cluster.nodes, host))}
    leases = tuple(lease for lease in cluster.leases if lease.holder.rpartition("_")[0] not in gone)
    missing = {lease.name for lease in cluster.leases} - {lease.name for lease in leases}
    kept = leases + tuple(lease for lease in cluster.leases if lease.name in missing)
    return replace(
        cluster,
        nodes=tuple(node for node in cluster.nodes if node.name not in gone),
        pods=tuple(replace(pod, ready=True) if pod.node in gone else pod for pod in cluster.pods),
        leases=kept,
    )


def without_servers(seen: LbReading, hosts: Iterable[Host]) -> LbReading:
    """Return an LB's answer without the servers on ``hosts`` and without those in MAINT."""
    state, backends = seen
    names = {host.name for host in hosts}
    if backends is None:
        return state, None
    return state, tuple(each for each in backends if each.server not in names and not each.out)


def remaining(rows: Iterable[Finding], hosts: Iterable[Host]) -> list[Finding]:
    """Return the findings of `cluster.verify` that are not about ``hosts``, whose cause is known. The same finding of two LBs is one."""
    names = {host.name for host in hosts}
    alike: dict[tuple[str, str, str], list[Finding]] = {}
    for row in rows:
        if row.severity == "ok" or row.topic in ELSEWHERE or row.host in names:
            continue
        alike.setdefault((row.topic, row.severity, row.seen if row.topic == "LB" else f"{row.host} {row.seen}"), []).append(row)
    return [_as_one(those) for those in alike.values()]


def _as_one(rows: Sequence[Finding]) -> Finding:
    first = rows[0]
    grave: Severity = "fail" if first.topic in GRAVE else "warn"
    severity: Severity = grave if first.severity == "fail" else "note"
    return replace(first, severity=severity, host=listed(row.host for row in rows if row.host))


def no_cluster(answering: Collection[Host]) -> Finding | None:
    """Return the finding that no cluster exists yet; None when no control plane host answers."""
    if not answering:
        return None
    return Finding("warn", topic="cluster", seen=f"there is no cluster yet on {listed(answering)}", fix="inv cluster.init")
