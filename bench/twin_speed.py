"""Measure how long a cluster takes that is built, and one that is booted from a save: `python -m bench.twin_speed [--save]`, as root.

On one lab (two load balancers, three control plane hosts, three workers), in one run:

- built: `lab.up`, `lb.setup`, `cluster.init`, until `cluster.status` says that all nodes are Ready
- booted: `lab.up --from`, until the same
- a second lab beside it from the same save: what it costs in memory and on the disk

"All nodes are Ready" counts only once every kubelet has reported after the boot: a node's last report outlives a power cut.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.results import markdown, save
from lab import saves
from lab.control import Lab
from lab.kubernetes import Kubernetes
from lab.process import run
from runbooks.errors import CommandError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

ROOT = Path(__file__).resolve().parents[1]
INV = (sys.executable, "-m", "invoke")
TARGET = 0.15  # of the time of building
MEMORY_MIB, DISK_MIB = 150, 50  # per control plane host, more than one that was built; on the disk, for all hosts
NAME = "bench-twin"
KUBECTL = ("kubectl", "--kubeconfig=/etc/kubernetes/admin.conf", "--request-timeout=3s")


def reports(lab: Lab) -> dict[str, str]:
    """Return when each kubelet has last renewed its lease; nothing while no API server answers."""
    done = lab.console("master1", [*KUBECTL, "get", "leases", "-n", "kube-node-lease", "-o", "json"])
    if done.returncode:
        return {}
    return {each["metadata"]["name"]: each["spec"]["renewTime"] for each in json.loads(done.stdout)["items"]}


def await_ready(lab: Lab, since: datetime) -> None:
    """Wait until every kubelet has reported after ``since`` and `inv cluster.status` finds nothing wrong with the nodes."""
    nodes = [host.name for host in lab.site().nodes]
    while True:
        renewed = {name: datetime.fromisoformat(at) for name, at in reports(lab).items()}
        if all(name in renewed and renewed[name] > since for name in nodes) and ready(lab) >= len(nodes):
            return
        time.sleep(0.2)


def ready(lab: Lab) -> int:
    """Return how many nodes are Ready."""
    done = lab.console("master1", [*KUBECTL, "get", "nodes", "--no-headers"])
    return sum(line.split()[1] == "Ready" for line in done.stdout.splitlines() if len(line.split()) > 1)


def inv(lab: Lab, *words: str, timeout_s: float = 900) -> None:
    """Run a command on the lab."""
    environ = {"RUNBOOKS_SITE": lab.instance.switch, "RUNBOOKS_LAB": lab.instance.name}
    run(["env", *(f"{name}={value}" for name, value in environ.items()), *INV, *words], timeout_s=timeout_s)


def await_green(lab: Lab) -> None:
    """Wait until `inv cluster.verify` finds nothing: an old kubelet is slow to call its static Pods ready."""
    deadline = time.monotonic() + 300
    while True:
        try:
            return inv(lab, "cluster.verify")
        except CommandError:
            if time.monotonic() > deadline:
                raise


def timed(lab: Lab, *commands: Sequence[str]) -> float:
    """Return the seconds from the first command to all nodes being Ready."""
    since, started = datetime.now(UTC), time.monotonic()
    for words in commands:
        inv(lab, *words)
    await_ready(lab, since)
    return time.monotonic() - started


def free() -> tuple[float, float]:
    """Return the MiB that are available in memory, and on the disk of the cache."""
    lines = dict(line.split(":") for line in Path("/proc/meminfo").read_text().splitlines())
    disk = os.statvfs(saves.shelf())
    return int(lines["MemAvailable"].split()[0]) / 1024, disk.f_bavail * disk.f_frsize / 2**20


def measured(site: Path) -> dict[str, Any]:
    """Build a cluster, keep it, boot it twice."""
    say = print
    first, second = Lab(NAME, say=say), Lab(f"{NAME}-2", say=say)
    up = ("lab.up", "--site", str(site))
    try:
        first.up(site, kubernetes=Kubernetes())  # the caches are filled, once
        first.down()
        before = free()
        built = timed(first, up, ("lb.setup",), ("cluster.init",))
        built_memory = before[0] - free()[0]
        kept = first.save(NAME)
        first.down()
        booted = timed(first, (*up, "--from", NAME))
        await_green(first)
        before = free()
        beside = timed(second, (*up, "--from", NAME))
        after = free()
    finally:
        for lab in (first, second):
            lab.down()
        if NAME in [each.name for each in saves.all_of()]:
            saves.forget(NAME)
    masters = 3
    return {
        "date": datetime.now(UTC).strftime("%Y-%m-%d"),
        "cores": os.cpu_count(),
        "kernel": platform.release(),
        "load": [round(each, 1) for each in os.getloadavg()],
        "kubernetes": kept.cluster,
        "built_s": built,
        "booted_s": booted,
        "ratio": booted / built,
        "beside_s": beside,
        "save_mib": kept.size / 2**20,
        "memory_mib_per_host": {"built": built_memory / masters, "second": (before[0] - after[0]) / masters},
        "disk_mib_of_second": before[1] - after[1],
    }


def shown(content: Mapping[str, Any]) -> str:
    """Return all of it as markdown."""
    memory = content["memory_mib_per_host"]
    rows = [
        ["", "built", "booted from a save", "a second one beside it"],
        ["all nodes Ready after, s", f"{content['built_s']:.1f}", f"{content['booted_s']:.1f}", f"{content['beside_s']:.1f}"],
        ["memory, MiB per control plane host", f"{memory['built']:.0f}", "", f"{memory['second']:.0f}"],
        ["disk, MiB", "", f"{content['save_mib']:.0f} (the save)", f"{content['disk_mib_of_second']:.0f}"],
    ]
    return f"{markdown(rows)}\n\n{content['ratio']:.2f} of the time (target: at most {TARGET})"


def main() -> int:
    """Measure and print; exit status 1 when a target is missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--site", type=Path, default=ROOT / "hosts.yaml")
    parser.add_argument("--save", action="store_true", help="keep the figures in bench/results")
    options = parser.parse_args()
    content = measured(options.site)
    print(shown(content))
    if options.save:
        print(save("twin_speed", content))
    memory = content["memory_mib_per_host"]
    good = memory["second"] - memory["built"] <= MEMORY_MIB and content["disk_mib_of_second"] <= DISK_MIB
    return 0 if content["ratio"] <= TARGET and good else 1


if __name__ == "__main__":
    sys.exit(main())
