"""Which versions of Kubernetes' parts a host has installed, has in its manifests and runs, and which the cluster's objects name."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from runbooks.commands.base import Answer, Probe, script
from runbooks.commands.kubectl import url
from runbooks.commands.objects import KUBEADM_CONFIG
from runbooks.commands.verify import brief
from runbooks.commands.yaml_text import mapping
from runbooks.inventory.model import Host

APPS = "/apis/apps/v1/namespaces/kube-system"
COREDNS, KUBE_PROXY = f"{APPS}/deployments/coredns", f"{APPS}/daemonsets/kube-proxy"
DNS_LABEL, PROXY_LABEL = "kube-dns", "kube-proxy"  # values of the label k8s-app that kubeadm gives to their pods
PODS = f"/api/v1/namespaces/kube-system/pods?labelSelector=k8s-app%20in%20%28{DNS_LABEL}%2C{PROXY_LABEL}%29"


@dataclass(frozen=True, slots=True, kw_only=True)
class HostVersions:
    """The versions on one host, as texts by name; what is missing was not found.

    packages  as the package manager writes them; ``held``: those that it leaves alone.
    programs  what the installed programs say of themselves: kubeadm, kubelet, kubectl, containerd.
    runs      what the running ones say; several texts where several processes differ.
    images    the image of each static pod, in its manifest.
    """

    joined: bool
    packages: Mapping[str, str]
    held: frozenset[str]
    programs: Mapping[str, str]
    runs: Mapping[str, tuple[str, ...]]
    images: Mapping[str, str]
    kernel: str
    os: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AddonPod:
    """A pod of CoreDNS or kube-proxy: its image, its node, and whether it is Ready."""

    image: str
    node: str
    ready: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterVersions:
    """The versions that the cluster's objects name.

    config    kubernetesVersion in the ConfigMap kubeadm-config, "" when it says none.
    dns       the image in the Deployment of CoreDNS, and its pods; "" and () without it. ``proxy``: the DaemonSet of kube-proxy.
    etcd_tag  the tag of etcd's image that kubeadm-config sets, "" for kubeadm's own.
    errors    the paths that could not be read, and why.
    """

    config: str
    etcd_tag: str
    dns: str
    proxy: str
    dns_pods: tuple[AddonPod, ...]
    proxy_pods: tuple[AddonPod, ...]
    errors: Mapping[str, str]


def look() -> Probe[HostVersions]:
    """Read the versions of a host; takes about a second."""
    command = script("versions-look", timeout=40, after=("packages-look",))
    return Probe(replace(command, shown="versions-look"), parse_host)


def parse_host(answer: Answer) -> HostVersions:
    """Parse lines of ``key value``; unknown keys are ignored. Raises ValueError without a kernel: then the script did not end."""
    lines = [line.partition(" ")[::2] for line in answer.stdout.splitlines() if line.strip()]

    def by_name(key: str) -> dict[str, str]:
        return dict(value.partition(" ")[::2] for name, value in lines if name == key)

    said = dict(lines)
    if "kernel" not in said:
        raise ValueError("versions-look said nothing about the kernel")
    runs: dict[str, tuple[str, ...]] = {}
    for name, text in (value.partition(" ")[::2] for key, value in lines if key == "runs"):
        runs[name] = tuple(sorted({*runs.get(name, ()), text.strip()}))
    return HostVersions(
        joined="joined" in said,
        packages=by_name("package"),
        held=frozenset(value for key, value in lines if key == "held"),
        programs=by_name("program"),
        runs=runs,
        images=by_name("image"),
        kernel=said["kernel"],
        os=said.get("os", ""),
    )


def of_cluster(host: Host) -> Probe[ClusterVersions]:
    """Read kubeadm-config, CoreDNS and kube-proxy from the API server of ``host``."""
    variables = {"SERVER": url(host.address), "RESOURCES": [KUBEADM_CONFIG, COREDNS, KUBE_PROXY, PODS]}
    return Probe(
        replace(script("verify-cluster", variables, timeout=30, after=("api-ask",)), shown="verify-cluster"), parse_cluster
    )


def parse_cluster(answer: Answer) -> ClusterVersions:
    """Parse lines of ``PATH EXIT JSON``. Raises ValueError when an object does not have the expected fields."""
    got: dict[str, Any] = {}
    errors = {}
    for line in answer.stdout.splitlines()[1:]:
        path, status, said = line.split(" ", 2)
        if status == "0":
            got[path] = json.loads(said)
        else:
            errors[path] = brief(said)
    try:
        config = mapping(got.get(KUBEADM_CONFIG, {}).get("data", {}).get("ClusterConfiguration", ""))
        pods = got.get(PODS, {}).get("items") or []
        return ClusterVersions(
            config=str(config.get("kubernetesVersion", "")),
            etcd_tag=_etcd_tag(config),
            dns=_image(got.get(COREDNS)),
            proxy=_image(got.get(KUBE_PROXY)),
            dns_pods=tuple(_pod(each) for each in pods if each["metadata"]["labels"]["k8s-app"] == DNS_LABEL),
            proxy_pods=tuple(_pod(each) for each in pods if each["metadata"]["labels"]["k8s-app"] == PROXY_LABEL),
            errors=errors,
        )
    except (KeyError, TypeError, AttributeError, IndexError) as error:
        raise ValueError(f"the API server's objects are not as they should be: {error!r}") from None


def _image(workload: Any) -> str:
    return str(workload["spec"]["template"]["spec"]["containers"][0]["image"]) if workload else ""


def _pod(item: Any) -> AddonPod:
    conditions = item.get("status", {}).get("conditions") or []
    ready = any(each.get("type") == "Ready" and each.get("status") == "True" for each in conditions)
    return AddonPod(image=item["spec"]["containers"][0]["image"], node=item["spec"].get("nodeName", ""), ready=ready)


def _etcd_tag(config: Mapping[str, object]) -> str:
    etcd = config.get("etcd")
    local = etcd.get("local") if isinstance(etcd, dict) else None
    return str(local.get("imageTag") or "") if isinstance(local, dict) else ""
