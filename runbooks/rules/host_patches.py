"""Which patches for kubeadm, and which flags of the kubelet, hosts.yaml gives to a host. Pure.

On hosts they lie in /etc/kubernetes/patches, beside those of other people. Ours have a name that nobody else gives, so a patch that is
deleted from hosts.yaml is found, and no other file is ever touched.
"""

from __future__ import annotations

import posixpath
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from runbooks.commands import yaml_text
from runbooks.commands.settings_look import PATCHES
from runbooks.commands.yaml_written import written
from runbooks.inventory.model import Host, Site
from runbooks.inventory.patch_names import KUBELET, PatchName, parse
from runbooks.rules import kubelet_env, kubelet_flags

DIRECTORY: Final = PATCHES[0]
MARK: Final = "-ha-runbooks-"
OF_HOST: Final = f"{KUBELET}{MARK}host+merge.yaml"  # after the patches with numbers


@dataclass(frozen=True, slots=True)
class HostPatches:
    """``files``: texts by the name that they have on the host. ``flags``: of the kubelet, without dashes, where kubeadm has no patch for it."""

    files: Mapping[str, str] = field(default_factory=dict, repr=False)
    flags: Mapping[str, str] = field(default_factory=dict)


def given(site: Site, host: Host) -> bool:
    """Return whether hosts.yaml gives a patch, or settings of its kubelet alone, to ``host``."""
    own = site.of_node(host)
    return bool(own.kubelet) or any(_reaches(host, parse(path.name)) for path in own.patches)


def wanted(site: Site, host: Host, texts: Mapping[Path, str], minor: int) -> HostPatches:
    """Return what ``host`` gets for kubeadm 1.``minor``. ``texts``: of the files that hosts.yaml names. Raises ValueError for no flag."""
    own, files, numbers = site.of_node(host), dict[str, str](), Counter[str]()
    for path in own.patches:
        name = parse(path.name)
        if _reaches(host, name):
            files[_file(name, numbers[name.target])] = texts[path]
            numbers[name.target] += 1
    if not own.kubelet:
        return HostPatches(files)
    if minor < kubelet_flags.PATCHED_SINCE:
        return HostPatches(files, kubelet_flags.flags(own.kubelet, site.kubernetes.kubelet))
    return HostPatches(files | {OF_HOST: written(own.kubelet)})


def _file(name: PatchName, number: int) -> str:
    """Return the name on the host: in hosts.yaml the order counts, for kubeadm that of the names."""
    suffix = f"-{name.suffix}" if name.suffix else ""
    return f"{name.target}{MARK}{number:03}{suffix}+{name.kind}.{name.extension}"


def _reaches(host: Host, name: PatchName) -> bool:
    return host.is_control_plane or name.target == KUBELET


def target(path: str) -> str:
    """Return the target of a patch by its path, "" for a file that kubeadm ignores."""
    try:
        return parse(posixpath.basename(path)).target
    except ValueError:
        return ""


def fields(path: str, text: str) -> list[str]:
    """Return the fields of KubeletConfiguration that the file at ``path`` sets: a patch, or the kubelet's variables."""
    if path in kubelet_env.PATHS:
        return [kubelet_flags.FIELDS.get(flag, flag) for flag in kubelet_env.ours(text)]
    if target(path) != KUBELET:
        return []
    found = []
    for each in yaml_text.documents(text):
        operations = each if isinstance(each, list) else []
        found += [
            str(one.get("path", "")).split("/")[1] for one in operations if isinstance(one, dict) and "/" in str(one.get("path"))
        ]
        found += [str(key) for key in each] if isinstance(each, dict) else []
    return found


def on_host(files: Mapping[str, str]) -> dict[str, str]:
    """Return the patches among ``files`` (texts by path) that lie where kubeadm gets them from: texts by name."""
    return {posixpath.basename(path): text for path, text in files.items() if posixpath.dirname(path) == DIRECTORY}


def is_ours(name: str) -> bool:
    """Return whether a file of this name is one that this tool has written.

    >>> is_ours("etcd-ha-runbooks-000-0+merge.yaml"), is_ours("etcd0+merge.yaml")
    (True, False)
    """
    return MARK in name and bool(target(name))
