"""Programs of the hosts' tree with the shared libraries that they load, found without running any of them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from lab.process import run
from runbooks.errors import OutcomeError

if TYPE_CHECKING:
    from collections.abc import Iterable

LOADED = re.compile(r"^\s+(?:\S+ => )?(/\S+) \(0x", re.MULTILINE)
LOADERS = ("usr/lib64/ld-linux-*.so.2", "lib64/ld-linux-*.so.2", "usr/lib/ld-linux-*.so.1")


def inside(root: Path, path: str) -> Path:
    """Return the file that ``path`` is in the tree ``root``, with links followed as they are meant there. OutcomeError on a loop."""
    parts, found = [part for part in path.split("/") if part], root
    for _ in range(100):
        if not parts:
            return found
        step = found / parts.pop(0)
        if step.is_symlink():
            target = step.readlink()
            found = root if target.is_absolute() else found
            parts = [part for part in target.parts if part != "/"] + parts
        else:
            found = found.parent if step.name == ".." else step
    raise OutcomeError(f"{path} in {root} is a loop of links")


def loader(root: Path) -> tuple[str, Path]:
    """Return the tree's program loader: the path that programs name (without leading slash), and the file."""
    for pattern in LOADERS:
        for path in root.glob(pattern):
            name = f"{path.parent.name}/{path.name}"
            return f"usr/{name}", inside(root, name)
    raise OutcomeError(f"{root} has no program loader")


def closure(root: Path, programs: Iterable[Path]) -> dict[str, Path]:
    """Return the libraries of ``programs`` and the loader: path in the image without leading slash -> file in ``root``."""
    named, load = loader(root)
    directories = sorted(path for path in (root / "usr/lib").glob("*-linux-gnu*") if path.is_dir())
    search = ":".join(map(str, directories))
    found = {}
    for program in programs:
        said = run([str(load), "--inhibit-cache", "--library-path", search, "--list", str(program)], check=False).stdout
        for text in loaded(said):
            path = Path(text)
            if path.is_relative_to(root):
                found[str(path.relative_to(root))] = inside(root, str(path.relative_to(root)))
    return {named: load, **found} if found else {}


def loaded(said: str) -> list[str]:
    """Return the files in what the loader lists. Pure. A program that is linked statically has none."""
    return LOADED.findall(said)
