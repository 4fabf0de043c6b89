"""The backup set that a twin is made from: which one, and what its objects say."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Final

from rehearse.rules import apis, printed, workloads
from rehearse.rules.apis import Used
from rehearse.rules.workloads import Place
from runbooks.backup.sets.objects import items, pages
from runbooks.backup.sets.opened import Opened
from runbooks.backup.sets.store import Set, Store
from runbooks.commands.base import Answer
from runbooks.commands.drain_look import FORMATS, parse_look
from runbooks.commands.drain_objects import Cluster
from runbooks.errors import PrecheckError
from runbooks.inventory.model import Site
from runbooks.recover.quorum.source import Snapshots

SERVICES_OF_API: Final = "apiservices.apiregistration.k8s.io"
OF_KUBEADM: Final = {
    ("control-plane", None),
    (None, "kube-proxy"),
}  # the labels tier and k8s-app of Pods whose images kubeadm chose
CONFIG_MAPS: Final = "configmaps"
READ: Final = (*FORMATS, *workloads.KINDS, SERVICES_OF_API)


@dataclass(slots=True)
class Contents:
    """What the objects of a set say.

    drains      what decides how drains go, as `upgrade.plan` reads it from an API server.
    used        which kinds and versions of the API are used.
    workloads   what is kept from running Pods; ``alone``: Pods (namespace, name) that run without such a workload.
    aggregated  the APIServices that a Service answers for.
    kubelet     what KubeletConfiguration says in kubelet-config, one "key: value" a line.
    repositories  where the images of the control plane and of kube-proxy come from: as their Pods have them, and as kubeadm-config says.
    """

    drains: Cluster
    used: Used
    workloads: tuple[Place, ...] = ()
    alone: tuple[tuple[str, str], ...] = ()
    aggregated: tuple[str, ...] = ()
    kubelet: str = ""
    repositories: tuple[str, ...] = ()


@dataclass(slots=True)
class _Reading:
    kept: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    kinds: Counter[tuple[str, str]] = field(default_factory=Counter)
    written: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    kubelet: str = ""
    kubeadm: str = ""


def choose(site: Site, backup: str, identity: str) -> Set:
    """Return the set ``backup``, or the newest good one with an undamaged snapshot; where no set is good, one that lacks something.

    Raises PrecheckError when there is none, InventoryError when the key for an encrypted one is missing.
    """
    supply = Snapshots(site, identity)
    if backup:
        supply.named(backup)
        return Store(site).one(backup)
    for found in supply.sets()[0]:
        if found.manifest and found.manifest.state == "good" and found.manifest.snapshots:
            with suppress(PrecheckError):  # damaged: an older one
                supply.of_set(found)
                return found
    source, passed = supply.newest()
    if not source:
        raise PrecheckError("\n  ".join(["there is no set to make a twin from", *passed]), hint="inv backup.run")
    return Store(site).one(source.name)


def read(opened: Opened) -> Contents:
    """Read every object of a set once. Of Secrets only who has written them is kept, never a value."""
    found, manifest = _Reading(), opened.manifest
    for name, kind in manifest.kinds.items():
        version, plural = apis.place(kind.path)
        found.kinds[version, plural] += kind.objects
        if name in READ:
            found.kept[name] = []
        for each in _objects(opened, kind.file):
            found.written.update(apis.writers(plural, each))
            if name in READ:
                found.kept[name].append(each)
            elif name == CONFIG_MAPS and each["metadata"].get("namespace") == "kube-system":
                _settings(found, each)
    return Contents(
        drains=_drains(found.kept, manifest.kubernetes, int(manifest.started.timestamp())),
        used=apis.used(found.kinds, found.written),
        workloads=workloads.stilled(found.kept),
        alone=workloads.alone(found.kept),
        aggregated=tuple(_name(each) for each in found.kept.get(SERVICES_OF_API, ()) if each.get("spec", {}).get("service")),
        kubelet=found.kubelet,
        repositories=_repositories(found),
    )


def _repositories(found: _Reading) -> tuple[str, ...]:
    names = re.findall(r"^imageRepository: (\S+)$", found.kubeadm, re.MULTILINE)
    for pod in found.kept.get("pods", ()):
        labels = pod["metadata"].get("labels") or {}
        if pod["metadata"].get("namespace") == "kube-system" and (labels.get("tier"), labels.get("k8s-app")) in OF_KUBEADM:
            names += [each["image"].rpartition("/")[0] for each in pod["spec"]["containers"]]
    return tuple(dict.fromkeys(names))


def _settings(found: _Reading, config_map: Mapping[str, Any]) -> None:
    data = config_map.get("data") or {}
    if _name(config_map).startswith("kubelet-config"):
        found.kubelet = str(data.get("kubelet", ""))
    elif _name(config_map) == "kubeadm-config":
        found.kubeadm = str(data.get("ClusterConfiguration", ""))


def _objects(opened: Opened, file: str) -> Iterator[dict[str, Any]]:
    for page in pages(opened.chunks(file)):
        yield from items(page)


def _name(found: Mapping[str, Any]) -> str:
    return str(found["metadata"]["name"])


def _drains(kept: Mapping[str, list[dict[str, Any]]], version: str, clock: int) -> Cluster:
    """Return the objects as the probe of `upgrade.plan` would have read them when the set was made."""
    said = [f"clock {clock}\nversion {json.dumps({'gitVersion': version})}"]
    for kind, fields in FORMATS.items():
        lines = printed.lines(fields, kept[kind]) if kind in kept else "the set does not have this kind"
        said.append(f"{kind} {0 if kind in kept else 1}\n{lines}".rstrip("\n"))
    return parse_look(Answer(0, "\n@@ ".join(said)))
