"""etcd's data on this machine's disk. It is in memory otherwise, where no kernel can make it slow."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from lab import mounts
from lab.lock import exclusive
from lab.process import DIES, run
from runbooks.errors import PrecheckError

if TYPE_CHECKING:
    from lab.control import Lab
    from lab.names import Instance


def move(lab: Lab, *hosts: str) -> None:
    """Move etcd's data of ``hosts`` (none: of all control plane hosts) to the disk. Those lose their power and are booted again.

    Where it is there already nothing happens; `lab.reset` and `lab.down` undo it. Raises PrecheckError when this machine's disk is no block
    device, as in most containers.
    """
    chosen = hosts or tuple(host.name for host in lab.site().control_plane)
    moving = [host for host in chosen if not is_there(lab.instance, host)]
    if not moving:
        return
    refuse(lab.instance)
    lab.off(*moving)
    try:
        with exclusive(lab.instance, lab.say):
            for host in moving:
                _move(lab.instance, host)
    finally:
        lab.on(*moving)


def is_there(instance: Instance, host: str) -> bool:
    """Whether etcd's data of a host is on the disk."""
    return mounts.is_mounted(_seen(instance, host))


def refuse(instance: Instance) -> None:
    """Raise PrecheckError when the file system of the stores has no block device."""
    below = mounts.holding(instance.stores.resolve(), mounts.mounts())
    if below is None or not Path("/sys/dev/block", below.device).exists():
        raise PrecheckError(
            f"{instance.stores} is on {below.fstype if below else 'no file system'}, which has no block device",
            hint="HA_LAB_CACHE names a directory on another file system; then inv lab.down, and build the lab anew",
        )


def _move(instance: Instance, host: str) -> None:
    """The host is off. What a move that was killed has left is made anew; what is in memory stays below, where nobody reads it."""
    store = instance.stores / host / "etcd"
    mounts.remove_tree(store)
    store.parent.mkdir(parents=True, exist_ok=True)
    run([*DIES, "cp", "--archive", str(_seen(instance, host)), str(store)], timeout_s=300)
    run(["mount", "--bind", str(store), str(_seen(instance, host))])


def _seen(instance: Instance, host: str) -> Path:
    """Return what the host sees as /var/lib/etcd."""
    return instance.disk(host) / "data/etcd"
