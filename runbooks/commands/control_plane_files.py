"""Put the files of a control plane host back onto an empty machine, from a set.

These are PKI, kubeconfigs, the kubelet's identity and static pod manifests: what `kubeadm init` and `kubeadm join` write. And files
elsewhere that the manifests or the kubelet name.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from runbooks.commands.backup import KUBELET_FILES, SLOWEST, saved
from runbooks.commands.base import Answer, Command, Probe, script
from runbooks.commands.node import STATIC_PODS
from runbooks.inventory.model import Host

Stage = Literal["", "begun", "placed"]


@dataclass(frozen=True, slots=True)
class RestoredFiles:
    """How far files were put back on a host ("" for not at all), and the ID of the set."""

    stage: Stage = ""
    set: str = ""


def look() -> Probe[RestoredFiles]:
    """Read whether files were put back on this host."""
    return Probe(replace(_files("look"), shown="cat /var/lib/ha-runbooks/control-plane-files/state"), parse)


def place(host: Host, origin: str, size: int, sha256: str, etcd_data: str) -> Command:
    """Unpack the archive of ``size`` bytes that the command reads from standard input; the manifests are parked.

    ``origin`` is the ID of the set; ``etcd_data`` the directory of etcd's data. Files outside of the paths that every set has are those that static pods or the kubelet name: all
    of them are put back. Never writes over other files of kubeadm: fails on a host that has them.
    """
    command = _files("place", saved(host), timeout=180 + size / SLOWEST, ID=origin, SIZE=str(size), SHA=sha256, DATA=etcd_data)
    return replace(command, shown=f"tar -xz # /etc/kubernetes (manifests parked), /var/lib/kubelet, named files, of {origin}")


def parse(answer: Answer) -> RestoredFiles:
    """Read what control-plane-files.sh printed for look. Raises ValueError when it is something else."""
    match answer.stdout.split():
        case []:
            return RestoredFiles()
        case ["begun" | "placed" as stage, origin]:
            return RestoredFiles(stage, origin)
        case _:
            raise ValueError(f"this does not describe a control plane's files: {answer.stdout[:80]!r}")


def _files(action: str, known: Sequence[str] = (), timeout: float = 60, **variables: str) -> Command:
    lists = {"PODS": STATIC_PODS, "KNOWN": known, "KUBELET": KUBELET_FILES}
    given = {"ACTION": action, "ID": "", "SIZE": "", "SHA": "", "DATA": ""} | lists | variables
    return script("control-plane-files", given, timeout=timeout, after=("note",))
