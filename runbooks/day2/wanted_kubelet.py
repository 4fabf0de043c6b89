"""What the kubelet of one host is to run with: the KubeletConfiguration of all kubelets, with what hosts.yaml gives to its roles and to it alone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from runbooks.cluster import patches
from runbooks.day2.rules import difference
from runbooks.inventory.model import Host, Site
from runbooks.text import listed


def on(site: Site, host: Host, *, file: bool = False) -> Mapping[str, Any]:
    """Return the KubeletConfiguration that ``host`` is to run with, its scalars as text; ``file``: that of its file, which flags come on top of."""
    return patches.on_kubelet(site, host, difference.documents(site)["KubeletConfiguration"], file=file)


def not_running(wanted: Mapping[str, Any], said: object) -> str:
    """Return which settings of hosts.yaml (``wanted``) a kubelet does not run with, by what it says of itself; or ""."""
    found = difference.of_kubelet(wanted, said)
    return f"it runs with other values of {listed(key for key, _, _ in found)}" if found else ""
