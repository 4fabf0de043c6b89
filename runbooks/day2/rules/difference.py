"""What differs between hosts.yaml and what is in force. Pure.

Three places have the settings of a cluster: hosts.yaml, the ConfigMaps that kubeadm keeps in the cluster, and the files on every host. The
first two are compared here; how the files differ from the ConfigMaps is judged by `upgrade.rules.customised`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import KW_ONLY, asdict, dataclass
from typing import Any, Final, Literal, get_args

from runbooks.commands import credentials, yaml_text
from runbooks.commands.files import hidden
from runbooks.commands.kubeadm_config import PARTS, ClusterSettings, args_of
from runbooks.day2.rules import cgroup_driver
from runbooks.day2.rules.merged import OF_KUBEADM, SANS
from runbooks.inventory.model import Site
from runbooks.rules import kubeadm
from runbooks.text import counted, listed, table

Topic = Literal[
    "nodes", "control-plane", "kubelet", "kube-proxy", "hosts", "containerd", "lb", "versions", "schedules", "by-hand"
]
TOPICS: Final[tuple[Topic, ...]] = get_args(Topic)
# What a cluster is built with, and cannot be changed while it lives.
FIXED: Final = {
    "networking.podSubnet": "the network of pods cannot be changed in place: every Pod has an address in it",
    "networking.serviceSubnet": "the network of services cannot be changed in place: every Service has an address in it",
    "networking.dnsDomain": "the cluster's domain cannot be changed in place: it is in certificates and in every Pod",
    "clusterName": "it is in every kubeconfig",
    "controlPlaneEndpoint": "every kubelet and kubeconfig has it: a new cluster, or a name (endpoint.name) that moves",
    "etcd.local.dataDir": "etcd's data stay where they are",
}
# Of ClusterConfiguration: what is compared elsewhere, or says nothing of its own.
LEFT_OUT: Final = frozenset({"apiVersion", "kind", "kubernetesVersion"})
# Lists in which others may have put something of their own: names in certificates, volumes.
CONTAINED: Final = frozenset({*SANS, "extraVolumes"})
# What a component leaves out of a configuration: the value of a field that has none.
ZERO: Final = frozenset({"", "null", "0", "0s", "false"})
# Fields of KubeletConfiguration whose zero value says something of its own, and is kept: without them a default holds.
# https://kubernetes.io/docs/reference/config-api/kubelet-config.v1beta1/
POINTERS: Final = frozenset(
    [
        "enableServer",
        "registryPullQPS",
        "eventRecordQPS",
        "enableDebuggingHandlers",
        "healthzPort",
        "oomScoreAdj",
        "imageGCHighThresholdPercent",
        "imageGCLowThresholdPercent",
        "cgroupsPerQOS",
        "podPidsLimit",
        "resolvConf",
        "cpuCFSQuota",
        "cpuCFSQuotaPeriod",
        "nodeStatusMaxImages",
        "kubeAPIQPS",
        "serializeImagePulls",
        "maxParallelImagePulls",
        "failSwapOn",
        "containerLogMaxFiles",
        "containerLogMaxWorkers",
        "enableControllerAttachDetach",
        "makeIPTablesUtilChains",
        "enableSystemLogHandler",
        "seccompDefault",
        "memoryThrottlingFactor",
        "registerNode",
        "enableProfilingHandler",
        "enableDebugFlagsHandler",
        "localStorageCapacityIsolation",
        "singleProcessOOMKill",
        "enabled",
    ]
)
DURATION: Final = re.compile(r"(?:\d+(?:\.\d+)?(?:h|ms|us|ns|m|s))+\Z")
UNITS: Final = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 1e-3, "us": 1e-6, "ns": 1e-9}


@dataclass(frozen=True, slots=True)
class Difference:
    """One thing that differs. ``there`` is in force, ``wanted`` is what hosts.yaml says; None: it is not there, or is not wanted.

    host  where, "" for the cluster. key: what. fix: the command, or the way, that brings it about. why: why it cannot be, or matters.
    diff  the files' difference in full, secrets masked; "" where key and values say it all.
    """

    topic: Topic
    _: KW_ONLY
    host: str = ""
    key: str
    there: str | None = None
    wanted: str | None = None
    fix: str = ""
    why: str = ""
    diff: str = ""


@dataclass(frozen=True, slots=True)
class Unread:
    """What could not be compared, and why: then nobody knows whether it differs."""

    topic: Topic
    host: str
    why: str


# ---- hosts.yaml and kubeadm's ConfigMaps


def documents(site: Site) -> dict[str, dict[str, Any]]:
    """Return what kubeadm would get from hosts.yaml, by kind; every value is text. Raises InventoryError for settings that it cannot use."""
    version = kubeadm.parse(site.kubernetes.version)
    text = str(kubeadm.init_config(site, site.control_plane[0], version, None))
    return {str(each["kind"]): each for each in yaml_text.documents(text) if isinstance(each, dict)}


def of_cluster(site: Site, live: ClusterSettings, configuration: str) -> list[Difference]:
    """Return how kubeadm's ConfigMaps differ from hosts.yaml. ``configuration``: the text of ClusterConfiguration."""
    wanted = documents(site)
    cluster = wanted["ClusterConfiguration"]
    found = [*_flags(cluster, live), *_configuration(cluster, yaml_text.mapping(configuration))]
    kubelet, proxy = wanted["KubeletConfiguration"], wanted.get("KubeProxyConfiguration")
    for topic, document, text in (("kubelet", kubelet, live.kubelet), ("kube-proxy", proxy, live.proxy)):
        if document is None:
            continue
        there = yaml_text.mapping(text)
        for key, old, new in subset(document, there):
            if key not in LEFT_OUT:
                fixed = key == cgroup_driver.FIELD and old is not None
                why = cgroup_driver.WHY if fixed else ""
                fix = cgroup_driver.way(str(old), new, live.kubelet_map) if fixed else f"inv cluster.reconfigure --only {topic}"
                found.append(Difference(_topic(topic), key=key, there=old, wanted=new, fix=fix, why=why))
    return found


