"""Put a new site file in its place. One that is there is never overwritten."""

from __future__ import annotations

import os
from pathlib import Path

from runbooks.engine.session import ROOT
from runbooks.errors import DiskError, InventoryError
from runbooks.inventory.locate import expanded, locate
from runbooks.inventory.problems import Problem, shown
from runbooks.local.files import create_new
from runbooks.site.problems import problems


def wanted(output: str) -> Path:
    """Return the path for a new site file: ``output``, or what RUNBOOKS_SITE says (docs/site.md). Raises InventoryError when there is one."""
    path = expanded(Path(output), Path.cwd()) if output else locate(os.environ, ROOT)
    if path.is_symlink() or path.exists():
        raise _there_is_one(path)
    if not path.parent.is_dir():
        raise InventoryError(f"{shown(path)}: there is no directory {path.parent}", hint=f"mkdir -p {path.parent}")
    return path


def put(path: Path, text: str) -> tuple[Problem, ...]:
    """Create the site file at ``path`` (0644, complete or not at all), and return all that `inv site.check` says is wrong with it.

    It is created also when something is wrong: no command uses a file that cannot be loaded, and each problem has its line to put right.
    Raises InventoryError when there is a file, DiskError when it cannot be written.
    """
    try:
        create_new(path, text.encode(), 0o644)
    except FileExistsError:
        raise _there_is_one(path) from None
    except OSError as error:
        raise DiskError(f"{path}: cannot be written: {error.strerror or error}") from None
    return problems(path)


def _there_is_one(path: Path) -> InventoryError:
    return InventoryError(
        f"{shown(path)} is there already, and is not overwritten", hint="--output FILE writes another file; or move this one away"
    )
