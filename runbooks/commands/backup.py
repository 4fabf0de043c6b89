"""What a host is asked for when a backup is made, and how its answer reads.

A host sends one stream: files, each announced with its size and digest, facts, and what it could not save (see
scripts/host/backup-work.sh). Nothing stays behind on it.
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

ROOM: Final = 256 << 20  # bytes that a host's disk must have beside twice etcd's size: a write-ahead log, and not the last page
SLOWEST: Final = 2 << 20  # bytes a second that a disk or a wire does at the least
PAGE: Final = 200  # objects that the API server sends at once; ours and its memory are bounded by it

CONTROL_PLANE_NEEDS: Final = ("/etc/kubernetes/pki/ca.crt", "/etc/kubernetes/manifests/kube-apiserver.yaml")
CONTROL_PLANE_FILES: Final = (
    "/etc/kubernetes",
    "/var/lib/kubelet/config.yaml",
    "/var/lib/kubelet/kubeadm-flags.env",
    "/var/lib/kubelet/pki",
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
)


@dataclass(frozen=True, slots=True)
class Kind:
    """Something that the API server lists. ``name`` is unique: the plural, with the group behind it when there is one."""

    name: str
    path: str
    plural: str
    group: str = ""


@dataclass(frozen=True, slots=True)
class Kinds:
    """What the API server offers. ``silent`` are versions of groups that did not answer."""

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
    """How many keys there are in all and under each prefix, as of one revision, and some of them."""

    total: int
    counts: Mapping[str, int]
    samples: tuple[Sample, ...]


def kinds(host: Host) -> Probe[Kinds]:
    """Everything that the API server of ``host`` can list."""
    command = script("backup-kinds", {"SERVER": url(host.address)}, timeout=60, after=("api-get",))
    return Probe(replace(command, shown="kubectl get --raw /apis ..."), parse_kinds)


def etcd(base: str, prefixes: Iterable[str], size: int, access: Access = STACKED) -> Command:
    """Take, send and prove a snapshot of this host's member. ``size`` is etcd's, in bytes, for the time that it may take."""
    variables = {"BASE": base, "ROOM": str(ROOM), "PREFIXES": list(prefixes), **access_variables(access)}
    command = script("backup-etcd", variables, timeout=300 + 4 * size / SLOWEST, after=("backup-work", "etcd-find"))
    return replace(command, shown="etcdctl snapshot save; etcdutl snapshot status, restore into a scratch directory")


def lists(host: Host, base: str, wanted: Sequence[Kind], size: int) -> Command:
    """Send everything of the ``wanted`` kinds in all namespaces, as the API server of ``host`` lists it."""
    variables = {
        "BASE": base,
        "SERVER": url(host.address),
        "LISTS": [f"{kind.name} {kind.path}?limit={PAGE}&pretty=false" for kind in wanted],
    }
    command = script("backup-lists", variables, timeout=300 + 10 * size / SLOWEST, after=("backup-work", "api-get"))
    return replace(command, shown=f"kubectl get --raw, {len(wanted)} kinds, all namespaces")


def saved(host: Host) -> tuple[str, ...]:
    """Return the paths that `files` sends, as far as they are there."""
    return (*(CONTROL_PLANE_FILES if host.is_control_plane else ()), *(LB_FILES if host.is_lb else ()))


def files(base: str, host: Host) -> Command:
    """Send what ``host`` is configured with, by its roles, as one tar archive."""
    needed = [*(CONTROL_PLANE_NEEDS if host.is_control_plane else ()), *(LB_NEEDS if host.is_lb else ())]
    wanted = saved(host)
    command = script("backup-files", {"BASE": base, "PATHS": wanted, "NEEDED": needed}, timeout=300, after=("backup-work",))
    return replace(command, shown=f"tar {' '.join(path for path in wanted[:2])} ...")


def prefixes(wanted: Iterable[Kind]) -> tuple[str, ...]:
    """Return where the API server keeps the objects of ``wanted`` in etcd, as far as it is the same for every kind."""
    odd = {"services": ("services/specs", "services/endpoints"), "nodes": ("minions",), "endpoints": ()}
    found: dict[str, None] = {}
    for kind in wanted:
        for place in odd.get(kind.name, (kind.plural, f"{kind.group}/{kind.plural}") if kind.group else (kind.plural,)):
            found[f"/registry/{place}/"] = None
    return tuple(found)


def parse_kinds(answer: Answer) -> Kinds:
    """Read what backup-kinds.sh prints. Raises ValueError when it is something else."""
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
        raise ValueError(f"this is not what an API server offers: {error!r}") from None


def _offered(document: Any, preferred: Mapping[str, str]) -> Iterator[tuple[bool, Kind]]:
    group, _, version = document["groupVersion"].rpartition("/")
    root = f"/apis/{group}/{version}" if group else f"/api/{version}"
    for each in document["resources"]:
        plural = each["name"]
        if "list" in each["verbs"] and "/" not in plural:
            name = f"{plural}.{group}" if group else plural
            yield preferred.get(group, version) == version, Kind(name, f"{root}/{plural}", plural, group)


def _best(offered: Iterable[tuple[bool, Kind]]) -> tuple[Kind, ...]:
    """Each kind once: in its group's preferred version, or in another one when only that offers it."""
    found: dict[str, Kind] = {}
    for is_preferred, kind in offered:
        if is_preferred or kind.name not in found:
            found[kind.name] = kind
    return tuple(found[name] for name in sorted(found))


def parse_keys(text: str, wanted: Sequence[str]) -> Keys:
    """Read the transactions that backup-etcd.sh counted with: first all keys, then each of ``wanted``.

    Raises ValueError when they are something else.
    """
    try:
        said = [each["Response"] for line in text.splitlines() for each in json.loads(line)["responses"]]
        ranges = [each["response_range" if "response_range" in each else "ResponseRange"] for each in said]  # etcd 3.4's word
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
        raise ValueError(f"this is no transaction of etcd's: {error!r}") from None
