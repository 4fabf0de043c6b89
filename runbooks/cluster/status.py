"""`inv cluster.status`: every host of the cluster on one screen, also when only some of them answer."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from runbooks.cluster.rules import status as rules
from runbooks.commands import etcd, lb, objects
from runbooks.commands import verify as commands
from runbooks.commands.base import Probe, named_batch
from runbooks.commands.lb import LbState
from runbooks.commands.node_objects import Node
from runbooks.commands.objects import Cluster
from runbooks.commands.verify import HostStatus
from runbooks.engine.steps import Run
from runbooks.errors import OutcomeError, RunbookError, reason
from runbooks.inventory.model import Host, Site
from runbooks.inventory.words import literal
from runbooks.rules.etcd import View
from runbooks.rules.etcd_standing import standing
from runbooks.rules.finding import Finding, at_least, for_machines, told
from runbooks.rules.verify import node_of, unlisted_nodes
from runbooks.rules.verify_versions import findings
from runbooks.text import age_text, table
from runbooks.view import upgrading

if TYPE_CHECKING:
    from runbooks.engine.session import Session


OBJECTS = (objects.NODES, objects.KUBEADM_CONFIG, objects.control_plane_pods())  # the last two for their versions


@dataclass(frozen=True, slots=True)
class StatusReadings:
    """What was read at one time. ``cluster`` is None when no API server returned the nodes."""

    statuses: dict[Host, HostStatus | RunbookError]
    etcd: View
    lbs: dict[Host, LbState | RunbookError]
    cluster: Cluster | None


def show(session: Session) -> None:
    """Print every host. Raises OutcomeError when there is no cluster, or when something is wrong."""
    site, run = session.site, session.run
    seen = look(run)
    found = list(dict.fromkeys([*rules.problems(site, seen.statuses, seen.etcd, seen.cluster), *rules.of_balancers(seen.lbs)]))
    versions = findings(site, seen.cluster, session.place("kubernetes.version")) if seen.cluster else []
    known = at_least("note", upgrading.told(run, versions))
    found += at_least("warn", known)
    if rules.no_cluster(seen.statuses):
        found = [Finding("fail", topic="cluster", seen="there is no cluster yet", fix="inv cluster.init")]
    if session.options.json:
        print(json.dumps(_machine(site, seen, found, known)))
    elif not rules.no_cluster(seen.statuses):
        print(_head(site, seen) + "\n")
        print(nodes_table(site, seen, seen.cluster) if seen.cluster else hosts_table(site, seen))
        for each in known:
            if each not in found:
                print(f"\n{told(each)}\n-> {each.fix}")
    if rules.no_cluster(seen.statuses):
        raise OutcomeError(f"{site.name}: no cluster yet", hint="inv cluster.init builds it")
    if found:
        raise OutcomeError("\n       ".join(map(told, found)), hint=rules.next_look(seen.cluster, found))


def look(run: Run) -> StatusReadings:
    """Read all hosts in parallel, then the nodes from one API server that is ready."""
    site = run.site
    said = run.read_each({host: named_batch(parts) for host in site.hosts if (parts := _parts(site, host))}, fresh=True)
    statuses: dict[Host, HostStatus | RunbookError] = {host: _of(said[host], "status") for host in site.nodes}
    members = {host: said[host] for host in site.control_plane if site.kubernetes.etcd == "stacked"}
    view = View({host: reason(host, each) if isinstance(each, RunbookError) else each["etcd"] for host, each in members.items()})
    lbs: dict[Host, LbState | RunbookError] = {host: _of(said[host], "lb") for host in site.load_balancers}
    for host, each in statuses.items():
        if isinstance(each, HostStatus) and each.api == "ok":
            found = run.read_each({host: objects.objects(host, OBJECTS)}, fresh=True)[host]
            if not isinstance(found, RunbookError) and objects.NODES not in found.errors:
                return StatusReadings(statuses, view, lbs, found)
    return StatusReadings(statuses, view, lbs, None)


def _parts(site: Site, host: Host) -> dict[str, Probe[Any]]:
    parts: dict[str, Probe[Any]] = {}
    if host.is_node:
        parts["status"] = commands.host_status(host)
    if host.is_control_plane and site.kubernetes.etcd == "stacked":
        parts["etcd"] = etcd.look()
    if host.is_lb:
        parts["lb"] = lb.state(site, host)
    return parts


def _of(said: dict[str, Any] | RunbookError, kind: str) -> Any:
    return said if isinstance(said, RunbookError) else said[kind]


# ---- for people


def _head(site: Site, seen: StatusReadings) -> str:
    wanted = site.nodes
    holders = [str(host) for host, each in seen.lbs.items() if isinstance(each, LbState) and each.holds_vip]
    vip = f"VIP {literal(site.endpoint.vip)}:{site.endpoint.port} on {' and '.join(holders) or 'no LB'}"
    if left := standing(seen.etcd):
        vip += f"; etcd: {left}"
    if not seen.cluster:
        return f"{site.name}: no API server answers; {vip}"
    nodes = {host: node_of(seen.cluster.nodes, host) for host in wanted if isinstance(seen.statuses[host], HostStatus)}
    ready = [host for host, node in nodes.items() if node and node.ready]
    return f"{site.name}: {len(ready)} of {len(wanted)} nodes Ready, {vip}"


def nodes_table(site: Site, seen: StatusReadings, cluster: Cluster) -> str:
    """Return the table when an API server answers: one line per host, and one per node that is not in hosts.yaml."""
    rows = []
    for host in site.nodes:
        node = node_of(cluster.nodes, host)
        role = "control plane" if host.is_control_plane else "worker"
        shown = _node(cluster, node)
        if node and isinstance(seen.statuses[host], RunbookError):
            shown[0] = "no answer"  # the API server reports a lost node as Ready for up to 40 s
        rows.append([host.name, str(host.address), role, *shown, *_api_and_etcd(seen, host)])
    for node in cluster.nodes:
        if node.name in unlisted_nodes(site, cluster.nodes):
            rows.append([node.name, node.address, "not in hosts.yaml", *_node(cluster, node), "", ""])
    return table(["node", "address", "role", "Ready", "version", "runtime", "age", "API", "etcd"], rows)


def _node(cluster: Cluster, node: Node | None) -> list[str]:
    if not node:
        return ["not joined", "", "", ""]
    ready = ("Ready" if node.ready else "not Ready") + (", cordoned" if node.cordoned else "")
    return [ready, node.version, node.runtime.replace("://", " "), age_text(cluster.clock - node.created)]


def hosts_table(site: Site, seen: StatusReadings) -> str:
    """Return the table when no API server answers: what runs on each host, as the host itself reports it."""
    rows = []
    for host in site.nodes:
        each = seen.statuses[host]
        if isinstance(each, RunbookError):
            rows.append([host.name, str(host.address), "does not answer", "", "", *_api_and_etcd(seen, host)])
            continue
        lacking = sorted(each.manifests - (each.running or frozenset()))
        pods = "" if each.running is None else f"not running: {', '.join(lacking)}" if lacking else "all running"
        rows.append([host.name, str(host.address), *each.units.values(), pods, *_api_and_etcd(seen, host)])
    return table(["host", "address", "kubelet", "containerd", "static pods", "API", "etcd"], rows)


def _api_and_etcd(seen: StatusReadings, host: Host) -> list[str]:
    if not host.is_control_plane:
        return ["", ""]
    each = seen.statuses[host]
    api = "?" if isinstance(each, RunbookError) else "ready" if each.api == "ok" else "not ready" if each.api else "none"
    return [api, rules.etcd_word(seen.etcd, host) if host in seen.etcd.said else ""]


# ---- for machines


def _machine(site: Site, seen: StatusReadings, found: Sequence[Finding], known: Sequence[Finding]) -> dict[str, object]:
    nodes = seen.cluster.nodes if seen.cluster else ()
    return {
        "ok": not found,
        "findings": [for_machines(each) for each in dict.fromkeys([*found, *known])],
        "hosts": {host.name: _host(seen, host, node_of(nodes, host)) for host in site.nodes},
        "strangers": unlisted_nodes(site, nodes),
        "vip": [host.name for host, each in seen.lbs.items() if isinstance(each, LbState) and each.holds_vip],
    }


def _host(seen: StatusReadings, host: Host, node: Node | None) -> dict[str, object]:
    status = seen.statuses[host]
    found: dict[str, object] = (
        {"node": None, "error": str(status)} if isinstance(status, RunbookError) else {"node": None, **_plain(status)}
    )
    if node:
        found["node"] = {**asdict(node), "labels": sorted(node.labels), "taints": sorted(node.taints)}
    if host in seen.etcd.said:
        found["etcd"] = rules.etcd_word(seen.etcd, host)
    return found


def _plain(status: HostStatus) -> dict[str, object]:
    running = None if status.running is None else sorted(status.running)
    return {**asdict(status), "manifests": sorted(status.manifests), "running": running}
