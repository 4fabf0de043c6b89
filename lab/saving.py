"""Save a whole lab: all its hosts are frozen at one moment, copied, and go on; and make another one from it.

What a boot from the save sees is what a host sees that lost its power at that moment, with all that its programs had written by then.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import time
from collections import Counter
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from lab import cgroups, disk, kube_golden, mounts, power, saves, stores
from lab.kubernetes import noted
from lab.names import cache
from lab.process import DIES, run
from lab.saves import Save
from runbooks.errors import OutcomeError, PrecheckError
from runbooks.text import counted

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from lab.names import Instance
    from runbooks.inventory.model import Site

SPARE = 256 * 2**20  # bytes that a save leaves free
FROZEN_WITHIN_S = 20
LONGEST_LOWER = 255  # bytes: what mount takes since util-linux 2.39 as one option. Source: fsconfig(2)
# Ends when the process that made it has ended, however that was, or has closed its input; then nothing is frozen any more.
THAW = 'trap "" HUP INT TERM; cat >/dev/null; for file in "$@"; do echo "$WORD" >"$file" 2>/dev/null; done; true'


def save(instance: Instance, site: Site, name: str, say: Callable[[str], None]) -> Save:
    """Save the lab ``instance``, which is up, as ``name``; one of that name is replaced. Its hosts stand still meanwhile.

    Raises PrecheckError when there is no room, when the cache is on no disk that an overlay can be on, or when a lab runs on the save
    that would be replaced.
    """
    path = saves.place(name)
    hosts = [host.name for host in site.hosts if host.name in disk.all_of(instance)]
    with saves.held(say):
        shelf = saves.shelf()
        if not kube_golden.stackable(shelf.resolve(), mounts.mounts()):
            raise PrecheckError(
                f"{shelf} is on no disk that an overlay can be on",
                hint="inv lab.down, then HA_LAB_CACHE=DIR on ext4, xfs or btrfs for the lab and for its saves",
            )
        saves.refuse_used(path)
        saves.clear()
        base = base_of(instance, hosts, name)
        require_room(instance, hosts, shelf)
        work = Path(tempfile.mkdtemp(prefix=".new-", dir=shelf))
        try:
            began = time.monotonic()
            with frozen(instance):
                made = datetime.now(UTC)
                copy(instance, hosts, work)
            stood = time.monotonic() - began
            found = described(instance, site, name, hosts, base, made, used(work))
            saves.keep(found, work)
            saves.put(work, path)
        except BaseException:
            with suppress(Exception):  # the next command on the shelf removes it
                mounts.remove_tree(work)
            raise
    say(f"saved {len(hosts)} hosts as {name}: {saves.mebibytes(found.size)}; they stood still for {stood:.1f} s")
    return found


def described(  # noqa: PLR0913, PLR0917 - what is known about a save
    instance: Instance, site: Site, name: str, hosts: Sequence[str], base: Path, made: datetime, size: int
) -> Save:
    """Return what is known about a save."""
    entry = noted(instance)
    return Save(
        name=name,
        site=site.name,
        hosts=tuple(hosts),
        tree=base.name,
        packages=saves.packages_of(base),
        kubernetes=entry.path.name if entry else "",
        versions=entry.versions if entry else (),
        cluster=site.kubernetes.version if entry else "",
        made=made.isoformat(timespec="milliseconds"),
        size=size,
    )


def base_of(instance: Instance, hosts: Sequence[str], name: str) -> Path:
    """Return the base tree of all hosts. Raises PrecheckError when no lab could boot from a save of them."""
    notes = {host: disk.note(instance, host) or {} for host in hosts}
    trees = {Path(kept["tree"]) for kept in notes.values()}
    if len(trees) != 1:
        raise PrecheckError("the hosts of this lab were made on different base trees", hint="inv lab.down, and save a new lab")
    needed = {*trees, *(Path(kept["kubernetes"]).parent.parent for kept in notes.values() if kept.get("kubernetes"))}
    if outside := [path for path in needed if path not in {cache(), *((cache() / each.name) for each in trees)}]:
        raise PrecheckError(
            f"this lab was made with {outside[0]}, and the cache is {cache()} now",
            hint="save it with the HA_LAB_CACHE that it was made with",
        )
    base = trees.pop()
    for host in hosts:
        layers = [saves.place(name) / "hosts" / host / disk.LAYERS / "00"] * (len(disk.saved_layers(instance, host)) + 1)
        if len(":".join(map(str, [*layers, base / "root"]))) > LONGEST_LOWER:
            raise PrecheckError(
                f"{host} would lie on {counted(len(layers), 'layer')} of saves, more than can be mounted",
                hint="inv lab.down, and save a new lab; or a shorter name",
            )
    return base


def require_room(instance: Instance, hosts: Sequence[str], shelf: Path) -> None:
    """Raise PrecheckError when the disk of ``shelf`` has no room for what is copied."""
    needed = sum(used(part) for host in hosts for part in (instance.disk(host) / "upper", instance.disk(host) / "data"))
    needed += sum(used_by_itself(instance, host) for host in hosts)
    needed += sum(used(instance.state / name) for name in saves.DIRECTORIES if (instance.state / name).is_dir())
    free = shutil.disk_usage(shelf).free
    if free < needed + SPARE:
        raise PrecheckError(
            f"no room to save the lab: {shelf} has {saves.mebibytes(free)} free, and up to {saves.mebibytes(needed + SPARE)} are needed",
            hint="inv lab.saved; inv lab.forget NAME; or HA_LAB_CACHE=DIR on a larger disk",
        )


def used_by_itself(instance: Instance, host: str) -> int:
    """Return the bytes of containerd's state that no other host has, which is what is copied of it."""
    own = disk.own_files(disk.note(instance, host) or {})
    return sum(found.st_blocks * 512 for path, found in stores.files(disk.containerd_store(instance, host)) if own(path, found))


