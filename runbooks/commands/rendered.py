"""The static pod manifests that the installed kubeadm would write for a host now: what an upgrade leaves of them.

`kubeadm upgrade` writes every manifest anew from kubeadm-config, with the functions of these phases of `kubeadm init` (upgrade/staticpods.go
calls controlplane.CreateStaticPodFiles and etcd.CreateLocalEtcdStaticPodManifestFile). `--dry-run` of these phases came with 1.25 only.
"""

from __future__ import annotations

from base64 import b64decode, b64encode
from collections.abc import Mapping
from dataclasses import dataclass, replace

from runbooks.commands.base import Answer, Probe, script
from runbooks.commands.kubectl import url
from runbooks.inventory.model import Host


@dataclass(frozen=True, slots=True)
class Rendered:
    """``kubeadm``: the version that wrote them, as it says; ``manifests`` by name; ``error``: why there are none, or ""."""

    kubeadm: str
    manifests: Mapping[str, str]
    error: str = ""


def look(host: Host, *, etcd: bool, config: str = "", patches: Mapping[str, str] | None = None) -> Probe[Rendered]:
    """Have kubeadm write the manifests of ``host`` into a scratch directory. ``etcd``: also that of etcd, where it is stacked.

    ``config``: the text of a ClusterConfiguration, instead of the one in the cluster. ``patches``: texts by name, instead of those that this tool
    has put there; None: with the patches for kubeadm as they lie on the host.
    """
    given = patches or {}
    variables = {
        "SERVER": url(host.address),
        "NAME": host.name,
        "ADDRESS": str(host.address),
        "ETCD": "yes" if etcd else "",
        "CONFIG": config,
        "OURS": "" if patches is None else "given",
        "NAMES": list(given),
        "CONTENTS": [b64encode(text.encode()).decode() for text in given.values()],
    }
    shown = "kubeadm init phase control-plane all, into a scratch directory"
    return Probe(
        replace(script("manifests-rendered", variables, timeout=60, after=("kubeadm-patches", "etcd-data-dir")), shown=shown),
        parse,
    )


def parse(answer: Answer) -> Rendered:
    """Parse the lines of manifests-rendered.sh. Raises ValueError when there is neither a manifest nor an error."""
    lines = [line.partition(" ")[::2] for line in answer.stdout.splitlines()]
    said = dict(lines)
    found = dict(text.split(" ", 1) for key, text in lines if key == "rendered")
    if not found and not said.get("error"):
        raise ValueError("manifests-rendered printed neither manifests nor an error")
    manifests = {name: b64decode(text, validate=True).decode() for name, text in found.items()}
    return Rendered(said.get("kubeadm", ""), manifests, said.get("error", "").strip())
