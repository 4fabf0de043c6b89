"""What the kubelet of one host is to run with: the KubeletConfiguration of all kubelets, with what hosts.yaml gives to its roles and to it alone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from runbooks.cluster import patches
from runbooks.commands import yaml_text
from runbooks.commands.settings_look import HostSettings
from runbooks.day2.rules import difference
from runbooks.inventory.model import Host, Site
from runbooks.inventory.patch_names import KUBELET
from runbooks.rules import host_patches
from runbooks.text import listed


@dataclass(frozen=True, slots=True)
class Overridden:
    """A value of hosts.yaml (``wanted``) that a patch of somebody else on the host replaces (``there``, None: takes out). ``files``: their paths."""

    key: str
    there: str | None
    wanted: str
    files: tuple[str, ...]


def on(site: Site, host: Host, kept: str, have: HostSettings, *, file: bool = False) -> Mapping[str, Any]:
    """Return what hosts.yaml decides of the KubeletConfiguration that ``host`` is to run with, its scalars as text.

    ``kept``: the cluster's KubeletConfiguration. Patches of other people on the host (``have``) count, since kubeadm applies them. ``file``: that
    of the kubelet's file, which flags come on top of. Raises InventoryError or PrecheckError for a patch that does not apply.
    """
    return _on(site, host, kept, patches.theirs_on(have), file=file)


def overridden(site: Site, host: Host, kept: str, have: HostSettings) -> list[Overridden]:
    """Return what hosts.yaml says and does not get on ``host``, by the patches of other people there. Raises as `on`."""
    theirs = patches.theirs_on(have)
    if not theirs:
        return []
    own, there = (_on(site, host, kept, those) for those in ({}, theirs))
    found = []
    for key, value, wanted in difference.of_kubelet(own, there):
        field = key.partition(".")[0]
        of_kubelet = {name: text for name, text in theirs.items() if host_patches.target(name) == KUBELET}
        names = [name for name, text in of_kubelet.items() if field in host_patches.fields(name, text)] or list(of_kubelet)
        found.append(Overridden(key, value, wanted, tuple(f"{host_patches.DIRECTORY}/{name}" for name in names)))
    return found


def _on(site: Site, host: Host, kept: str, theirs: Mapping[str, str], *, file: bool = False) -> Mapping[str, Any]:
    document = difference.documents(site)["KubeletConfiguration"]
    return patches.on_kubelet(site, host, document, yaml_text.mapping(kept, meant=True), theirs, file=file)


def not_running(wanted: Mapping[str, Any], said: object) -> str:
    """Return which settings of hosts.yaml (``wanted``) a kubelet does not run with, by what it says of itself; or ""."""
    found = difference.of_kubelet(wanted, said)
    return f"it runs with other values of {listed(key for key, _, _ in found)}" if found else ""
