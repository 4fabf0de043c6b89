"""The commands that a backup runs on hosts, and the parsers of their answers.

A host sends one stream: files, each announced with its size and digest, facts, and what it could not save (the format:
scripts/host/backup-work.sh). No command leaves anything on the host.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

from runbooks.commands import lb_paths
from runbooks.commands.base import Answer, Command, Probe, script
from runbooks.commands.etcd import STACKED, Access, access_variables
from runbooks.commands.kubectl import url
from runbooks.inventory.model import Host

ROOM: Final = 256 << 20  # bytes that must be free on a host's disk beside twice etcd's size: a write-ahead log and a reserve
SLOWEST: Final = 2 << 20  # bytes per second: the slowest disk or network that the time limits allow for
LINKED: Final = 16 << 20  # bytes: what a link leads to is saved in its place up to this size
PAGE: Final = 200  # objects per page of a list; it limits the memory that this tool and the API server need

CONTROL_PLANE_NEEDS: Final = ("/etc/kubernetes/pki/ca.crt", "/etc/kubernetes/manifests/kube-apiserver.yaml")
# What kubeadm and the operator write below /var/lib/kubelet. The socket of the container runtime is in instance-config.yaml since kubeadm
# 1.34 (1.32 with the feature gate NodeLocalCRISocket); config.json has the passwords of registries.
KUBELET_FILES: Final = ("config.yaml", "instance-config.yaml", "kubeadm-flags.env", "config.json", "pki")
CONTROL_PLANE_FILES: Final = (
    "/etc/kubernetes",
    *(f"/var/lib/kubelet/{name}" for name in KUBELET_FILES),
    "/etc/systemd/system/kubelet.service.d",
    "/usr/lib/systemd/system/kubelet.service.d",
    "/etc/default/kubelet",
    "/etc/sysconfig/kubelet",
    "/etc/containerd/config.toml",
    "/etc/containerd/certs.d",
    "/etc/crictl.yaml",
    "/etc/cni/net.d",
    "/etc/sysctl.d",
    "/etc/modules-load.d",
    "/etc/hosts",
)
LB_NEEDS: Final = (lb_paths.HAPROXY_CFG, lb_paths.KEEPALIVED_CONF)
LB_FILES: Final = (
    "/etc/haproxy",
    "/etc/keepalived",
    lb_paths.LIBRARY,
    lb_paths.HOOK,
    lb_paths.SYSCTL_CONF,
    "/etc/systemd/system/haproxy.service.d",
    "/etc/systemd/system/keepalived.service.d",
    "/etc/default/haproxy",
    "/etc/sysconfig/haproxy",
    "/etc/default/keepalived",
    "/etc/sysconfig/keepalived",
)


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of objects that the API server can list. ``name`` is unique: the plural, followed by the group if it has one."""

    name: str
    path: str
    plural: str
    group: str = ""


@dataclass(frozen=True, slots=True)
class Kinds:
    """The version of Kubernetes and the kinds that the API server lists. ``silent``: API group versions that did not answer."""

    version: str
    kinds: tuple[Kind, ...]
    silent: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Sample:
    """One key of etcd as it was at the snapshot's revision. ``value`` is base64."""

    key: str
    mod_revision: int
    value: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Keys:
    """The number of all keys and of those under each prefix, at one revision, and some keys as samples."""

    total: int
    counts: Mapping[str, int]
    samples: tuple[Sample, ...]


def kinds(host: Host) -> Probe[Kinds]:
    """Return the probe for every kind that the API server of ``host`` can list."""
    command = script("backup-kinds", {"SERVER": url(host.address)}, timeout=60, after=("api-get",))
    return Probe(replace(command, shown="kubectl get --raw /apis ..."), parse_kinds)


def etcd(base: str, prefixes: Iterable[str], size: int, access: Access = STACKED) -> Command:
    """Take, send and verify a snapshot of the host's member. ``size`` of the database, in bytes, sets the time limit.

    Source: https://etcd.io/docs/v3.5/op-guide/recovery/
    """
    variables = {"BASE": base, "ROOM": str(ROOM), "PREFIXES": list(prefixes), **access_variables(access)}
    command = script("backup-etcd", variables, timeout=300 + 4 * size / SLOWEST, after=("backup-work", "etcd-find"))
    return replace(command, shown="etcdctl snapshot save; etcdutl snapshot status, restore into a scratch directory")


