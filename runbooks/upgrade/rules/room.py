"""Room for an upgrade on every host: images, packages, and kubeadm's copies of etcd's data. Pure.

Every `kubeadm upgrade` of a control plane host copies all of etcd's data to /etc/kubernetes/tmp and never deletes it (seen with 1.20.3 and 1.36.3).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from runbooks.commands.upgrade_room import COPIES, PACKAGES, HostRoom
from runbooks.errors import RunbookError
from runbooks.inventory.model import Host
from runbooks.rules.finding import Finding, unread
from runbooks.text import MIB, counted, listed, size_text

TOPIC = "room"
SPARE = 200 * MIB  # what etcd and logs may write meanwhile
PACKAGES_NEED = 300 * MIB  # kubeadm, kubelet and kubectl, packed and unpacked
IMAGE_NEED = 300 * MIB  # one image of the control plane, packed and unpacked: 1.36's largest takes 27 MiB and 90 MiB; etcd's more
# Free parts of the images' file system below which the kubelet deletes images (--image-gc-high-threshold 85), and evicts Pods (imagefs.available).
IMAGE_GC = 0.15


def images(repository: str, target: str, *, control_plane: bool, proxy: bool) -> tuple[str, ...]:
    """Return the images of Kubernetes itself that a host needs for ``target``.

    >>> images("registry.k8s.io", "1.36.3", control_plane=False, proxy=True)
    ('registry.k8s.io/kube-proxy:v1.36.3',)
    """
    names = ["kube-apiserver", "kube-controller-manager", "kube-scheduler"] if control_plane else []
    names += ["kube-proxy"] if proxy else []
    return tuple(f"{repository}/{name}:v{target}" for name in names)


def findings(seen: Mapping[Host, HostRoom | RunbookError], runs: int = 1, unknown: str = "") -> list[Finding]:
    """Return what there is no room for, or not known to be; one that is ok when there is room everywhere.

    ``runs``: how many upgrades follow one another; ``unknown``: why it is not known which images the hosts need, or "".
    """
    found: list[Finding] = []
    if seen and unknown:
        words = f"which images have to be fetched is not known: {unknown}"
        found.append(Finding("warn", topic=TOPIC, seen=words, fix="inv upgrade.status"))
    for host, each in seen.items():
        if isinstance(each, RunbookError):
            found.append(unread(TOPIC, host, each))
        else:
            found += [*_not_seen(host, each), *_host(host, each, runs)]
    if seen and all(each.severity in {"ok", "note"} for each in found):
        lacking = [len(each.lacks) for each in seen.values() if isinstance(each, HostRoom) and each.lacks]
        fetched = f"{counted(sum(lacking), 'image')} to be fetched on {counted(len(lacking), 'host')}"
        there = fetched if lacking else "every image is there"
        found.append(Finding("ok", topic=TOPIC, seen=f"for packages, images and copies of etcd's data; {there}"))
    return found


def _not_seen(host: Host, seen: HostRoom) -> Iterator[Finding]:
    for directory in seen.missing:
        words = f"{directory} is not there: whether there is room is not known"
        yield Finding("warn", topic=TOPIC, host=host.name, seen=words, fix=f"on {host}: ls -ld {directory}; df -h")
    if not seen.told:
        words = f"where containerd keeps images could not be read; {seen.store} was looked at"
        yield Finding("note", topic=TOPIC, host=host.name, seen=words, fix=f"on {host}: containerd config dump")


def _host(host: Host, seen: HostRoom, runs: int) -> Iterator[Finding]:
    needs: dict[str, dict[str, int]] = {}
    parts = (
        (COPIES, f"{counted(runs, 'copy', 'copies')} of etcd's data", seen.etcd * runs),
        (seen.store, counted(len(seen.lacks), "image"), len(seen.lacks) * IMAGE_NEED),
        (PACKAGES, "packages", PACKAGES_NEED),
    )
    for directory, what, size in parts:
        if size and directory in seen.rooms:
            needs.setdefault(seen.rooms[directory].mount, {})[what] = size
    rooms = {room.mount: room for room in seen.rooms.values()}
    for mount, those in needs.items():
        room, need = rooms[mount], sum(those.values())
        what = listed(f"{name} ({size_text(size)})" for name, size in those.items())
        fix = f"on {host}: du -xh --max-depth=3 {mount} | sort -h | tail; crictl rmi --prune; inv doctor tells what kubeadm left in /etc/kubernetes/tmp"
        if room.free < need + SPARE:
            seen_text = f"{mount} has {size_text(room.free)} free, and has to take {what}"
            yield Finding(
                "fail",
                topic=TOPIC,
                host=host.name,
                seen=seen_text,
                why="kubeadm or etcd stops in the middle when it is full",
                fix=fix,
            )
        elif seen.store in seen.rooms and seen.rooms[seen.store].mount == mount and room.free - need < IMAGE_GC * room.size:
            seen_text = f"{mount} has {size_text(room.free)} free; with {what} less than 15 % of it is left"
            why = "the kubelet then deletes images that no container uses, those of the target too, and evicts Pods"
            yield Finding("warn", topic=TOPIC, host=host.name, seen=seen_text, why=why, fix=fix)
