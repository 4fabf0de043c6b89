"""Programs of the machine that tests of no host need: scripts/setup puts them there."""

from __future__ import annotations

import shutil

import pytest

from tests.support import ROOT


def program(name: str, config: pytest.Config) -> str:
    """Return the path of a program. One that is missing is a failure; `scripts/test --quick`, which installs nothing, leaves its tests out."""
    own = ROOT / ".venv" / "bin" / name
    found = str(own) if own.is_file() else shutil.which(name)
    if not found:
        (pytest.skip if config.getoption("markexpr") == "not lab" else pytest.fail)(
            f"there is no {name}: scripts/setup --tests installs it"
        )
    return found