def lists(host: Host, base: str, wanted: Sequence[Kind], size: int) -> Command:
    """Send all objects of the ``wanted`` kinds in all namespaces. ``size`` of etcd's database, in bytes, sets the time limit."""
    variables = {
        "BASE": base,
        "SERVER": url(host.address),
        "LISTS": [f"{kind.name} {kind.path}?limit={PAGE}&pretty=false" for kind in wanted],
    }
    command = script("backup-lists", variables, timeout=300 + 10 * size / SLOWEST, after=("backup-work", "api-get"))
    return replace(command, shown=f"kubectl get --raw, {len(wanted)} kinds, all namespaces")


def saved(host: Host) -> tuple[str, ...]:
    """Return the paths that `files` sends if they exist, by the roles of ``host``."""
    return (*(CONTROL_PLANE_FILES if host.is_control_plane else ()), *(LB_FILES if host.is_lb else ()))


def files(base: str, host: Host, named: Sequence[str] = ()) -> Command:
    """Send the configuration files of ``host``, by its roles, as one tar archive; with the ``named`` ones, which lie elsewhere."""
    needed = [*(CONTROL_PLANE_NEEDS if host.is_control_plane else ()), *(LB_NEEDS if host.is_lb else ())]
    wanted = saved(host)
    variables = {"BASE": base, "PATHS": wanted, "NEEDED": needed, "NAMED": named, "MOST": str(LINKED)}
    command = script("backup-files", variables, timeout=300, after=("backup-work",))
    return replace(command, shown=f"tar {' '.join([*wanted[:2], *named])} ...")


def prefixes(wanted: Iterable[Kind]) -> tuple[str, ...]:
    """Return the prefixes of the etcd keys under which the API server stores the objects of ``wanted``."""
    odd = {"services": ("services/specs", "services/endpoints"), "nodes": ("minions",), "endpoints": ()}
    found: dict[str, None] = {}
    for kind in wanted:
        for place in odd.get(kind.name, (kind.plural, f"{kind.group}/{kind.plural}") if kind.group else (kind.plural,)):
            found[f"/registry/{place}/"] = None
    return tuple(found)


def parse_kinds(answer: Answer) -> Kinds:
    """Parse the output of backup-kinds.sh. Raises ValueError when it is something else."""
    silent, documents = [], []
    for line in answer.stdout.splitlines():
        if line.startswith("@! "):
            silent.append(line.removeprefix("@! "))
        elif line.strip():
            documents.append(json.loads(line))
    try:
        version, groups, *listed = documents
        preferred = {group["name"]: group["preferredVersion"]["version"] for group in groups["groups"]}
        offered = [each for document in listed for each in _offered(document, preferred)]
        return Kinds(version["gitVersion"], _best(offered), tuple(silent))
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"this is not the discovery of an API server: {error!r}") from None


def _offered(document: Any, preferred: Mapping[str, str]) -> Iterator[tuple[bool, Kind]]:
    group, _, version = document["groupVersion"].rpartition("/")
    root = f"/apis/{group}/{version}" if group else f"/api/{version}"
    for each in document["resources"]:
        plural = each["name"]
        if "list" in each["verbs"] and "/" not in plural:
            name = f"{plural}.{group}" if group else plural
            yield preferred.get(group, version) == version, Kind(name, f"{root}/{plural}", plural, group)


def _best(offered: Iterable[tuple[bool, Kind]]) -> tuple[Kind, ...]:
    """Return each kind once: in the preferred version of its group, or in another one that has it."""
    found: dict[str, Kind] = {}
    for is_preferred, kind in offered:
        if is_preferred or kind.name not in found:
            found[kind.name] = kind
    return tuple(found[name] for name in sorted(found))


def parse_keys(text: str, wanted: Sequence[str]) -> Keys:
    """Parse the answers to the transactions of backup-etcd.sh: the count of all keys, then of each prefix in ``wanted``.

    Raises ValueError when they are something else.
    """
    try:
        said = [each["Response"] for line in text.splitlines() for each in json.loads(line)["responses"]]
        ranges = [
            each["response_range" if "response_range" in each else "ResponseRange"] for each in said
        ]  # the name in etcd 3.4
        if len(ranges) != len(wanted) + 1:
            raise ValueError(f"{len(ranges)} counts came back for {len(wanted) + 1} questions")
        counts = {prefix: int(found.get("count", 0)) for prefix, found in zip(wanted, ranges[1:], strict=True)}
        samples = [
            Sample(each["key"], int(each["mod_revision"]), each.get("value", ""))
            for found in ranges[1:]
            for each in found.get("kvs", ())
        ]
        return Keys(int(ranges[0].get("count", 0)), {prefix: count for prefix, count in counts.items() if count}, tuple(samples))
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"this is not an answer to a transaction of etcd: {error!r}") from None
