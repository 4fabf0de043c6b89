"""The drains of the real workloads, computed from a set: as `upgrade.plan` computes them from the API server. Pure.

Some procedures drain only the nodes that need it. What the twin drained is sure. What of the other nodes needs it is known on the real hosts
alone: each of these is computed by itself, and what would stop it is a warning.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Final

from rehearse.rules.choices import split
from rehearse.rules.procedures import DRAINS
from runbooks.commands.drain_objects import Cluster
from runbooks.engine.history import SKIPPED, RunRecord
from runbooks.engine.tasks import Given
from runbooks.inventory.model import Host, Site
from runbooks.rules.finding import Finding, at_least
from runbooks.text import counted
from runbooks.upgrade.rules import choices, drain_findings, drains, order
from runbooks.upgrade.rules.choices import pods
from runbooks.upgrade.rules.evictions import EVERY, Named
from runbooks.upgrade.rules.schedule import DRAIN

SPARED: Final = frozenset({"nothing to do", SKIPPED})  # outcomes of a drain that was not needed
WORKERS_FIRST: Final = frozenset({"cluster.reboot", "cluster.reconfigure"})
STAY: Final = frozenset({"cluster.drain"})  # the nodes stay cordoned
DRAINING_TOPICS: Final = frozenset({"containerd", "kubelet"})  # of cluster.reconfigure


def if_needed(given: Given) -> bool:
    """Return whether the procedure drains only nodes that need it, and only the real hosts say which ones these are.

    >>> if_needed(Given("cluster.reboot", ("--all", "--if-needed"))), if_needed(Given("cluster.reboot", ("--all",)))
    (True, False)
    """
    if given.name == "cluster.reconfigure":
        only = split(given.flag("--only"))
        return not only or bool(DRAINING_TOPICS & set(only))
    return given.name == "cluster.reboot" and "--if-needed" in given.words


def flags(given: Given, site: Site) -> tuple[Named, int]:
    """Return the Pods that the operator names, and how many workers are drained at once. Raises InventoryError for wrong flags."""
    named = Named(
        force=pods(given.flag("--force-pods")),
        empty_dirs=frozenset({EVERY} if "--delete-emptydir-data" in given.words else ()),
    )
    workers = sum(not host.is_control_plane for host in site.nodes)
    return named, choices.at_once(given.flag("--workers-at-once") or "1", workers)


def findings(given: Given, site: Site, cluster: Cluster, runs: Sequence[RunRecord] = ()) -> list[Finding]:
    """Return what stops or harms the drains of a procedure, in its order; [] for one that drains nothing.

    ``runs``: its own on the twin. Raises InventoryError as `flags`.
    """
    hosts = [host for host in _chosen(given, site) if _node(host, cluster)]
    named, at_once = flags(given, site)
    selective = if_needed(given)
    twin = set(_drained(runs))
    sure = [host for host in hosts if not selective or host.name in twin]
    found: list[Finding] = []
    if sure:
        groups = order.turns(sure, at_once)
        turns = [[_node(host, cluster) for host in group] for group in groups]
        simulated = drains.simulate(cluster, turns, named, stay=given.name in STAY)
        found += drain_findings.findings(cluster, turns, named, simulated)
    if perhaps := [_node(host, cluster) for host in hosts if host not in sure]:
        found += _alone(cluster, perhaps, named)
    return found


def _alone(cluster: Cluster, names: Sequence[str], named: Named) -> list[Finding]:
    """Return what would stop the drain of each of these nodes, with nothing else drained, as warnings; one that is ok when nothing would."""
    found = []
    for name in names:
        simulated = drains.simulate(cluster, [[name]], named)
        for each in at_least("fail", drain_findings.findings(cluster, [[name]], named, simulated)):
            found.append(replace(each, severity="warn", seen=f"if it has to be drained: {each.seen}"))
    if found:
        return list(dict.fromkeys(found))
    seen = f"{counted(len(names), 'node')} more, if they have to be drained, each computed alone: nothing stops it"
    return [Finding("ok", topic=drain_findings.TOPIC, seen=seen)]


def _drained(runs: Iterable[RunRecord]) -> Iterator[str]:
    """Yield the names of the hosts that were drained on the twin, or whose drain failed there."""
    for run in runs:
        for step in run.steps:
            host, _, name = step.title.partition(": ")
            if name == DRAIN and step.outcome not in SPARED:
                yield host


def _chosen(given: Given, site: Site) -> tuple[Host, ...]:
    """Return the nodes that the procedure may drain: those of --host or --only, else all, until --pause-after; in its order."""
    reconfigures = given.name == "cluster.reconfigure"  # its --only names topics
    if given.name not in DRAINS or "--forget" in given.words or (reconfigures and not if_needed(given)):
        return ()
    wanted = split(given.flag("--host") or ("" if reconfigures else given.flag("--only")))
    last = given.flag("--pause-after")
    nodes = [host for host in site.nodes if not wanted or host.name in wanted]
    ordered = sorted(nodes, key=lambda host: host.is_control_plane != (given.name not in WORKERS_FIRST))
    end = next((number for number, host in enumerate(ordered, 1) if host.name == last), len(ordered))
    return tuple(ordered[:end])


def _node(host: Host, cluster: Cluster) -> str:
    return next((name for name in cluster.nodes if host.is_called(name)), "")
