"""What `inv cluster.init` will ask about a cluster that is there: asked at the beginning, of all hosts at the same time."""

from __future__ import annotations

from typing import Any

from runbooks.cluster.files import cni_manifest
from runbooks.cluster.prepare import kernel_look
from runbooks.commands import etcd, kubectl, node, objects
from runbooks.commands.base import Probe, named_batch
from runbooks.commands.node_objects import nodes
from runbooks.engine.steps import Run
from runbooks.inventory.model import Host
from runbooks.view import health
from runbooks.view.cluster import Survey


def look_ahead(run: Run, survey: Survey) -> None:
    """Ask every host; then, when an API server is ready, its host for the cluster's objects. The answers are kept as `health.ahead` says."""

    def of_host(host: Host) -> dict[str, Probe[Any]]:
        return {"node": node.look(host), "files": kernel_look(run.site, host)} if host.is_node else {}

    health.ahead(run, survey, of_host)
    if api_host := survey.api_host(run):
        run.read_each({api_host: named_batch(_of_cluster(run, api_host))})


def _of_cluster(run: Run, api_host: Host) -> dict[str, Probe[Any]]:
    site = run.site
    parts: dict[str, Probe[Any]] = {
        "nodes": nodes(api_host),
        "objects": objects.cluster(api_host, health.cluster_namespaces(site)),
    }
    if site.kubernetes.etcd == "stacked":
        parts["members"] = etcd.members()
    if manifest := cni_manifest(site):
        parts["network"] = kubectl.is_there(api_host, manifest)
    return parts
