"""What somebody has changed by hand in files that kubeadm writes anew: it vanishes in an upgrade, without a warning. Pure.

Static pod manifests are compared with what the installed kubeadm makes of kubeadm-config for the same host, the kubelet's configuration with the
ConfigMap that kubeadm writes it from. Compared is what they mean, line by line, not their text.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from runbooks.commands import yaml_text
from runbooks.commands.kubeadm_config import ClusterSettings
from runbooks.commands.rendered import Rendered
from runbooks.commands.settings_look import MANIFESTS, HostSettings
from runbooks.errors import RunbookError
from runbooks.inventory.model import Host
from runbooks.rules import host_patches, patched
from runbooks.rules.finding import Finding, unread
from runbooks.rules.kubelet_flags import PATCHED_SINCE
from runbooks.rules.upgrade_seen import Version, text, version_in
from runbooks.text import counted, first_few, listed
from runbooks.upgrade.rules.hidden import arguments, hidden

TOPIC = "by hand"
TOLD = 4
KUBELET_CONFIG = "/var/lib/kubelet/config.yaml"
# Set by kubeadm itself for the host, or at a member's first start only.
OF_THE_HOST = ("resolvConf", "containerRuntimeEndpoint", "imageServiceEndpoint")
FIRST_START = ("--initial-cluster=", "--initial-cluster-state=")
PARTS = {
    "kube-apiserver": "apiServer",
    "kube-controller-manager": "controllerManager",
    "kube-scheduler": "scheduler",
    "etcd": "etcd.local",
}
EDIT = "kubectl -n kube-system edit configmap"


@dataclass(frozen=True, slots=True)
class Change:
    """How a file on hosts differs from what kubeadm writes there: lines that vanish, and lines that come."""

    file: str
    gone: tuple[str, ...]
    comes: tuple[str, ...]

    @property
    def diff(self) -> str:
        """The lines as a diff."""
        return "\n".join(
            [
                f"--- {self.file}",
                "+++ as kubeadm writes it",
                *(f"-{line}" for line in self.gone),
                *(f"+{line}" for line in self.comes),
            ]
        )


@dataclass(frozen=True, slots=True)
class Customised:
    """The findings, and each change with the hosts that have it."""

    findings: tuple[Finding, ...] = ()
    changes: Mapping[Change, tuple[Host, ...]] = field(default_factory=dict)


def judge(
    settings: Mapping[Host, HostSettings | RunbookError],
    rendered: Mapping[Host, Rendered | RunbookError],
    cluster: ClusterSettings | None,
    config: Version | None,
) -> Customised:
    """Return what an upgrade takes out of the files of these hosts. ``config``: the version in kubeadm-config.

    A host whose files could not be read is told by `accepted`; one whose manifests could not be rendered is a warning here.
    """
    found: list[Finding] = []
    changes: dict[Change, list[Host]] = {}
    for host, those in rendered.items():
        have = settings.get(host)
        if isinstance(those, RunbookError):
            found.append(unread(TOPIC, host, those))
        elif those.error:
            seen = f"not compared with what kubeadm would write: {those.error}"
            found.append(
                Finding(
                    "warn", topic=TOPIC, host=host.name, seen=seen, fix=f"on {host}: kubeadm init phase control-plane all --help"
                )
            )
        elif isinstance(have, HostSettings):
            for change in _manifests(have, those):
                changes.setdefault(change, []).append(host)
    for host, have in settings.items():
        if isinstance(have, HostSettings) and cluster and (own := _kubelet(have, cluster, config)):
            changes.setdefault(own, []).append(host)
    other = _other_kubeadm(rendered, config)
    found += [_finding(change, hosts, cluster, other) for change, hosts in changes.items()]
    if rendered and not found:
        seen = f"the static pods of {listed(rendered)} and every kubelet's configuration are as kubeadm writes them"
        found.append(Finding("ok", topic=TOPIC, seen=seen))
    return Customised(tuple(found), {change: tuple(hosts) for change, hosts in changes.items()})


def _other_kubeadm(rendered: Mapping[Host, Rendered | RunbookError], config: Version | None) -> str:
    """Return the kubeadm that rendered, when it is of another minor version than the cluster: then it makes differences of its own."""
    versions = {version for each in rendered.values() if isinstance(each, Rendered) and (version := version_in(each.kubeadm))}
    return listed(sorted(text(each) for each in versions if config and each[:2] != config[:2]))


def _finding(change: Change, hosts: Sequence[Host], cluster: ClusterSettings | None, other: str) -> Finding:
    name = listed(host.name for host in hosts)
    if not change.gone:
        seen = f"{change.file}: kubeadm would add {_told(change.comes)}"
        return Finding("note", topic=TOPIC, host=name, seen=seen)
    seen = f"{change.file}: {counted(len(change.gone), 'line')} would vanish: {_told(change.gone)}"
    if change.comes:
        seen += f"; instead: {_told(change.comes)}"
    why = "kubeadm writes this file anew, without a warning"
    if other and change.file != KUBELET_CONFIG:
        return Finding(
            "note", topic=TOPIC, host=name, seen=seen, why=f"{why}; kubeadm {other} itself writes some lines differently"
        )
    return Finding("warn", topic=TOPIC, host=name, seen=seen, why=why, fix=_fix(change, cluster))


def _fix(change: Change, cluster: ClusterSettings | None) -> str:
    if change.file == KUBELET_CONFIG:
        return f"to keep it: {EDIT} {cluster.kubelet_map if cluster and cluster.kubelet_map else 'kubelet-config'}"
    part = PARTS.get(change.file.rpartition("/")[2].removesuffix(".yaml"), "")
    return f"to keep it: {EDIT} kubeadm-config, at {part}: extraArgs, extraVolumes, extraEnvs; other fields by kubernetes.patches in hosts.yaml"


def _told(lines: Sequence[str]) -> str:
    return "; ".join(first_few(lines, TOLD))


# ---- files


def _manifests(have: HostSettings, rendered: Rendered) -> Iterator[Change]:
    for name, wanted in rendered.manifests.items():
        path = f"{MANIFESTS}/{name}.yaml"
        if path in have.files and (change := compared(path, have.files[path], wanted)):
            yield change


def _kubelet(have: HostSettings, cluster: ClusterSettings, config: Version | None) -> Change | None:
    if not cluster.kubelet or KUBELET_CONFIG not in have.files:
        return None
    try:
        own, kept = (yaml_text.mapping(each, meant=True) for each in (have.files[KUBELET_CONFIG], cluster.kubelet))
        if patched_since(cluster, config):
            kept = patched.of_kubelet(kept, host_patches.on_host(have.files))
    except ValueError:
        return None  # `accepted` tells it
    for key in OF_THE_HOST:
        own.pop(key, None)
        kept.pop(key, None)
    return _change(KUBELET_CONFIG, list(_lines(own, "")), list(_lines(kept, "")))


def patched_since(cluster: ClusterSettings, config: Version | None) -> bool:
    """Return whether kubeadm patches the kubelet's file: from 1.25 on. Without a version the name of the ConfigMap tells it: kubelet-config-1.20."""
    return config[1] >= PATCHED_SINCE if config else "-1." not in cluster.kubelet_map


