from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from runbooks.inventory.model import Site
from runbooks.inventory.settings import Monitoring
from runbooks.monitor.rules.scope import Scope
from tests.support import fakes
from tests.support.programs import program

replace = msgspec.structs.replace


def site(**settings: object) -> Site:
    """The shipped site with monitoring, and with backups that tell of themselves."""
    shipped = fakes.site()
    assert shipped.backup is not None
    backup = replace(shipped.backup, metrics=Path("/var/lib/prometheus/node-exporter/b.prom"))
    return replace(
        shipped,
        monitoring=Monitoring(**{"differences": Path("/var/lib/prometheus/node-exporter/d.prom"), **settings}),
        backup=backup,
    )


@pytest.fixture
def scope() -> Scope:
    return Scope(site())


@pytest.fixture
def promtool(request: pytest.FixtureRequest) -> Callable[..., str]:
    """Run promtool; what it prints, when it is content."""
    path = program("promtool", request.config)

    def run(*words: str | Path) -> str:
        done = subprocess.run([path, *map(str, words)], capture_output=True, text=True, check=False, timeout=600)
        said = done.stdout + done.stderr
        assert done.returncode == 0, said[-6000:]
        return said

    return run
