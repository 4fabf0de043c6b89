"""What the cluster keeps for kubeadm: kubeadm-config, the configuration of kubelets and of kube-proxy, and kube-proxy's own flags."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from runbooks.commands import kubectl, yaml_text
from runbooks.commands.base import Probe
from runbooks.inventory.model import Host

NAMESPACE: Final = "kube-system"
# The keys of ClusterConfiguration that have extraArgs, and the components that get them.
PARTS: Final = {
    "apiServer": "kube-apiserver",
    "controllerManager": "kube-controller-manager",
    "scheduler": "kube-scheduler",
    "etcd.local": "etcd",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterSettings:
    """What the API has.

    api        the API version of ClusterConfiguration, such as "kubeadm.k8s.io/v1beta3".
    gates      kubeadm's own feature gates, as written.
    args       by component of `PARTS`: (flag, value), in order. From v1beta4 on one may be there more than once.
    etcd_tag   the tag of etcd's image in kubeadm-config, "" for kubeadm's own; ``external_etcd``: kubeadm manages no etcd.
    kubelet    the text of KubeletConfiguration that kubeadm writes on every host, "" when there is none; ``kubelet_map``: its ConfigMap.
    proxy      the text of KubeProxyConfiguration, "" without kube-proxy; ``proxy_words``: the command of its DaemonSet.
    """

    api: str = ""
    gates: Mapping[str, str] = field(default_factory=dict)
    args: Mapping[str, tuple[tuple[str, str], ...]] = field(default_factory=dict)
    etcd_tag: str = ""
    external_etcd: bool = False
    kubelet: str = field(default="", repr=False)
    kubelet_map: str = ""
    proxy: str = field(default="", repr=False)
    proxy_words: tuple[str, ...] = ()


def look(api_host: Host, minor: int) -> Probe[ClusterSettings]:
    """Read what the cluster keeps, from the API server of ``api_host``. ``minor``: the cluster's; up to 1.23 it is in a ConfigMap's name."""
    names = ("kubeadm-config", "kube-proxy", kubelet_map(minor))
    what = (*(f"configmap/{name}" for name in names), "daemonset.apps/kube-proxy")
    return kubectl.read_json(api_host, "-n", NAMESPACE, "get", *what, "--ignore-not-found", parse=parse)


def cluster_configuration(api_host: Host) -> Probe[str]:
    """Read the text of ClusterConfiguration. Raises ValueError when there is no kubeadm-config."""

    def parse_(found: Any) -> str:
        try:
            return str(found["data"]["ClusterConfiguration"])
        except (KeyError, TypeError) as error:
            raise ValueError(f"there is no ClusterConfiguration in kubeadm-config: {error!r}") from None

    return kubectl.read_json(api_host, "-n", NAMESPACE, "get", "configmap", "kubeadm-config", parse=parse_)


def kubelet_map(minor: int) -> str:
    """Return the name of the ConfigMap with KubeletConfiguration in a cluster of 1.``minor``.

    https://github.com/kubernetes/kubernetes/pull/105741 (UnversionedKubeletConfigMap is on from 1.24)
    """
    return "kubelet-config" if minor >= 24 else f"kubelet-config-1.{minor}"


def parse(found: Any) -> ClusterSettings:
    """Parse a list of these objects. Raises ValueError for anything else, and when there is no kubeadm-config."""
    try:
        items = found["items"] if found["kind"] == "List" else [found]
        maps = {item["metadata"]["name"]: item.get("data") or {} for item in items if item["kind"] == "ConfigMap"}
        sets = [item["spec"]["template"]["spec"]["containers"] for item in items if item["kind"] == "DaemonSet"]
        cluster = yaml_text.mapping(maps["kubeadm-config"]["ClusterConfiguration"])
        kubelet = next((name for name in maps if name.startswith("kubelet-config")), "")
        return ClusterSettings(
            api=str(cluster.get("apiVersion", "")),
            gates={name: str(value) for name, value in _mapping(cluster.get("featureGates")).items()},
            args={component: args_of(cluster, key) for key, component in PARTS.items()},
            etcd_tag=str(_at(cluster, "etcd.local").get("imageTag", "")),
            external_etcd=bool(_at(cluster, "etcd.external")),
            kubelet=maps.get(kubelet, {}).get("kubelet", ""),
            kubelet_map=kubelet,
            proxy=maps.get("kube-proxy", {}).get("config.conf", ""),
            proxy_words=tuple(word for containers in sets for each in containers for word in _words(each)),
        )
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"this is not what kubeadm keeps in the cluster: {error!r}") from None


def args_of(cluster: Mapping[str, object], key: str) -> tuple[tuple[str, str], ...]:
    """Return the extraArgs below ``key`` of ClusterConfiguration, in the form of v1beta3 (a mapping) or of v1beta4 (a list).

    >>> args_of({"scheduler": {"extraArgs": {"v": "2"}}}, "scheduler")
    (('v', '2'),)
    >>> args_of({"scheduler": {"extraArgs": [{"name": "v", "value": "2"}]}}, "scheduler")
    (('v', '2'),)
    """
    given = _at(cluster, key).get("extraArgs")
    if isinstance(given, list):
        return tuple((str(each["name"]).lstrip("-"), str(each.get("value", ""))) for each in given)
    return tuple((str(name).lstrip("-"), str(value)) for name, value in _mapping(given).items())


def _at(cluster: Mapping[str, object], key: str) -> Mapping[str, object]:
    found: object = cluster
    for part in key.split("."):
        found = _mapping(found).get(part)
    return _mapping(found)


def _mapping(value: object) -> Mapping[str, object]:
    return value if isinstance(value, dict) else {}


def _words(container: Mapping[str, Any]) -> list[str]:
    return [*(container.get("command") or ()), *(container.get("args") or ())]