def of_kubelet(wanted: Mapping[str, Any], said: object) -> list[tuple[str, str | None, str]]:
    """Return which values of ``wanted`` (its scalars are text) a kubelet has not: path, its value, that. ``said``: by configz, or its file."""
    return [each for each in subset(wanted, _texts(said)) if each[0] not in LEFT_OUT]


def of_proxy(site: Site, config: str) -> list[tuple[str, str | None, str]]:
    """Return which values of KubeProxyConfiguration (a text) are not those of hosts.yaml: path, its value, the one of hosts.yaml."""
    wanted = documents(site).get("KubeProxyConfiguration", {})
    return [each for each in subset(wanted, yaml_text.mapping(config)) if each[0] not in LEFT_OUT]


def _texts(value: object) -> object:
    """Return a value of JSON as YAML would be read here: every scalar is text."""
    if isinstance(value, dict):
        return {key: _texts(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_texts(each) for each in value]
    return {True: "true", False: "false", None: "null"}.get(value, str(value)) if isinstance(value, bool | None) else str(value)


def _topic(name: str) -> Topic:
    return next(each for each in TOPICS if each == name)


def _flags(cluster: Mapping[str, Any], live: ClusterSettings) -> Iterator[Difference]:
    for part, component in PARTS.items():
        wanted, there = dict(args_of(cluster, part)), dict(live.args.get(component, ()))
        own = OF_KUBEADM.get(component, frozenset())
        for flag in sorted({*wanted, *(there.keys() - own)}):
            if wanted.get(flag) != there.get(flag):
                why = "" if flag in wanted else "somebody has added it by hand, or it was deleted from hosts.yaml"
                key = f"{component} --{flag}"
                fix = "inv cluster.reconfigure --only control-plane"
                if flag not in wanted:
                    fix = f"write it into hosts.yaml (kubernetes.extra_args); or take it out: {fix} --drop"
                old, new = (credentials.shown(flag, each.get(flag)) for each in (there, wanted))
                yield Difference("control-plane", key=key, there=old, wanted=new, why=why, fix=fix)


def _configuration(cluster: Mapping[str, Any], there: Mapping[str, Any]) -> Iterator[Difference]:
    for key, old, new in subset(cluster, there):
        if key in LEFT_OUT or ".extraArgs" in key:
            continue
        why, fix = FIXED.get(key, ""), "" if key in FIXED else "inv cluster.reconfigure --only control-plane"
        if key.endswith("SANs"):
            why, fix = (
                "certificates get a name only when they are made anew (kubeadm init phase certs)",
                f"{fix} puts it into kubeadm-config",
            )
        yield Difference("control-plane", key=key, there=old, wanted=new, why=why, fix=fix)


def subset(wanted: object, there: object, path: str = "") -> Iterator[tuple[str, str | None, str]]:
    """Yield each value of ``wanted`` that ``there`` has not, with its path. What only ``there`` has are defaults, and no difference.

    >>> list(subset({"a": {"b": "1"}, "c": ["x"]}, {"a": {"b": "2", "z": "9"}, "c": ["x"]}))
    [('a.b', '2', '1')]
    """
    if isinstance(wanted, dict):
        below = there if isinstance(there, dict) else {}
        for key, each in wanted.items():
            yield from subset(each, below.get(key), f"{path}.{key}" if path else str(key))
    elif isinstance(wanted, list):
        if _lists_differ(wanted, there, contained=path.rpartition(".")[2] in CONTAINED):
            yield path, None if there is None else _brief(there), _brief(wanted)
    elif not _same(str(wanted), there, path.rpartition(".")[2]):
        yield path, None if there is None else _brief(there), str(wanted)


def _lists_differ(wanted: list[Any], there: object, *, contained: bool) -> bool:
    if not isinstance(there, list):
        return bool(wanted)
    if contained:
        return any(all(_differ(each, other) for other in there) for each in wanted)
    return len(there) != len(wanted) or any(_differ(*pair) for pair in zip(wanted, there, strict=True))


def _differ(wanted: object, there: object) -> bool:
    return any(True for _ in subset(wanted, there))


def _same(wanted: str, there: object, key: str) -> bool:
    if wanted == there:
        return True
    if there is None:
        return wanted in ZERO and key not in POINTERS
    return isinstance(there, str) and DURATION.match(wanted) is not None and seconds(wanted) == seconds(there)


def seconds(duration: str) -> float | None:
    """Return a duration of Go in seconds, None for any other text.

    >>> seconds("1m30s"), seconds("90s"), seconds("often")
    (90.0, 90.0, None)
    """
    if not DURATION.match(duration):
        return None
    parts = re.findall(r"(\d+(?:\.\d+)?)(h|ms|us|ns|m|s)", duration)
    return sum(float(number) * UNITS[unit] for number, unit in parts)


def _brief(value: object) -> str:
    if isinstance(value, list):
        return listed(_brief(each) for each in value)
    if isinstance(value, dict):
        return listed(f"{key}: {_brief(each)}" for key, each in value.items())
    return str(value)


# ---- what is shown


def for_people(found: Sequence[Difference], unread: Sequence[Unread]) -> str:
    """Return the table, the differences of files, and what could not be compared; "" for nothing."""
    lines = []
    if found:
        rows = [[each.topic, each.host, each.key, _said(each.there), _said(each.wanted)] for each in found]
        head, *body = table(["topic", "host", "what", "in force", "hosts.yaml"], rows).splitlines()
        lines = [head]
        for each, line in zip(found, body, strict=True):
            lines += [line, *(f"      {text}" for text in (each.why, f"-> {each.fix}" if each.fix else "") if text)]
    lines += [f"\n{each.diff.rstrip()}" for each in found if each.diff]
    lines += [f"not compared: {each.topic}{f' of {each.host}' if each.host else ''}: {each.why}" for each in unread]
    return "\n".join(lines)


def summary(site: str, found: Sequence[Difference], unread: Sequence[Unread]) -> str:
    """Return how many differences there are, in one line."""
    words = counted(len(found), "difference") if found else "no difference"
    return f"{site}: {words} between hosts.yaml and what is in force{', as far as it could be read' if unread else ''}"


_SECRET: Final = re.compile(
    r"""(?im)^(.*?(?:(?:password|passwd|auth_pass|token|secret|\bauth\b)\S*[ \t]*[=: ]|\bauth\w*["']?[ \t]*[=:])[ \t]*)(?!(?:true|false)\s*$)\S.*$"""
)


def masked(diff: str) -> str:
    """Return the difference of a file without what may be a password: lines that name one, as in containerd's or HAProxy's configuration.

    >>> masked('-    stats auth admin:pw')
    '-    stats auth ***'
    >>> masked('+      password = "x"')
    '+      password = ***'
    """
    return _SECRET.sub(r"\1***", hidden(credentials.hidden(diff)))


def _said(value: str | None) -> str:
    return "-" if value is None else value or '""'


def for_programs(found: Iterable[Difference], unread: Iterable[Unread]) -> dict[str, Any]:
    """Return the same as a JSON object: "same", "differences" and "unread"."""
    rows, left = [asdict(each) for each in found], [asdict(each) for each in unread]
    return {"same": not rows and not left, "differences": rows, "unread": left}
