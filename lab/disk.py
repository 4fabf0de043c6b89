"""A host's disk: an overlay over the shared tree. It is kept while the host is off; `lab.reset` and `lab.down` remove it."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from uuid import uuid4

from lab import kube_golden, mounts, stores
from lab.files import replace
from lab.names import Instance, hostname
from lab.process import DIES, run
from lab.twin import Identity, made
from runbooks.errors import PrecheckError

# Overlay file systems cannot be stacked and etcd wants a plain file system: these are outside of the overlay, as is containerd's.
DATA = ("kubelet", "etcd")
NOTE = "made.json"
LAYERS = "layers"  # of a save: what lies between the base tree and a disk's own files, the lowest first
SECOND_SOURCE = "deb [trusted=yes] file:/srv/lab-kubernetes ./\n"


def ensure_store(instance: Instance) -> None:
    """Mount the tmpfs that holds every disk. It takes memory only as it fills, three quarters of the machine's at most."""
    instance.disks.mkdir(exist_ok=True)
    if not mounts.is_mounted(instance.disks):
        mounts.mount("tmpfs", instance.namespace, instance.disks, "mode=0755,size=75%")


def root(instance: Instance, host: str) -> Path:
    """Return the directory where the files of the disk are mounted."""
    return instance.disk(host) / "root"


def note(instance: Instance, host: str) -> dict[str, Any] | None:
    """Return what was kept about the disk (see ``twin.made``), or None when there is none or it was never finished."""
    try:
        kept: dict[str, Any] = json.loads((instance.disk(host) / NOTE).read_text())
    except FileNotFoundError:
        return None
    return kept


def identity(instance: Instance, host: str) -> Identity | None:
    """Return the identity of the host that the disk was made for, or None when there is no disk."""
    kept = note(instance, host)
    return Identity(**kept["identity"]) if kept else None


def host_key(instance: Instance, host: str) -> str | None:
    """Return the public host key on the disk, "type base64"."""
    kept = note(instance, host)
    return kept["host_key"] if kept else None


def kubernetes(instance: Instance, host: str) -> Path | None:
    """Return the cache's entry whose packages and images the disk has, None when it was made without."""
    kept = note(instance, host)
    return Path(kept["kubernetes"]) if kept and kept.get("kubernetes") else None


def saved_layers(instance: Instance, host: str) -> list[Path]:
    """Return what lies between the base tree and the disk's own files, the uppermost first: nothing unless it was made from a save."""
    kept = note(instance, host) or {}
    place = kept.get("saved")
    return sorted((Path(place) / LAYERS).iterdir(), reverse=True) if place else []


def ready(instance: Instance, host: str) -> bool:
    """Whether the disk is complete and mounted."""
    return note(instance, host) is not None and mounts.is_mounted(root(instance, host))


def keep_made(instance: Instance, who: Identity, tree: Path, key: str, entry: Path | None) -> None:
    """Write the note: from now on the disk is complete."""
    saved = (note(instance, who.name) or {}).get("saved")
    places = {"kubernetes": entry, "containerd": containerd_store(instance, who.name), "saved": Path(saved) if saved else None}
    keep(instance, made(who, tree, key, places))


def take(instance: Instance, host: str, place: Path) -> None:
    """Make the disk of a host that is off from its part of a save, ``place``, of which nothing is copied but what is written in place."""
    erase(instance, host)
    for part in ("upper", "work", "root"):
        (instance.disk(host) / part).mkdir(parents=True)
    run([*DIES, "cp", "--archive", "--sparse=always", str(place / "data"), str(instance.disk(host) / "data")], timeout_s=300)
    store = containerd_store(instance, host)
    store.parent.mkdir(mode=0o711, parents=True, exist_ok=True)
    kept = json.loads((place / NOTE).read_text())
    stores.give(place / "containerd", store, own=own_files(kept))
    keep(instance, {**kept, "containerd": str(store), "saved": str(place)})


def own_files(kept: Mapping[str, Any]) -> stores.Own:
    """Return whether a file of containerd's state is the host's own, by the note ``kept`` of its disk: see `stores.not_of`."""
    return stores.not_of(Path(kept["kubernetes"]) / "containerd") if kept.get("kubernetes") else lambda *_: True


def prepare(instance: Instance, wanted: Identity, tree: Path, entry: Path | None) -> None:
    """Make, mount and label the disk of a host that is off. A disk that exists keeps its files and the tree it was made on.

    ``entry`` is the cache's, of Kubernetes, with the packages and images that a disk gets, also one that exists.
    """
    directory, kept = instance.disk(wanted.name), note(instance, wanted.name)
    if kept is None:
        erase(instance, wanted.name)
        for part in ("upper", "work", "root", *(f"data/{name}" for name in DATA)):
            (directory / part).mkdir(parents=True)
    containerd_store(instance, wanted.name).mkdir(mode=0o711, parents=True, exist_ok=True)
    below = Path(kept["tree"]) if kept else tree
    saved = Path(kept["saved"]) if kept and kept.get("saved") else below
    if gone := [path for path in (below, saved) if not path.is_dir()]:
        raise PrecheckError(
            f"{wanted.name}: its disk was made on {gone[0]}, which is gone",
            hint=f"inv lab.reset --host {wanted.name}  (an empty disk)",
        )
    if not mounts.is_mounted(root(instance, wanted.name)):
        lower = ":".join(map(str, [*saved_layers(instance, wanted.name), below / "root"]))
        options = f"lowerdir={lower},upperdir={directory}/upper,workdir={directory}/work"
        mounts.mount("overlay", wanted.name, root(instance, wanted.name), options)
    key = kept["host_key"] if kept else personalise(instance, wanted.name)
    label(instance, wanted)
    offer(instance, wanted, entry)
    keep_made(instance, wanted, below, key, entry)


