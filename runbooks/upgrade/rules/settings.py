"""The settings that components start with, each with the file that it is from. Pure.

Where a setting stands decides what an upgrade does with it: kubeadm writes manifests and the kubelet's configuration anew from the cluster's
ConfigMaps, and leaves everything else on a host alone.
"""

from __future__ import annotations

import posixpath
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Final, Literal

from runbooks.commands import yaml_text
from runbooks.commands.kubeadm_config import PARTS, ClusterSettings
from runbooks.commands.kubelet_line import Flag, Line, flags, names_variables
from runbooks.commands.settings_look import MANIFESTS, HostSettings
from runbooks.inventory.patch_names import parse
from runbooks.upgrade.rules.tables import COMPONENTS, Kind

# cluster: a ConfigMap, from which kubeadm writes files on every host.  host: a file on a host that kubeadm leaves alone.
# flags: kubeadm-flags.env, which kubeadm reads and of which it takes some flags out.  rewritten: a file that kubeadm writes anew.
# patch: a patch for kubeadm.
Place = Literal["cluster", "host", "flags", "rewritten", "patch"]

KUBEADM_FLAGS: Final = "/var/lib/kubelet/kubeadm-flags.env"
KUBELET_CONFIG: Final = "/var/lib/kubelet/config.yaml"
GATES: Final = "feature-gates"
KUBEADM_MAP: Final = "ConfigMap kubeadm-config"
PROXY_MAP: Final = "ConfigMap kube-proxy"
PROXY_SET: Final = "DaemonSet kube-proxy"
# API groups of configuration files, and the component that reads them.
READERS: Final = {"kubescheduler.config.k8s.io": "kube-scheduler", "audit.k8s.io": "kube-apiserver"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """One setting of a component. ``file``: a path, or a ConfigMap and the key in it.

    ``joined``: as in `Flag`. ``on_line``: a flag, or a gate in the flag --feature-gates.
    """

    component: str
    kind: Kind
    item: str
    value: str = field(default="", repr=False)
    file: str
    place: Place
    joined: bool = True
    on_line: bool = False


@dataclass(frozen=True, slots=True)
class Read:
    """Settings, and what could not be read: by file, the reason."""

    settings: tuple[Setting, ...]
    unread: Mapping[str, str]


def of_line(line: Line) -> Iterator[Setting]:
    """Yield the settings on the kubelet's command line."""
    for flag in line.flags:
        yield from _of_flag("kubelet", flag, "flags" if flag.file == KUBEADM_FLAGS else "host")


def of_files(seen: HostSettings) -> Read:
    """Return the settings in the files of a host: manifests, patches, the configuration of the kubelet and of other components."""
    found: list[Setting] = []
    unread = {}
    for path, text in seen.files.items():
        reader = _reader(path)
        if names_variables(seen.unit, path):
            continue
        try:
            found += reader(path, yaml_text.documents(text))
        except ValueError as error:
            unread[path] = f"it is not YAML: {error}"
    return Read(tuple(found), unread)


def of_cluster(cluster: ClusterSettings) -> Read:
    """Return the settings in the cluster's ConfigMaps, and the flags of kube-proxy's DaemonSet."""
    found = [Setting(component="kubeadm", kind="api", item=cluster.api, file=KUBEADM_MAP, place="cluster")]
    found += [
        Setting(component="kubeadm", kind="gate", item=name, value=value, file=f"{KUBEADM_MAP}, featureGates", place="cluster")
        for name, value in cluster.gates.items()
    ]
    for key, component in PARTS.items():
        file = f"{KUBEADM_MAP}, {key}.extraArgs"
        for name, value in cluster.args.get(component, ()):
            found += _of_flag(component, Flag(name, value, file), "cluster")
    unread = {}
    maps = (("kubelet", f"ConfigMap {cluster.kubelet_map}", cluster.kubelet), ("kube-proxy", PROXY_MAP, cluster.proxy))
    for component, file, text in maps:
        try:
            found += _of_config(component, file, "cluster", yaml_text.documents(text))
        except ValueError as error:
            unread[file] = f"it is not YAML: {error}"
    for flag in flags((word, PROXY_SET) for word in cluster.proxy_words):
        found += _of_flag("kube-proxy", flag, "rewritten")
    return Read(tuple(found), unread)


def programs(seen: HostSettings) -> frozenset[str]:
    """Return the components whose static pod's manifest was read on a host."""
    found = set()
    for path, text in seen.files.items():
        if posixpath.dirname(path) == MANIFESTS:
            try:
                found |= {component for component, _ in _commands(yaml_text.documents(text))}
            except ValueError:
                continue
    return frozenset(found)


# ---- files of a host

Reader = Callable[[str, list[object]], list[Setting]]


def _reader(path: str) -> Reader:
    folder, name = posixpath.split(path)
    if folder == MANIFESTS:
        return _of_manifest
    return _of_patch if _patched(name) else _of_configuration


def _of_manifest(path: str, documents: list[object]) -> list[Setting]:
    """Return the flags in a manifest. kubeadm writes those of its own names anew; the kubelet runs every other file in that folder too."""
    found: list[Setting] = []
    for component, words in _commands(documents):
        place: Place = "rewritten" if path == f"{MANIFESTS}/{component}.yaml" else "host"
        for flag in flags((word, path) for word in words):
            found += _of_flag(component, flag, place)
    return found


def _commands(documents: Iterable[object]) -> Iterator[tuple[str, list[str]]]:
    """Yield each known component that a container of a pod runs, with its arguments."""
    for pod in documents:
        for container in _list(_mapping(_mapping(pod).get("spec")).get("containers")):
            words = [str(word) for part in ("command", "args") for word in _list(_mapping(container).get(part))]
            at = next((at for at, word in enumerate(words) if posixpath.basename(word) in (*COMPONENTS, "etcd")), -1)
            if at >= 0:
                yield posixpath.basename(words[at]), words[at + 1 :]


def _patched(name: str) -> str:
    """Return what a patch of this file name is for: target, number, "+" and type, such as kube-apiserver0+merge.yaml.

    >>> _patched("kube-apiserver0+merge.yaml"), _patched("kubeletconfiguration.json"), _patched("config.yaml")
    ('kube-apiserver', 'kubelet', '')
    """
    try:
        target = parse(name).target
    except ValueError:
        return ""
    return target.replace("kubeletconfiguration", "kubelet")


def _of_patch(path: str, documents: list[object]) -> list[Setting]:
    component = _patched(posixpath.basename(path))
    if component == "kubelet":
        return _of_config(component, path, "patch", documents)
    words = (word for text in _texts(documents) if text.startswith("--") for word in text.split())
    return [one for flag in flags((word, path) for word in words) for one in _of_flag(component, flag, "patch")]


def _of_configuration(path: str, documents: list[object]) -> list[Setting]:
    found = []
    for document in documents:
        api, kind = (str(_mapping(document).get(key, "")) for key in ("apiVersion", "kind"))
        if kind == "KubeletConfiguration":
            found += _of_config("kubelet", path, "rewritten" if path == KUBELET_CONFIG else "host", [document])
        elif reader := READERS.get(api.partition("/")[0]):
            found.append(Setting(component=reader, kind="api", item=api, file=path, place="host"))
    return found


# ---- shared


def _of_flag(component: str, flag: Flag, place: Place) -> Iterator[Setting]:
    one = Setting(
        component=component,
        kind="flag",
        item=flag.name,
        value=flag.value,
        file=flag.file,
        place=place,
        joined=flag.joined,
        on_line=True,
    )
    yield one
    if flag.name == GATES and component != "etcd":
        for name, _, value in (each.strip().partition("=") for each in flag.value.split(",")):
            if name:
                yield replace(one, kind="gate", item=name, value=value)


def _of_config(component: str, file: str, place: Place, documents: Iterable[object]) -> list[Setting]:
    """Return the gates and the fields at the top of a configuration."""
    found = []
    for each in documents:
        for name, value in _mapping(each).items():
            if name == "featureGates":
                gates = _mapping(value).items()
                found += [
                    Setting(component=component, kind="gate", item=str(gate), value=str(on), file=file, place=place)
                    for gate, on in gates
                ]
            elif name not in {"apiVersion", "kind"}:
                text = value if isinstance(value, str) else ""
                found.append(Setting(component=component, kind="field", item=str(name), value=text, file=file, place=place))
    return found


def _texts(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for each in value.values() if isinstance(value, dict) else value:
            yield from _texts(each)


def _mapping(value: object) -> Mapping[object, object]:
    return value if isinstance(value, dict) else {}


def _list(value: object) -> list[object]:
    return value if isinstance(value, list) else []