def used(path: Path) -> int:
    """Return the bytes that ``path`` and all below it take on their disk, without files that have another name elsewhere."""
    names, blocks = Counter[tuple[int, int]](), dict[tuple[int, int], tuple[int, int]]()
    for _, found in stores.files(path):
        names[found.st_dev, found.st_ino] += 1
        blocks[found.st_dev, found.st_ino] = (found.st_nlink, found.st_blocks * 512)
    return sum(size for inode, (links, size) in blocks.items() if names[inode] >= links)


def copy(instance: Instance, hosts: Sequence[str], work: Path) -> None:
    """Copy the lab and its hosts into ``work``."""
    (work / "lab").mkdir(mode=0o700)
    for name in (*saves.FILES, *saves.DIRECTORIES):
        if (instance.state / name).exists():
            clone(instance.state / name, work / "lab" / name)
    for host in hosts:
        place = work / "hosts" / host
        (place / disk.LAYERS).mkdir(parents=True)
        below = disk.saved_layers(instance, host)
        for number, layer in enumerate(reversed(below)):
            link(layer, place / disk.LAYERS / f"{number:02}")
        clone(instance.disk(host) / "upper", place / disk.LAYERS / f"{len(below):02}")
        clone(instance.disk(host) / "data", place / "data")
        own = disk.own_files(disk.note(instance, host) or {})
        stores.give(disk.containerd_store(instance, host), place / "containerd", own=own)
        clone(instance.disk(host) / disk.NOTE, place / disk.NOTE)


def take(instance: Instance, found: Save) -> None:
    """Make the lab ``instance`` from a save, without its hosts' disks; first remove what a command that was killed has left of it."""
    state = instance.state
    if state.exists():
        left = sorted({*found.hosts, *(path.name for path in instance.disks.glob("*"))})
        power.cut_power(instance, left)
        for host in left:
            disk.erase(instance, host)
        for name in (*saves.FILES, instance.known_hosts.name, instance.kubernetes.name):
            (state / name).unlink(missing_ok=True)
        for name in saves.DIRECTORIES:
            mounts.remove_tree(state / name)
    state.mkdir(mode=0o700, exist_ok=True)
    for path in found.lab.iterdir():
        if path.name != instance.site.name:  # the twin's is written last: with it the lab is there
            clone(path, state / path.name)
    if found.kubernetes:
        instance.kubernetes.write_text(f"{cache() / 'kubernetes' / found.kubernetes}\n")


def clone(source: Path, target: Path) -> None:
    """Copy ``source`` with everything that belongs to its files; holes stay holes, and where the disk can it shares the blocks."""
    run(
        [*DIES, "cp", "--archive", "--sparse=always", "--reflink=auto", "--no-target-directory", str(source), str(target)],
        timeout_s=600,
    )


def link(source: Path, target: Path) -> None:
    """Make ``target`` a tree of its own with the same files as ``source``, which nobody ever writes to."""
    run([*DIES, "cp", "--archive", "--link", "--no-target-directory", str(source), str(target)], timeout_s=600)


@contextmanager
def frozen(instance: Instance) -> Iterator[None]:
    """Freeze every host of the lab at the same moment, and let them all go on afterwards: also when this process is killed meanwhile.

    Raises OutcomeError when the kernel does not freeze them all within FROZEN_WITHIN_S seconds.
    """
    tops = cgroups.find(instance.namespace)
    if not cgroups.pids(tops):  # all hosts are off
        yield
        return
    switches = cgroups.freezers(tops)
    words = {switch.on for switch in switches}, {switch.off for switch in switches}
    if len(words[0]) != 1:
        raise PrecheckError(
            "this kernel has no control group that can freeze a host", hint="mount the freezer hierarchy, or cgroup v2"
        )
    files = [str(switch.file) for switch in switches]
    thaw = subprocess.Popen(
        ["sh", "-c", THAW, "thaw", *files],
        stdin=subprocess.PIPE,
        start_new_session=True,
        env={**os.environ, "WORD": words[1].pop()},
    )
    try:
        word = words[0].pop()
        for switch in switches:
            switch.write(word)
        deadline = time.monotonic() + FROZEN_WITHIN_S
        while waiting := [switch.file.parent.name for switch in switches if not switch.frozen()]:
            if time.monotonic() > deadline:
                raise OutcomeError(
                    f"{', '.join(waiting)} could not be frozen in {FROZEN_WITHIN_S} s", hint="the same command again"
                )
            time.sleep(0.02)
        yield
    finally:
        assert thaw.stdin  # noqa: S101 - it was opened with a pipe
        thaw.stdin.close()
        thaw.wait()
        for switch in switches:  # in case somebody has ended it
            switch.write(switch.off)