def offer(instance: Instance, wanted: Identity, entry: Path | None) -> None:
    """Add the packages of ``entry`` to the disk's APT sources, and its images, unless containerd keeps something there already."""
    if entry is None:
        return
    (root(instance, wanted.name) / "etc/apt/sources.list.d/lab-kubernetes.list").write_text(SECOND_SOURCE)
    store = containerd_store(instance, wanted.name)
    if wanted.runs_pods and not any(store.iterdir()):
        stores.give(entry / "containerd", store)


def containerd_store(instance: Instance, host: str) -> Path:
    """Return what the host sees as /var/lib/containerd: overlays are mounted in it, which an overlay cannot hold.

    It lies beside the cache, whose files it can link; where the cache itself is on an overlay, as in a container, in memory.
    """
    kept = note(instance, host)
    if kept and kept.get("containerd"):
        return Path(kept["containerd"])
    if kube_golden.stackable(instance.stores.resolve(), mounts.mounts()):
        return instance.stores / host / "containerd"
    return instance.disk(host) / "data/containerd"


def refresh(instance: Instance, wanted: Identity) -> None:
    """Write what may change under a running host: names and the login key. One that must boot for it is left for its next boot."""
    kept = note(instance, wanted.name)
    known = Identity(**kept["identity"]) if kept else wanted
    if kept is None or known == wanted or known.reboots(wanted):
        return
    label(instance, wanted)
    keep_made(instance, wanted, Path(kept["tree"]), kept["host_key"], kubernetes(instance, wanted.name))


def keep(instance: Instance, kept: dict[str, Any]) -> None:
    """Write the note in one stroke: a disk with a note is complete."""
    replace(instance.disk(kept["identity"]["name"]) / NOTE, json.dumps(kept, indent=1))


def personalise(instance: Instance, host: str) -> str:
    """Give a new disk what no two hosts share: machine id and SSH host key. Returns the public key."""
    etc = root(instance, host) / "etc"
    (etc / "machine-id").write_text(f"{uuid4().hex}\n")
    private = etc / "ssh" / "ssh_host_ed25519_key"
    private.unlink(missing_ok=True)
    run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", f"root@{host}", "-f", str(private)])
    return " ".join(private.with_suffix(".pub").read_text().split()[:2])


def label(instance: Instance, who: Identity) -> None:
    """Write the files that make the disk this host's. /etc/hosts only while it is still the lab's own version."""
    etc, before = root(instance, who.name) / "etc", identity(instance, who.name)
    (etc / "hostname").write_text(f"{hostname(who.name)}\n")
    (etc / "lab-net").write_text(f"ADDRESS={who.address}\nGATEWAY={who.gateway}\n")
    (etc / "ssh/sshd_config.d/port.conf").write_text(f"Port {who.port}\n")
    if before is None or (etc / "hosts").read_text() == before.hosts:
        (etc / "hosts").write_text(who.hosts)
    home = root(instance, who.name) / "home/ops"
    keys, owner = home / ".ssh/authorized_keys", home.stat()
    keys.write_text(f"{who.login}\n")
    keys.chmod(0o600)
    os.chown(keys, owner.st_uid, owner.st_gid)


def erase(instance: Instance, host: str) -> None:
    """Remove the disk and everything on it. The host must be off."""
    mounts.remove_tree(containerd_store(instance, host))
    mounts.remove_tree(instance.stores / host)
    mounts.remove_tree(instance.disk(host))


def erase_stores(instance: Instance) -> None:
    """Remove the part of every disk that lies outside of the instance's state directory. The hosts must be off."""
    for host in all_of(instance):
        mounts.remove_tree(containerd_store(instance, host))
    mounts.remove_tree(instance.stores)


def erase_stale(instance: Instance) -> None:
    """Remove what labs that are gone have left beside the instance's stores: a machine that lost its power forgets the labs only."""
    for stale in instance.stores.parent.glob("*"):
        if not (instance.state.parent / stale.name).exists():
            try:
                mounts.remove_tree(stale)
            except FileNotFoundError:  # another process is removing it
                continue


def all_of(instance: Instance) -> list[str]:
    """Return the hosts that have a complete disk, by name."""
    return sorted(path.parent.name for path in instance.disks.glob(f"*/{NOTE}"))
