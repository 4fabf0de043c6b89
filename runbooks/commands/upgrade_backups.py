"""The manifests of a control plane host as they were before an upgrade: found, kept, put back.

kubeadm (1.20 to 1.36, cmd/kubeadm/app/phases/upgrade/staticpods.go) moves each manifest that it replaces to
/etc/kubernetes/tmp/kubeadm-backup-manifests-TIME, and copies etcd's data to kubeadm-backup-etcd-TIME before; it never removes them. A run that is
repeated makes new folders, and moves only what it replaces then, so that one upgrade may be spread over several of them; when kubeadm
rolls back by itself, it moves the manifests out of them again. https://kubernetes.io/docs/tasks/administer-cluster/kubeadm/kubeadm-upgrade/
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Final, Literal

from runbooks.commands.base import Answer, Command, Probe, script
from runbooks.commands.kubectl import url
from runbooks.commands.node import STATIC_PODS
from runbooks.inventory.model import Host

MANIFESTS: Final = "/etc/kubernetes/manifests"
KUBELET: Final = "/var/lib/kubelet"
KUBELET_FILES: Final = ("config.yaml", "instance-config.yaml", "kubeadm-flags.env")  # what kubeadm upgrade may write anew

Kind = Literal["now", "kept", "kubeadm", "data"]


@dataclass(frozen=True, slots=True)
class Manifest:
    """A static pod's manifest: the image in it, and the SHA-256 of the file."""

    image: str
    sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Folder:
    """Manifests in one directory. ``time`` in seconds since 1970; ``files``: the SHA-256 of files of the kubelet's, by name."""

    kind: Kind
    time: int
    path: str
    pods: Mapping[str, Manifest] = field(default_factory=dict)
    files: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Backups:
    """What is there on one host.

    now      what the kubelet runs; without pods where no control plane is.
    kept     what this tool copied before an upgrade, the newest first. ``kubeadm``: what kubeadm replaced. ``data``: its copies of etcd's data.
    uses     the URL of the API server that kube-controller-manager and kube-scheduler use.
    running  a kubeadm that runs now, "" for none.
    """

    now: Folder
    kept: tuple[Folder, ...] = ()
    kubeadm: tuple[Folder, ...] = ()
    data: tuple[Folder, ...] = ()
    uses: Mapping[str, str] = field(default_factory=dict)
    running: str = ""

    @property
    def folders(self) -> tuple[Folder, ...]:
        """The folders with earlier manifests, the newest first."""
        return tuple(sorted((*self.kept, *self.kubeadm), key=lambda each: -each.time))


def look() -> Probe[Backups]:
    """Read what is there."""
    return Probe(_backups("look"), parse)


def keep(version: str) -> Command:
    """Copy the manifests and the kubelet's files that are in force now. ``version`` is that of the control plane, such as "1.36.2"."""
    return _backups("keep", VERSION=version)


def drop() -> Command:
    """Remove what `keep` has copied, of all versions."""
    return _backups("drop")


def put_back(path: str, sha256: str, to: str) -> Command:
    """Put a copy of the file ``path`` in the place of the file ``to``. Fails when it is no longer the one with this SHA-256."""
    command = _backups("back", FROM=path, TO=to, SHA=sha256)
    return replace(command, shown=f"cp {path} {to}")


def set_version(host: Host, version: str) -> Command:
    """Set kubernetesVersion ("1.36.2") in the ConfigMap kubeadm-config, by the API server of ``host``."""
    command = script("kubeadm-config-version", {"SERVER": url(host.address), "VERSION": f"v{version}"}, timeout=45)
    return replace(command, shown=f"kubeadm-config: kubernetesVersion: v{version}")


def parse(answer: Answer) -> Backups:
    """Read what upgrade-backups.sh printed for look. Raises ValueError on a line that it does not know."""
    folders: list[tuple[Kind, int, str, dict[str, Manifest], dict[str, str]]] = []
    uses: dict[str, str] = {}
    running = ""
    for line in answer.stdout.splitlines():
        match line.split(" ", 3):
            case ["folder", ("now" | "kept" | "kubeadm" | "data") as kind, time, path]:
                folders.append((kind, int(time), path, {}, {}))
            case ["pod", name, sha256, image] if folders:
                folders[-1][3][name] = Manifest(image, sha256)
            case ["file", name, sha256] if folders:
                folders[-1][4][name] = sha256
            case ["uses", name, server]:
                uses[name] = server
            case ["running", *words]:
                running = " ".join(words)
            case _:
                raise ValueError(f"this does not describe a backup of a manifest: {line!r}")

    def of(kind: Kind) -> tuple[Folder, ...]:
        found = [
            Folder(kind=each, time=time, path=path, pods=pods, files=files)
            for each, time, path, pods, files in folders
            if each == kind
        ]
        return tuple(sorted(found, key=lambda each: -each.time))

    now = next(iter(of("now")), Folder(kind="now", time=0, path=MANIFESTS))
    return Backups(now=now, kept=of("kept"), kubeadm=of("kubeadm"), data=of("data"), uses=uses, running=running)


def _backups(action: str, **variables: str) -> Command:
    given = {"ACTION": action, "PODS": STATIC_PODS, "KUBELET": KUBELET_FILES, **variables}
    shown = " ".join(["upgrade-backups", action, *variables.values()])
    return replace(script("upgrade-backups", given, timeout=60, after=("kubeadm-at-work",)), shown=shown)
