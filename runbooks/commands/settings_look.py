"""What the components of Kubernetes on a host are started with: the kubelet's unit and files, static pod manifests, patches."""

from __future__ import annotations

from base64 import b64decode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from runbooks.commands.base import Answer, Probe, script

MANIFESTS: Final = "/etc/kubernetes/manifests"
# Patches for `kubeadm --patches`. kubeadm has no default and writes the path nowhere: this is the usual place, and this tool's own.
# https://kubernetes.io/docs/setup/production-environment/tools/kubeadm/control-plane-flags/#patches
PATCHES: Final = ("/etc/kubernetes/patches",)
UNIT: Final = "kubelet.service"
LARGEST: Final = 512 << 10  # bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class HostSettings:
    """What one host says.

    unit        the kubelet's unit and drop-ins, as `systemctl cat` prints them; "" when they could not be read.
    stale_unit  systemd has not read them since they were changed.
    running     the words of the kubelet that runs, with the program; () when none runs.
    files       by path: files with variables, the kubelet's configuration, manifests, patches.
    missing     paths that the unit or a flag names, and where there is nothing.
    unread      paths that could not be read, with the reason; `UNIT` for the unit.
    cgroup      "v1" or "v2".
    containerd  its version, "" without it; ``containerd_config``: the version of its file, 0 without one.
    """

    unit: str = field(default="", repr=False)
    stale_unit: bool = False
    running: tuple[str, ...] = field(default=(), repr=False)
    files: Mapping[str, str] = field(default_factory=dict, repr=False)
    missing: tuple[str, ...] = ()
    unread: Mapping[str, str] = field(default_factory=dict)
    cgroup: str = ""
    containerd: str = ""
    containerd_config: int = 0


def look(patches: Sequence[str] = PATCHES) -> Probe[HostSettings]:
    """Read what the components on a host are started with. ``patches``: the directories with patches for kubeadm."""
    variables = {"FOLDERS": [MANIFESTS, *patches], "LARGEST": str(LARGEST)}
    command = replace(
        script("settings-look", variables, after=("cgroup",)), shown="systemctl cat kubelet; cat /etc/kubernetes/manifests/*"
    )
    return Probe(command, parse)


def parse(answer: Answer) -> HostSettings:
    """Read what settings-look.sh printed. Raises ValueError when it is something else."""
    lines = [line.split(" ") for line in answer.stdout.splitlines() if line]
    if wrong := [line for line in lines if not _known(line)]:
        raise ValueError(f"settings-look said {' '.join(wrong[0])[:80]!r}")
    by_kind = {kind: [line[1:] for line in lines if line[0] == kind] for kind in KINDS}

    def first(kind: str) -> str:
        return next((rest[0] for rest in by_kind[kind]), "")

    return HostSettings(
        unit=_text(first("unit")),
        stale_unit=bool(by_kind["reload"]),
        running=tuple(_text(first("running")).split("\0")[:-1]),
        files={_text(path): _text(text) for path, text in by_kind["file"]},
        missing=tuple(dict.fromkeys(_text(path) for (path,) in by_kind["missing"])),
        unread={_text(path): _text(reason) for path, reason in by_kind["unread"]},
        cgroup=first("cgroup"),
        containerd=first("containerd"),
        containerd_config=int(first("containerd_config") or 0),
    )


# The kinds of lines, and how many words follow.
KINDS: Final = {
    "unit": 1,
    "reload": 1,
    "running": 1,
    "file": 2,
    "missing": 1,
    "unread": 2,
    "cgroup": 1,
    "containerd": 1,
    "containerd_config": 1,
}


def _known(line: Sequence[str]) -> bool:
    return KINDS.get(line[0]) == len(line) - 1


def _text(encoded: str) -> str:
    return b64decode(encoded, validate=True).decode(errors="replace")
