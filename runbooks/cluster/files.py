"""The files for Kubernetes hosts and the manifest of the pod network, made from the site."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any

from runbooks.cluster.runtime_files import runtime_files
from runbooks.commands import yaml_text
from runbooks.commands.base import Secret
from runbooks.commands.files import File
from runbooks.commands.setup_look import MODULES, SYSCTL_FILE, sysctls
from runbooks.errors import InventoryError
from runbooks.inventory.model import Host, Site
from runbooks.render import render
from runbooks.rules.kubeadm import AUDIT_POLICY, CRI_SOCKET

# No registry name: the container runtime uses its default registry, or a mirror that is configured on the host.
FLANNEL = "flannel:v0.27.4"
FLANNEL_PLUGIN = "flannel-cni-plugin:v1.8.0-flannel1"
FLANNEL_REPOSITORY = "flannel"
CONTROL_PLANE_IMAGES = frozenset({"kube-apiserver", "kube-controller-manager", "kube-scheduler", "etcd"})


def node_files(
    site: Site, host: Host, pause: str, containerd: int = 1, passwords: Mapping[str, Secret] | None = None
) -> tuple[File, ...]:
    """Return the files that ``host`` needs before kubeadm runs. ``pause`` is the full reference of the pause image (`pause_image`).

    ``containerd`` is the first number of its version on the host: its sections have other names from 2 on. ``passwords`` of registries, by
    their names in hosts.yaml; without them a placeholder stands there. Raises InventoryError when a file that hosts.yaml names is invalid.
    https://kubernetes.io/docs/setup/production-environment/container-runtimes/
    """
    common = (
        File("/etc/modules-load.d/ha-runbooks.conf", "".join(f"{module}\n" for module in MODULES)),
        File(SYSCTL_FILE, "".join(f"{key} = 1\n" for key in sysctls(site))),
        File("/etc/crictl.yaml", f"runtime-endpoint: {CRI_SOCKET}\nimage-endpoint: {CRI_SOCKET}\ntimeout: 10\n"),
        *runtime_files(site, pause, containerd, passwords),
    )
    return (*common, audit_policy(site)) if host.is_control_plane else common


def audit_policy(site: Site) -> File:
    """Return the API server's audit policy: the site's, or the default. Raises InventoryError when the site's policy is invalid."""
    path = site.kubernetes.audit.policy
    if path is None:
        return File(AUDIT_POLICY, render("audit-policy.yaml"), mode="0600")
    key = "kubernetes.audit.policy"
    text = _text(key, path)
    found = _documents(key, path, text)
    policy = found[0] if len(found) == 1 else None
    if not isinstance(policy, dict) or (policy.get("apiVersion"), policy.get("kind")) != ("audit.k8s.io/v1", "Policy"):
        raise InventoryError(f"{key}: {path} is not one document with apiVersion audit.k8s.io/v1 and kind Policy")
    if not isinstance(policy.get("rules"), list) or not policy["rules"]:
        raise InventoryError(f"{key}: {path} has no rules: with it, kube-apiserver would not start")
    return File(AUDIT_POLICY, text, mode="0600")


def cni_manifest(site: Site) -> str | None:
    """Return the manifest of the pod network, None when ``kubernetes.cni`` is "none".

    Raises InventoryError when ``kubernetes.cni`` is missing, or when its manifest is invalid.
    """
    cni = site.kubernetes.cni
    if cni is None:
        raise InventoryError(
            "kubernetes.cni: is missing: without a pod network no node becomes Ready",
            hint="write flannel, the path of a manifest, or none when something else installs the pod network",
        )
    if cni == "none":
        return None
    return _flannel(site) if cni == "flannel" else _own_manifest(Path(cni))


def pause_image(images: Sequence[str]) -> str:
    """Return the pause image among the images that `kubeadm config images list` printed. Raises ValueError when there is none.

    >>> pause_image(["a.example/etcd:3.5", "a.example/pause:3.9"])
    'a.example/pause:3.9'
    """
    for image in images:
        if _name(image) == "pause":
            return image
    raise ValueError("kubeadm lists no pause image")


def wanted_images(site: Site, host: Host, listed: Iterable[str]) -> tuple[str, ...]:
    """Return the images of ``listed`` that ``host`` runs: no disabled addons, and on a worker no control plane images."""
    addons = site.kubernetes.addons
    unwanted = {name for name, on in (("coredns", addons.coredns), ("kube-proxy", addons.kube_proxy)) if not on}
    if not host.is_control_plane:
        unwanted |= CONTROL_PLANE_IMAGES
    return tuple(image for image in listed if _name(image) not in unwanted)


def _name(image: str) -> str:
    return image.rsplit("/", 1)[-1].partition("@")[0].partition(":")[0]


def _flannel(site: Site) -> str:
    pods, repository = site.networks.pods, site.kubernetes.image_repository or FLANNEL_REPOSITORY
    network: dict[str, Any] = {"Network": str(pods)}
    if pods.version == 6:
        network = {"EnableIPv4": False, "EnableIPv6": True, "IPv6Network": str(pods)}
    plugins = [
        {"type": "flannel", "delegate": {"hairpinMode": True, "isDefaultGateway": True}},
        {"type": "portmap", "capabilities": {"portMappings": True}},
    ]
    net_conf = json.dumps({**network, "Backend": {"Type": "vxlan"}}, indent=2)
    cni_conf = json.dumps({"name": "cbr0", "cniVersion": "0.3.1", "plugins": plugins}, indent=2)
    return render(
        "flannel.yaml",
        net_conf=net_conf,
        cni_conf=cni_conf,
        digest=sha256(f"{net_conf}\n{cni_conf}".encode()).hexdigest()[:16],
        image=f"{repository}/{FLANNEL}",
        plugin_image=f"{repository}/{FLANNEL_PLUGIN}",
        api_server=None if site.kubernetes.addons.kube_proxy else (str(site.endpoint.vip), str(site.endpoint.port)),
    )


def _own_manifest(path: Path) -> str:
    key = "kubernetes.cni"
    text = _text(key, path)
    found = [document for document in _documents(key, path, text) if document != ""]
    if not found:
        raise InventoryError(f"{key}: {path} is empty")
    for number, document in enumerate(found, 1):
        fields = document if isinstance(document, dict) else {}
        metadata = fields.get("metadata")
        named = fields.get("kind") == "List" or (isinstance(metadata, dict) and metadata.get("name"))
        if not (fields.get("apiVersion") and fields.get("kind") and named):
            raise InventoryError(
                f"{key}: {path}: document {number} is not a manifest: it needs apiVersion, kind and metadata.name"
            )
    return text


def _text(key: str, path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise InventoryError(f"{key}: {path} cannot be read: {error.strerror or error}") from None
    except UnicodeDecodeError:
        raise InventoryError(f"{key}: {path} is not text in UTF-8") from None


def _documents(key: str, path: Path, text: str) -> list[object]:
    try:
        return yaml_text.documents(text)
    except ValueError as error:
        raise InventoryError(f"{key}: {path} is not YAML: {error}") from None
