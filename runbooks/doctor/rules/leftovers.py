"""What kubeadm has left of earlier upgrades: a copy of etcd's data with each run on a control plane host, which it never removes. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from runbooks.commands.doctor import Leftovers, Traces
from runbooks.inventory.model import Host
from runbooks.rules.finding import Finding
from runbooks.text import listed, percent, size_text

DIRECTORY = "/etc/kubernetes/tmp"
LARGE = 1 << 30
SHORT, WORTH = 0.15, 64 << 20  # free share of the file system; below it, what is worth removing, in bytes


def findings(traces: Mapping[Host, Traces], *, upgrading: bool) -> Iterator[Finding]:
    """Return a warning for each host that is short of space and has such copies, and a note for all others where they are large.

    ``upgrading``: an upgrade is unfinished, and may need them to go back. Then only the shortage is told, and to finish it first.
    """
    seen = {host: each.leftovers for host, each in traces.items() if each.leftovers}
    short = {host: each for host, each in seen.items() if each.bytes >= WORTH and _share(each) < SHORT}
    for host, each in short.items():
        words = f"kubeadm's copies of earlier runs in {DIRECTORY} take {size_text(each.bytes)}; {percent(each.free, each.size)} of that file system are free"
        why = "each further upgrade adds a copy of etcd's data there"
        yield Finding("warn", topic="disk", host=host.name, seen=words, why=why, fix=_fix([host], upgrading=upgrading))
    large = {host: each for host, each in seen.items() if each.bytes >= LARGE and host not in short}
    if large and not upgrading:
        words = (
            f"kubeadm's copies of earlier runs in {DIRECTORY} take up to {size_text(max(each.bytes for each in large.values()))}"
        )
        yield Finding("note", topic="disk", host=listed(large), seen=words, fix=_fix(list(large), upgrading=upgrading))


def _share(each: Leftovers) -> float:
    return each.free / each.size if each.size else 1.0


def _fix(hosts: list[Host], *, upgrading: bool) -> str:
    """Return how to remove them. `inv upgrade.run` removes only those of its own upgrades, when the next one is verified."""
    first = "first finish the upgrade and inv cluster.verify; " if upgrading else ""
    return f"{first}when nothing is to be taken back to an earlier version: on {listed(hosts)}: rm -r {DIRECTORY}/kubeadm-*"
