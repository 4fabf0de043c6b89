"""Reads the versions of every node, and of the cluster's objects from the first API server that has them."""

from __future__ import annotations

from dataclasses import dataclass

from runbooks.commands import versions
from runbooks.commands.objects import KUBEADM_CONFIG
from runbooks.commands.versions import ClusterVersions, HostVersions
from runbooks.engine.steps import Run
from runbooks.errors import RunbookError, reason
from runbooks.inventory.model import Host


@dataclass(frozen=True, slots=True)
class Readings:
    """What was read at one time. ``cluster`` is a text when no API server answered: why."""

    hosts: dict[Host, HostVersions | RunbookError]
    cluster: ClusterVersions | str


def look(run: Run) -> Readings:
    """Read all nodes in parallel, then the objects. What cannot be read is part of the result, never an error."""
    hosts = run.read_each(dict.fromkeys(run.site.nodes, versions.look()), fresh=True)
    return Readings(hosts, cluster(run, [host for host in run.site.control_plane if not isinstance(hosts[host], RunbookError)]))


def cluster(run: Run, hosts: list[Host]) -> ClusterVersions | str:
    """Return the objects from the first of ``hosts`` whose API server has kubeadm-config; else the last answer, or why there is none."""
    found: ClusterVersions | str = "no API server answers"
    for host in hosts:
        said = run.read_each({host: versions.of_cluster(host)}, fresh=True)[host]
        if isinstance(said, RunbookError):
            found = f"{host}: {reason(host, said)}" if isinstance(found, str) else found
            continue
        found = said
        if KUBEADM_CONFIG not in said.errors:
            break
    return found
