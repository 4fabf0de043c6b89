from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from runbooks.inventory.model import Site
from runbooks.inventory.settings import Monitoring
from runbooks.monitor.rules.scope import Scope
from tests.support import ROOT, fakes

replace = msgspec.structs.replace


def site(**settings: object) -> Site:
    """The shipped site with monitoring, and with backups that tell of themselves."""
    shipped = fakes.site()
    assert shipped.backup is not None
    backup = replace(shipped.backup, metrics=Path("/var/lib/prometheus/node-exporter/b.prom"))
    return replace(shipped, monitoring=Monitoring(**settings), backup=backup)


@pytest.fixture
def scope() -> Scope:
    return Scope(site())


def _found(name: str) -> str | None:
    """Where scripts/setup has put a program of Debian's package prometheus, or where the machine has it."""
    own = ROOT / ".venv" / "bin" / name
    return str(own) if own.is_file() else shutil.which(name)


def program(name: str) -> str:
    """The path of a program of Debian's package prometheus. Where scripts/setup should have put it, a missing one is a failure."""
    found = _found(name)
    if not found:
        if os.geteuid() == 0 and shutil.which("apt-get"):
            pytest.fail(f"there is no {name}: scripts/setup takes it out of Debian's package prometheus")
        pytest.skip(f"{name} is not installed")
    return found


@pytest.fixture
def promtool() -> Callable[..., str]:
    """Run promtool; what it prints, when it is content."""
    path = program("promtool")

    def run(*words: str | Path) -> str:
        done = subprocess.run([path, *map(str, words)], capture_output=True, text=True, check=False, timeout=600)
        said = done.stdout + done.stderr
        assert done.returncode == 0, said[-6000:]
        return said

    return run
