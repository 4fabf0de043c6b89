"""The drains of the real workloads, computed from a set: as `upgrade.plan` computes them from the API server. Pure."""

from __future__ import annotations

from rehearse.rules.choices import split
from rehearse.rules.procedures import DRAINS
from runbooks.commands.drain_objects import Cluster
from runbooks.engine.tasks import Given
from runbooks.inventory.model import Host, Site
from runbooks.rules.finding import Finding
from runbooks.upgrade.rules import drain_findings, drains
from runbooks.upgrade.rules.choices import pods
from runbooks.upgrade.rules.evictions import EVERY, Named


def findings(given: Given, site: Site, cluster: Cluster) -> list[Finding]:
    """Return what stops or harms the drains of a procedure, node after node in the site's order; [] for one that drains nothing."""
    if given.name not in DRAINS:
        return []
    order = [[node] for host in _drained(given, site) if (node := _node(host, cluster))]
    if not order:
        return []
    named = Named(
        force=pods(given.flag("--force-pods")),
        empty_dirs=frozenset({EVERY} if "--delete-emptydir-data" in given.words else ()),
    )
    return drain_findings.findings(cluster, order, named, drains.simulate(cluster, order, named))


def _drained(given: Given, site: Site) -> tuple[Host, ...]:
    """Return the nodes that the procedure drains: those of --host or --only, else all, until --pause-after; control plane hosts first."""
    wanted, last = split(given.flag("--host") or given.flag("--only")), given.flag("--pause-after")
    nodes = [host for host in site.nodes if not wanted or host.name in wanted]
    ordered = sorted(nodes, key=lambda host: not host.is_control_plane)
    end = next((number for number, host in enumerate(ordered, 1) if host.name == last), len(ordered))
    return tuple(ordered[:end])


def _node(host: Host, cluster: Cluster) -> str:
    return next((name for name in cluster.nodes if host.is_called(name)), "")
