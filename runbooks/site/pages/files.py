"""The files that the pages refer to: what the tool writes on hosts, and kubeadm's configuration, with placeholders for secrets."""

from __future__ import annotations

from runbooks.cluster.files import cni_manifest, node_files
from runbooks.commands.base import MASK, Secret
from runbooks.commands.files import masked
from runbooks.commands.prepare import CONTAINERD_CONFIG
from runbooks.inventory.model import Site
from runbooks.lb.files import lb_files
from runbooks.monitor.apply import objects
from runbooks.monitor.host_files import host_files
from runbooks.monitor.rules.scope import Scope
from runbooks.rules import kubeadm

PAUSE = "PAUSE-IMAGE"
NEWER = ".containerd-2"  # ends the name of the file for containerd 2
# Valid values, so that our own checks accept them; each is then replaced with the placeholder that the pages use.
KEY, TOKEN, CA_HASH = "0" * 64, "abcdef.0123456789abcdef", "f" * 64


def files(site: Site) -> dict[str, str]:
    """Return every file by its path below docs/runbooks."""
    secret = Secret(MASK) if site.load_balancer.vrrp.version == 2 else None
    found = {
        f"{host}{file.path}": masked(file.content, file) for host in site.load_balancers for file in lb_files(site, host, secret)
    }
    for host in site.nodes:
        role = "control-plane" if host.is_control_plane else "worker"
        found |= {f"{role}{file.path}": file.content for file in node_files(site, host, PAUSE)}
        newer = (file for file in node_files(site, host, PAUSE, containerd=2) if file.path == CONTAINERD_CONFIG)
        found |= {f"{role}{file.path}{NEWER}": file.content for file in newer}
    found |= {f"kubeadm/{name}": text for name, text in _kubeadm(site).items()}
    scope = Scope(site)
    found |= {f"monitor/{host}{file.path}": file.content for host in site.hosts for file in host_files(scope, host)}
    found |= {f"monitor/{name}": text for name, text in objects(scope).items()}
    if network := cni_manifest(site):
        found["pod-network.yaml"] = network
    return {f"files/{path}": text for path, text in found.items()}


def _kubeadm(site: Site) -> dict[str, str]:
    version, first = kubeadm.parse(site.kubernetes.version), site.control_plane[0]
    found = {f"init/{first}.yaml": kubeadm.init_config(site, first, version, Secret(KEY))}
    for host in site.nodes:
        key = Secret(KEY) if host.is_control_plane else None
        found[f"join/{host}.yaml"] = kubeadm.join_config(site, host, version, Secret(TOKEN), f"sha256:{CA_HASH}", key)
    words = {KEY: "CERTIFICATE-KEY", TOKEN: "TOKEN", CA_HASH: "CA-HASH"}
    return {name: _worded(str(text), words) for name, text in found.items()}


def _worded(text: str, words: dict[str, str]) -> str:
    for secret, word in words.items():
        text = text.replace(secret, word)
    return text
