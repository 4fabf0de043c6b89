"""How a host that joins finds the cluster and trusts it. Pure.

kubeadm has two ways. With a file (a kubeconfig with the endpoint and the CA), older versions sleep 5 s before they look. With a token and the
hash of the CA there is no such sleep, but the controller manager has to sign the ConfigMap cluster-info with the token: it may need
seconds for that in a cluster that has just begun, and kubeadm looks every 6 s. So a host gets a token where the signature is there, else a file.
https://kubernetes.io/docs/reference/setup-tools/kubeadm/kubeadm-join/#discovering-what-cluster-ca-to-trust
"""

from __future__ import annotations

from base64 import b64encode

from runbooks.commands import certs
from runbooks.commands.base import Secret
from runbooks.commands.cluster_info import ClusterInfo
from runbooks.inventory.model import Site
from runbooks.rules.kubeadm import endpoint
from runbooks.rules.kubeadm_documents import documents


def file(site: Site, ca: str) -> str:
    """Return the kubeconfig that a host which joins finds the cluster with: its endpoint and CA (PEM), and no identity."""
    cluster = {"server": f"https://{endpoint(site)}", "certificate-authority-data": b64encode(ca.encode()).decode()}
    return documents(
        {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "kubernetes", "cluster": cluster}],
            "users": [{"name": "nobody", "user": {}}],  # kubeadm takes no context without one
            "contexts": [{"name": "kubernetes", "context": {"cluster": "kubernetes", "user": "nobody"}}],
            "current-context": "kubernetes",
        }
    )


def ca_hash(site: Site, ca: str, token: Secret, info: ClusterInfo | None) -> str | None:
    """Return the hash to join with by ``token``, None when a host needs the file.

    It needs the file when ``info`` is not signed with this token, or says something else than hosts.yaml and the CA (PEM, from a
    control plane host over SSH): kubeadm would believe it.
    """
    if not info or str(token).partition(".")[0] not in info.signed_with:
        return None
    if (info.server, info.ca.split()) != (f"https://{endpoint(site)}", ca.split()) or ca.count("BEGIN CERTIFICATE") != 1:
        return None
    found = certs.key_hash(b64encode(ca.encode()).decode())
    return f"sha256:{found}" if found else None