def compared(path: str, have: str, wanted: str) -> Change | None:
    """Return how a manifest differs from what kubeadm writes, None when it means the same. A manifest that is no YAML is one line that vanishes."""
    try:
        return _change(path, meaning(have), meaning(wanted))
    except ValueError as error:
        return Change(path, (f"it cannot be read: {error}",), ())


def _change(path: str, have: Sequence[str], wanted: Sequence[str]) -> Change | None:
    gone = tuple(line for line in have if line not in wanted)
    comes = tuple(line for line in wanted if line not in have)
    return Change(path, gone, comes) if gone or comes else None


def meaning(manifest: str) -> list[str]:
    """Return what a static pod's manifest says, one line for each value. The tag of an image is the upgrade's; order does not count.

    >>> meaning("spec: {containers: [{name: a, command: [a, --x=1], image: 'r/a:v1'}], hostNetwork: true}")
    ['a', '--x=1', 'image: r/a', 'spec.hostNetwork: true']
    """
    pod = yaml_text.mapping(manifest)
    pod.pop("status", None)
    return [line for line in _lines(pod, "") if not line.startswith(FIRST_START) and line != "metadata.creationTimestamp: null"]


def _lines(value: object, path: str) -> Iterator[str]:
    if isinstance(value, dict):
        for key, each in value.items():
            yield from _lines(each, f"{path}.{key}" if path else str(key))
    elif path.rpartition(".")[2] in {"command", "args"}:  # of init containers, exec probes and hooks
        yield from (f"{path}: {each}" for each in arguments(value))
    elif isinstance(value, list) and path == "spec.containers":
        for number, each in enumerate(value):
            yield from _container(each, number)
    elif isinstance(value, list):
        for number, each in enumerate(value):
            name = each.get("name", number) if isinstance(each, dict) else ""
            yield from _lines(each, f"{path}[{name}]" if isinstance(each, dict) else path)
    elif value not in {"", "null", "{}"}:
        yield f"{path}: {hidden(path, value)}"


def _container(value: object, number: int) -> Iterator[str]:
    if not isinstance(value, dict):
        yield f"spec.containers[{number}]: {value}"
        return
    for key, each in value.items():
        if key in {"command", "args"} and isinstance(each, list):
            yield from arguments(each)
        elif key == "image":
            yield f"image: {str(each).partition('@')[0].rpartition(':')[0] or each}"
        elif key == "name" and number == 0:
            continue
        else:
            yield from _lines(each, str(key))
