"""The ClusterConfiguration that hosts.yaml asks for, made from the one in the cluster. Pure.

What hosts.yaml does not name stays: kubeadm's defaults, and what somebody has added by hand. Such flags go only when the operator says so.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, Literal

from runbooks.commands.kubeadm_config import PARTS, args_of
from runbooks.inventory.model import Site
from runbooks.rules import kubeadm
from runbooks.rules.kubeadm_documents import documents, one, read

STAYS: Final = ("apiVersion", "kind", "kubernetesVersion")
# kubeadm itself writes these flags into kubeadm-config.
SANS: Final = ("certSANs", "serverCertSANs", "peerCertSANs")
OF_KUBEADM: Final = {"kube-apiserver": frozenset({"authorization-mode"})}


def merged(site: Site, live: str, *, drop: bool) -> str:
    """Return the text of ClusterConfiguration. ``live``: the one in the cluster; ``drop``: flags that hosts.yaml does not name go.

    Raises InventoryError for settings that kubeadm cannot use, ValueError when ``live`` is no mapping.
    """
    there = one(live)
    version = kubeadm.parse(str(there["kubernetesVersion"]))
    wanted = _cluster(str(kubeadm.init_config(site, site.control_plane[0], version, None)))
    for part, component in PARTS.items():
        _flags(there, wanted, part, component, drop=drop)
    if not drop:
        _lists(there, wanted)
    return documents(_over(there, {key: each for key, each in wanted.items() if key not in STAYS}))


def component(site: Site, kind: Literal["KubeletConfiguration", "KubeProxyConfiguration"], live: str) -> str:
    """Return the text of this configuration that hosts.yaml asks for, made from the one in the cluster. Raises ValueError as `merged`."""
    there = one(live)
    version = kubeadm.parse(site.kubernetes.version)
    text = str(kubeadm.init_config(site, site.control_plane[0], version, None))
    wanted = next(each for each in read(text) if each["kind"] == kind)
    return documents(_over(there, wanted))


def _cluster(text: str) -> dict[str, Any]:
    found: dict[str, Any] = next(each for each in read(text) if each["kind"] == "ClusterConfiguration")
    return found


def _flags(there: dict[str, Any], wanted: dict[str, Any], part: str, component: str, *, drop: bool) -> None:
    """Put into ``wanted`` the flags of ``there`` that stay: all that hosts.yaml does not name, or with ``drop`` only kubeadm's own."""
    given = args_of(wanted, part)
    names = {name for name, _ in given}
    kept = [(name, text) for name, text in args_of(there, part) if name not in names and _stays(name, component, drop=drop)]
    _at(there, part).pop("extraArgs", None)
    if flags := [*kept, *given]:
        listed = str(there["apiVersion"]).endswith("v1beta4")
        _make(wanted, part)["extraArgs"] = [{"name": name, "value": text} for name, text in flags] if listed else dict(flags)


def _lists(there: dict[str, Any], wanted: dict[str, Any]) -> None:
    """Add to ``wanted`` the volumes and the names in certificates that only ``there`` has."""
    for part in PARTS:
        own, new = _at(there, part), _at(wanted, part)
        names = {each.get("name") for each in new.get("extraVolumes") or ()}
        if more := [each for each in own.get("extraVolumes") or () if each.get("name") not in names]:
            _make(wanted, part)["extraVolumes"] = [*(new.get("extraVolumes") or ()), *more]
        for key in SANS:
            had, given = own.get(key) or [], new.get(key) or []
            if had and {*given} <= {*had}:
                _make(wanted, part)[key] = had
            elif had:
                _make(wanted, part)[key] = [*had, *(name for name in given if name not in had)]


def _stays(name: str, component: str, *, drop: bool) -> bool:
    return not drop or name in OF_KUBEADM.get(component, ())


def _at(tree: Mapping[str, Any], path: str) -> dict[str, Any]:
    found: Any = tree
    for key in path.split("."):
        found = found.get(key) if isinstance(found, dict) else None
    return found if isinstance(found, dict) else {}


def _make(tree: dict[str, Any], path: str) -> dict[str, Any]:
    for key in path.split("."):
        tree = tree.setdefault(key, {})
    return tree


def _over(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """Return ``below`` updated with ``above``: mappings at every level, lists are replaced."""
    found = dict(below)
    for key, value in above.items():
        old = found.get(key)
        found[key] = _over(old, value) if isinstance(old, dict) and isinstance(value, dict) and key != "extraArgs" else value
    return found
