"""Compare the files of a set with its manifest: names, sizes, digests. read.contents checks what is in the files."""

from __future__ import annotations

from pathlib import Path

from runbooks.backup.sets import manifest
from runbooks.backup.sets.manifest import Manifest, Stored
from runbooks.backup.sets.opened import differs, is_inside, there


def damages(path: Path, made: Manifest, *, sync: bool = False) -> list[str]:
    """Return one line for each file below ``path`` that differs from the manifest ``made``. ``sync`` also calls fsync on each file."""
    found = {name: damage(path, name, stored, sync=sync) for name, stored in made.files.items()}
    return [f"{name}: {why}" for name, why in found.items() if why]


def damage(path: Path, name: str, stored: Stored, *, sync: bool = False) -> str:
    """Return how the file ``name`` below ``path`` differs from what was ``stored``, or ""."""
    if not is_inside(name):
        return "this name would be outside the set"
    return differs(path / name, stored.size, stored.sha256, sync=sync)


def strangers(path: Path, made: Manifest) -> list[str]:
    """Return the files below ``path`` that the manifest does not name."""
    return sorted(each for each in there(path) if each not in made.files and each != manifest.NAME)
