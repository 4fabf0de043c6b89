"""How a host that joins finds the cluster: a kubeconfig with its endpoint and CA. Pure."""

from base64 import b64encode

from runbooks.inventory.model import Site
from runbooks.rules.kubeadm import endpoint
from runbooks.rules.kubeadm_documents import documents


def discovery(site: Site, ca: str) -> str:
    """Return the kubeconfig that a host which joins finds the cluster with: its endpoint and CA (PEM), and no identity.

    With a token alone kubeadm waits until the controller manager has signed the cluster's CA with it, and asks for that every 6 s: 12 s of a
    new cluster's second control plane host. The CA comes from a host of the control plane over SSH, so no signature is needed.
    https://kubernetes.io/docs/reference/setup-tools/kubeadm/kubeadm-join/#file-or-https-based-discovery
    """
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
