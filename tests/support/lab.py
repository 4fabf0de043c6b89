"""The lab of the tests: its site, its name, and what it leaves on the machine."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import yaml

from lab import cgroups
from lab.mounts import mounts
from tests.support import ROOT

SITE = ROOT / "hosts.yaml"
ROLES = {"control_plane": {"team": "platform"}, "worker": {"pool": "apps"}}  # labels
HOSTS = ["lb1", "lb2", "master1", "master2", "master3", "worker1"]


@dataclass(frozen=True)
class Traces:
    """What a lab could leave on the machine."""

    mounts: frozenset[str]
    interfaces: frozenset[str]
    routes: str
    cgroups: frozenset[str]
    processes: frozenset[str]
    files: frozenset[str]


def traces(name: str) -> Traces:
    """Return what there is now of the lab ``name``, and of the machine's own network."""
    links = json.loads(subprocess.run(["ip", "-json", "link"], capture_output=True, text=True, check=True).stdout)
    routes = subprocess.run(["ip", "route", "show", "table", "all"], capture_output=True, text=True, check=True).stdout
    return Traces(
        mounts=frozenset(str(mount.point) for mount in mounts() if f"/ha-lab/{name}" in str(mount.point)),
        interfaces=frozenset(link["ifname"] for link in links),
        routes=routes,
        cgroups=frozenset(map(str, cgroups.find(f"ha-lab-{name}"))),
        processes=frozenset(processes(f"ha-lab-{name}")),
        files=frozenset(
            str(path) for path in [*Path("/run/ha-lab").glob(f"*{name}*"), *Path("/run/netns").glob(f"ha-lab-{name}")]
        ),
    )


def processes(cgroup: str) -> Iterator[str]:
    """Yield every living process that says it is in ``cgroup``; a zombie only waits for its parent."""
    for path in Path("/proc").glob("[0-9]*"):
        try:
            if f"/{cgroup}/" in (path / "cgroup").read_text() and "\nState:\tZ" not in (path / "status").read_text():
                yield f"{path.name} {(path / 'comm').read_text().strip()}"
        except OSError:
            continue


def cluster_site(directory: Path) -> Path:
    """Write a site of two load balancers, three control plane hosts and one worker into ``directory`` and return where.

    Its nodes have the labels of ``ROLES``. Many hosts lose their power in tests, and are waited for: not long.
    """
    path = directory / "hosts.yaml"
    site = yaml.safe_load(SITE.read_text())
    site["hosts"] = [host for host in site["hosts"] if host["name"] in HOSTS]
    site.setdefault("ssh", {}).update(keepalive_s=5, connect_timeout_s=5)
    site["roles"] = {role: {"labels": labels} for role, labels in ROLES.items()}
    path.write_text(yaml.safe_dump(site, sort_keys=False))
    return path


def name() -> str:
    """Return the instance of the tests; HA_LAB_TEST names another when two test runs share the machine."""
    return os.environ.get("HA_LAB_TEST", "test")
