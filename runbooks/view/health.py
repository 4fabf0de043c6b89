"""The health of the whole cluster: read everything, and judge it as findings."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import uuid4

from runbooks.commands import etcd, haproxy, kubectl, lb, load, objects, setup_look, yaml_text
from runbooks.commands import verify as commands
from runbooks.commands.base import Probe, named_batch
from runbooks.commands.objects import Cluster
from runbooks.commands.verify import Health, HostFacts
from runbooks.engine.steps import Run
from runbooks.errors import RunbookError, reason
from runbooks.inventory.model import Host, Site
from runbooks.rules import etcd as etcd_rules
from runbooks.rules import host_setup, lb_servers, verify_etcd, verify_hosts, verify_pods, verify_versions
from runbooks.rules import lb as lb_rules
from runbooks.rules import verify as rules
from runbooks.rules.etcd import View
from runbooks.rules.finding import Finding, at_least
from runbooks.view.cluster import Survey


@dataclass(slots=True)
class ClusterReadings:
    """What was read from the site.

    hosts       of each host its readings by kind ("load", "facts", "setup", "health", "etcd", "lb", "backends"), or its error.
    reader      the control plane host whose API server returned the objects, or None.
    cluster     the objects, or why there are none.
    namespaces  the namespaces whose pods were read.
    extra       what a command has asked of the reader besides, by kind; None for what has failed.
    """

    hosts: dict[Host, dict[str, Any] | RunbookError]
    reader: Host | None = None
    cluster: Cluster | str = "no API server answers"
    namespaces: tuple[str, ...] = field(default=())
    extra: dict[str, Any] = field(default_factory=dict)

    @property
    def there(self) -> list[Host]:
        """The hosts that answered."""
        return [host for host, said in self.hosts.items() if not isinstance(said, RunbookError)]

    def of(self, kind: str) -> dict[Host, Any]:
        """Return one kind of reading from every host that has it."""
        return {host: said[kind] for host, said in self.hosts.items() if not isinstance(said, RunbookError) and kind in said}


def wrong(site: Site, seen: ClusterReadings, *, joined_only: bool = False) -> list[Finding]:
    """Return the failures. Nothing was changed to see them, so the write through the VIP is left out.

    Servers that the LBs lack are left out too: only `inv lb.setup` adds them, which the caller names at its end. ``joined_only``: so
    are hosts that answer and are in no cluster, for a procedure that joins no host: their own findings, their etcd, which has no member,
    and their servers on the LBs.
    """
    outside = not_joined(site, seen) if joined_only else []
    for host in outside:
        _leave_out(site, seen, host)
    found = at_least("fail", judge(site, seen))
    own = [each for each in found if each.topic == "etcd" or each.host not in map(str, outside)]
    return [each for each in own if each.topic != lb_servers.TOPIC]


def _leave_out(site: Site, seen: ClusterReadings, host: Host) -> None:
    """Take out of ``seen`` what other checks would report of ``host``. Not if etcd has a member there: that one counts for the quorum."""
    own = seen.hosts[host]
    if isinstance(own, RunbookError) or _view(site, seen).member_of(host):
        return
    seen.hosts[host] = {kind: said for kind, said in own.items() if kind != "etcd"}
    for balancer, said in seen.hosts.items():
        if not isinstance(said, RunbookError) and (backends := said.get("backends")):
            kept = [each for each in backends if (each.proxy, each.server) != (lb_servers.API, host.name)]
            seen.hosts[balancer] = {**said, "backends": kept}


def not_joined(site: Site, seen: ClusterReadings) -> list[Host]:
    """Return the hosts that answer and are in no cluster."""
    return [host for host, each in host_facts(site, seen).items() if isinstance(each, HostFacts) and not each.joined]


def not_ready(run: Run, host: Host, *, fresh: bool = True) -> list[Finding]:
    """Return the failures of nodes and pods, asked from the API server of ``host`` alone; none when it does not return the nodes."""
    site, spaces = run.site, cluster_namespaces(run.site)
    found = run.read_each({host: objects.cluster(host, spaces)}, fresh=fresh)[host]
    if isinstance(found, RunbookError) or objects.NODES in found.errors:
        return []
    return at_least("fail", [*rules.nodes(site, found), *verify_pods.pods(site, found, spaces)])


SETTLED_S = 3  # a VIP that moves, or an election, is over by then
Parts = Callable[[Host], Mapping[str, Probe[Any]]]


def _nothing(_: Host) -> Mapping[str, Probe[Any]]:
    return {}


def _by_itself(probe: Probe[dict[str, Any]]) -> Probe[dict[str, Any]]:
    return probe


@dataclass(frozen=True, slots=True)
class More:
    """What a command asks in the same round trips as `look`: the results stand beside its own. All of them are `optional`.

    hosts   of every host, with everything else.
    reader  of the host whose API server returns the objects, with these.
    around  returns the probe of everything on a host with what is asked before and after it, by kinds of its own.
    """

    hosts: Parts = _nothing
    reader: Parts = _nothing
    around: Callable[[Probe[dict[str, Any]]], Probe[dict[str, Any]]] = _by_itself


def look(run: Run, more: More | None = None, *, fresh: bool = True) -> ClusterReadings:
    """Read all hosts in parallel, then the cluster's objects from the first API server that returns them.

    ``fresh`` False: what this run has read since its last change is not read again.
    """
    site, more = run.site, more or More()
    probes = {
        host: more.around(named_batch(parts)) for host in site.hosts if (parts := {**parts_of(site, host), **more.hosts(host)})
    }
    seen = ClusterReadings(run.read_each(probes, fresh=fresh), namespaces=cluster_namespaces(site))
    health = seen.of("health")
    for host in rules.readers(health):
        # A server that is not well may need minutes for these, and return no objects after all.
        early = more.reader(host) if rules.is_well(host, health[host]) else {}
        asked = named_batch({"objects": objects.cluster(host, seen.namespaces), **early})
        found = run.read_each({host: asked}, fresh=fresh)[host]
        if isinstance(found, RunbookError):
            seen.cluster = f"{host}: {reason(host, found)}"
            continue
        cluster: Cluster = found.pop("objects")
        if objects.NODES not in cluster.errors:
            seen.reader, seen.cluster, seen.extra = host, cluster, found or _extra(run, host, more.reader(host))
            break
        seen.cluster = cluster.errors[objects.NODES]
    return seen


def _extra(run: Run, host: Host, parts: Mapping[str, Probe[Any]]) -> dict[str, Any]:
    said = run.read_each({host: named_batch(parts)}, fresh=True)[host] if parts else {}
    return {} if isinstance(said, RunbookError) else said


def ahead(run: Run, survey: Survey, more: Parts) -> None:
    """Ask every host at the same time what `look` asks it, and ``more``: the answers are kept until something is changed.

    For a procedure that often finds nothing to do: hardly any host is asked again. What fails here, the step that needs it will tell.
    """
    site = run.site
    survey.once(run, {host: named_batch(parts) for host in site.hosts if (parts := {**parts_of(site, host), **more(host)})})


def parts_of(site: Site, host: Host) -> dict[str, Probe[Any]]:
    """Return the probes of `look` for one host by kind; they run in one round trip."""
    parts: dict[str, Probe[Any]] = {"load": load.look(site)}
    if host.is_node:
        parts |= {"facts": commands.host_facts(host), "setup": setup_look.look(site)}
    if host.is_control_plane:
        parts["health"] = commands.health([kubectl.url(host.address), kubectl.as_clients(site)])
        if site.kubernetes.etcd == "stacked":
            parts["etcd"] = etcd.look()
    if host.is_lb:
        parts |= {"lb": lb.state(site, host), "backends": haproxy.backends()}
    return parts


def once_more(run: Run, seen: ClusterReadings, since: float = -SETTLED_S) -> None:
    """Ask the LBs and members of etcd that have a problem again: a VIP that is moving, or an election, is no finding.

    Not before SETTLED_S seconds after ``since`` (monotonic), when the first answers were asked for; by default at once.
    """
    states = seen.of("lb")
    apart = lb_rules.not_a_pair(states) if states else ""
    probes: dict[Host, dict[str, Probe[Any]]] = {
        host: {"lb": lb.state(run.site, host), "backends": haproxy.backends()}
        for host, state in states.items()
        if apart or lb_rules.not_serving(state)
    }
    if run.site.kubernetes.etcd == "stacked" and etcd_rules.faults(_view(run.site, seen)):
        for host in seen.of("etcd"):
            probes.setdefault(host, {})["etcd"] = etcd.look()
    if probes:
        time.sleep(max(0.0, since + SETTLED_S - time.monotonic()))
    for host, said in run.read_each({host: named_batch(parts) for host, parts in probes.items()}, fresh=True).items():
        if isinstance(said, dict):
            seen.hosts[host] = _read(seen, host) | said


def _read(seen: ClusterReadings, host: Host) -> dict[str, Any]:
    own = seen.hosts.get(host)
    return own if isinstance(own, dict) else {}


def cluster_namespaces(site: Site) -> tuple[str, ...]:
    """Return the namespaces of the cluster's own pods: kube-system and the pod network's."""
    if site.kubernetes.cni == "flannel":
        return ("kube-system", "kube-flannel")
    named = _workloads(site.kubernetes.cni) if isinstance(site.kubernetes.cni, Path) else []
    return tuple(dict.fromkeys(["kube-system", *(named or verify_pods.NETWORK_NAMESPACES)]))


def _workloads(manifest: Path) -> list[str]:
    """Return the namespaces of the workloads in a manifest; none when it cannot be read, since `cluster.init` reports that."""
    try:
        documents = [each for each in yaml_text.documents(manifest.read_text(encoding="utf-8")) if isinstance(each, dict)]
    except (OSError, ValueError):
        return []
    running = [each.get("metadata") for each in documents if each.get("kind") in {"DaemonSet", "Deployment", "StatefulSet"}]
    spaces = [each.get("namespace") for each in running if isinstance(each, dict)]
    return [each for each in spaces if isinstance(each, str) and each]


def judge(site: Site, seen: ClusterReadings, place: str = "hosts.yaml") -> list[Finding]:
    """Return the findings of every check. ``place``: where kubernetes.version stands."""
    facts, view = host_facts(site, seen), _view(site, seen)
    joined = [host for host, each in facts.items() if isinstance(each, HostFacts) and each.joined]
    health: dict[Host, Sequence[Health]] = {host: each for host, each in seen.of("health").items() if host in joined}
    nodes = () if isinstance(seen.cluster, str) else seen.cluster.nodes
    rows = [*rules.hosts(facts, rules.remembered(site, view, nodes)), *rules.api_servers(site, health)]
    if site.kubernetes.etcd == "stacked":
        rows += verify_etcd.rows(view)
    if isinstance(seen.cluster, str):
        rows.append(Finding("fail", topic="objects", seen=seen.cluster, fix="inv cluster.status"))
    else:
        rows += rules.nodes(site, seen.cluster, not_joined(site, seen))
        rows += rules.leaders(site, seen.cluster)
        rows += verify_pods.pods(site, seen.cluster, seen.namespaces)
        rows.append(rules.config(site, seen.cluster))
        rows += verify_versions.findings(site, seen.cluster, place)
    rows += [verify_hosts.certificates(site, host, facts_of) for host in joined if isinstance(facts_of := facts[host], HostFacts)]
    rows += verify_hosts.shared(site, facts)
    balancers = _balancers(site, seen)
    rows += verify_hosts.load_balancers(balancers)
    rows += lb_servers.findings(site, balancers, joined=joined, unlisted=unlisted_masters(site, seen.cluster))
    rows += host_setup.findings(site, {host: each for host, each in seen.of("setup").items() if host in joined})
    rows += verify_hosts.loads(seen.of("load"))
    # The API server reports a lost node as Ready for up to 40 s: leave out what is "ok" on a host that does not answer.
    silent = {host.name for host, said in seen.hosts.items() if isinstance(said, RunbookError)}
    return [row for row in dict.fromkeys(rows) if row.severity != "ok" or row.host not in silent]


def unlisted_masters(site: Site, cluster: Cluster | str) -> list[str]:
    """Return the control plane nodes of the cluster that hosts.yaml does not have."""
    if isinstance(cluster, str):
        return []
    masters = [node for node in cluster.nodes if node.is_control_plane]
    return rules.unlisted_nodes(site, masters)


def host_facts(site: Site, seen: ClusterReadings) -> dict[Host, HostFacts | RunbookError]:
    """Return the facts of every node, or its error."""
    said = {host: seen.hosts[host] for host in site.nodes}
    return {host: each if isinstance(each, RunbookError) else each["facts"] for host, each in said.items()}


def _view(site: Site, seen: ClusterReadings) -> View:
    stacked = site.kubernetes.etcd == "stacked"
    said = {host: seen.hosts[host] for host in site.control_plane if stacked}
    read = {host: each for host, each in said.items() if isinstance(each, RunbookError) or "etcd" in each}
    return View({host: reason(host, each) if isinstance(each, RunbookError) else each["etcd"] for host, each in read.items()})


def _balancers(site: Site, seen: ClusterReadings) -> dict[Host, verify_hosts.LbReading | RunbookError]:
    said = {host: seen.hosts[host] for host in site.load_balancers}
    return {host: each if isinstance(each, RunbookError) else (each["lb"], each["backends"]) for host, each in said.items()}


def write_through_vip(run: Run, host: Host) -> Finding:
    """Create an object through the VIP from this control plane host, read it back and delete it; return the finding."""
    probe = commands.write(run.site, f"ha-runbooks-verify-{uuid4().hex[:8]}")
    return rules.written(host, run.read_each({host: probe}, fresh=True)[host])
