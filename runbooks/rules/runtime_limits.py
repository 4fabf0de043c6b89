"""What a version of containerd cannot do of what hosts.yaml asks for. Pure.

https://github.com/containerd/containerd/blob/main/docs/hosts.md : hosts.toml, from 1.5 on. The key override_path is of 1.6
(https://github.com/containerd/containerd/releases/tag/v1.6.0).
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from runbooks.inventory.model import Site


def numbers(packages: Mapping[str, str]) -> tuple[int, int] | None:
    """Return the first two numbers of the version of containerd among ``packages`` (name -> version), None without it.

    >>> numbers({"containerd": "1.6.20~ds1-1+deb12u3"}), numbers({"containerd.io": "1:2.1.4-1"}), numbers({})
    ((1, 6), (2, 1), None)
    """
    found = re.match(r"(?:\d+:)?(\d+)\.(\d+)", packages.get("containerd.io") or packages.get("containerd") or "")
    return (int(found[1]), int(found[2])) if found else None


def whole_path(url: str) -> bool:
    """Whether the path of a mirror's URL has the API's own part /v2 in it, and is taken as it is: https://harbor.example/v2/proxy.

    >>> whole_path("https://harbor.example/v2/proxy"), whole_path("https://mirror.example:5000"), whole_path("https://a.example/docker")
    (True, False, False)
    """
    return re.search(r"://[^/]+/(.*/)?v2/", f"{url.rstrip('/')}/") is not None and not url.rstrip("/").endswith("/v2")


def too_old(site: Site, version: tuple[int, int] | None) -> str:
    """Return what containerd of that ``version`` cannot do of what ``site`` asks for, "" when it can do everything or is not known."""
    registries = site.kubernetes.containerd.registries
    if version is None:
        return ""
    words = f"containerd {version[0]}.{version[1]}"
    if registries and version < (1, 5):
        return f"{words} does not read hosts.toml, which 1.5 and newer do: kubernetes.containerd.registries has no effect there"
    if version < (1, 6) and any(whole_path(url) for each in registries for url in each.mirrors):
        return f"{words} adds /v2 to the path of every mirror, and only 1.6 and newer can leave that (kubernetes.containerd.registries)"
    return ""
