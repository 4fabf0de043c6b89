"""The ConfigMap cluster-info, from which a host that joins with a token learns where the cluster is, and its CA."""

from __future__ import annotations

from base64 import b64decode
from dataclasses import dataclass
from typing import Any

from runbooks.commands import kubectl
from runbooks.commands.base import Probe
from runbooks.commands.yaml_text import mapping
from runbooks.inventory.model import Host

SIGNATURE = "jws-kubeconfig-"  # begins the keys of signatures; the ID of the token follows


@dataclass(frozen=True, slots=True)
class ClusterInfo:
    """``server``: the API endpoint (a URL). ``ca``: certificates (PEM). ``signed_with``: the IDs of tokens with which it is signed."""

    server: str
    ca: str
    signed_with: frozenset[str]


def look(api_host: Host) -> Probe[ClusterInfo | None]:
    """Read it from the API server of ``api_host``; None when there is none, or it has another form."""
    return kubectl.read_path(
        api_host, "/api/v1/namespaces/kube-public/configmaps?fieldSelector=metadata.name%3Dcluster-info", parse
    )


def parse(found: Any) -> ClusterInfo | None:
    """Return what the only object of a list says, None when there is none, or it has another form."""
    try:
        data = found["items"][0]["data"]
        text: Any = mapping(data["kubeconfig"])
        cluster = text["clusters"][0]["cluster"]
        ca = b64decode(cluster["certificate-authority-data"], validate=True).decode()
    except (KeyError, IndexError, TypeError, ValueError):
        return None
    signed = frozenset(key.removeprefix(SIGNATURE) for key in data if key.startswith(SIGNATURE))
    return ClusterInfo(str(cluster.get("server", "")), ca, signed)
