"""Whether kubeadm is told to leave etcd alone. Pure."""

from __future__ import annotations

from runbooks.rules.upgrade_seen import SERVER, NodeSeen, Version


def leaves_etcd(seen: NodeSeen, to: Version, wanted: Version | None) -> bool:
    """Return whether nothing of etcd changes on a host: a patch release of Kubernetes, and the version of etcd that runs is the wanted one.

    kubeadm restarts etcd even when manifest and image are equal, since it renews its certificates (seen with 1.36.3); for 10 s no client
    could write through this host. Between minor versions kubeadm changes etcd's flags, so it is never left alone then. Without knowing
    all versions it is not left alone either.
    """
    server, there, runs = seen.runs.get(SERVER) or seen.manifests.get(SERVER), seen.manifests.get("etcd"), seen.runs.get("etcd")
    known = server is not None and wanted is not None
    return known and server is not None and server[:2] == to[:2] and there == wanted and runs is not None
