"""Every host's own copy of containerd's state: links, where they can be, that cost neither time nor space."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from pathlib import Path

from lab.mounts import remove_tree
from lab.process import DIES, run

# Whether a file, of which the file system says that, belongs to one host: it is copied, not linked.
Own = Callable[[Path, os.stat_result], bool]


def is_database(path: Path, _: os.stat_result) -> bool:
    """Whether containerd writes to the file in place."""
    return path.suffix == ".db"


def not_of(golden: Path) -> Own:
    """Return whether a file is one that its owner may still write to: a database, or any that does not come from ``golden``.

    What a container or a build wrote into a layer of its own may have several names too, so that counting names says nothing.
    """
    shared = inodes(golden)

    def own(path: Path, found: os.stat_result) -> bool:
        return is_database(path, found) or (found.st_dev, found.st_ino) not in shared

    return own


def give(golden: Path, target: Path, own: Own = is_database) -> None:
    """Make ``target`` a copy of ``golden``: hard links where both are on one file system, but real copies of the files that are its ``own``.

    containerd writes blobs and the layers of images once and only ever reads them afterwards; the databases it writes in place.
    """
    fresh = target.with_name(f"{target.name}.new")
    remove_tree(fresh)
    linked = golden.stat().st_dev == target.parent.stat().st_dev
    mine = [path.relative_to(golden) for path, found in files(golden) if own(path, found)] if linked else []
    run([*DIES, "cp", "--archive", *(["--link"] if linked else []), str(golden), str(fresh)], timeout_s=300)
    for path in mine:
        (fresh / path).unlink()
    for some in batched(mine, 500):  # files with several names stay one file within each call
        words = ["cp", "--archive", "--sparse=always", "--parents", "--target-directory", str(fresh), "--", *map(str, some)]
        run([*DIES, "env", f"--chdir={golden}", *words], timeout_s=300)
    if target.exists():
        target.rmdir()
    fresh.rename(target)


@cache
def inodes(golden: Path) -> frozenset[tuple[int, int]]:
    """Return the device and inode of every file below ``golden``, which nobody changes."""
    return frozenset((found.st_dev, found.st_ino) for _, found in files(golden))


def files(directory: Path) -> Iterator[tuple[Path, os.stat_result]]:
    """Yield every plain file below ``directory``, and what the file system says of it. What goes away meanwhile is left out."""
    for place, _, names in os.walk(directory):
        for name in names:
            path = Path(place, name)
            try:
                found = path.lstat()
            except FileNotFoundError:
                continue
            if stat.S_ISREG(found.st_mode):
                yield path, found


def batched(some: Sequence[Path], size: int) -> Iterator[Sequence[Path]]:
    """Return ``some`` in slices of at most ``size``."""
    return (some[start : start + size] for start in range(0, len(some), size))
