"""An operator with an inventory, and an ssh configuration of the test's own."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from runbooks.errors import DegradedError
from runbooks.local.ssh_config import OwnSsh
from runbooks.site.importing.command import bring

NOBODY: dict[str, list[str]] = {"control-plane": [], "worker": [], "lb": []}


@dataclass
class Imported:
    """What one command has done: the text of the file, its values, what was printed, the problems."""

    text: str
    site: dict[str, Any]
    printed: str
    problems: list[str]

    def host(self, name: str) -> dict[str, Any]:
        return next(each for each in self.site["hosts"] if each["name"] == name)

    def states(self, state: str) -> set[str]:
        return {line.split()[1] for line in self.printed.splitlines() if line.startswith(f"{state} ")}


@pytest.fixture
def import_(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., Imported]:
    monkeypatch.chdir(tmp_path)

    def import_(files: Mapping[str, str], file: str, ssh: str = "", resolve: bool = False, **groups: list[str]) -> Imported:
        for name, text in files.items():
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        (tmp_path / "ssh_config").write_text(ssh)
        given = NOBODY | {name.replace("_", "-"): names for name, names in groups.items()}
        problems: list[str] = []
        try:
            bring(file, "out.yaml", given, resolve=resolve, ssh=OwnSsh(tmp_path / "ssh_config"))
        except DegradedError as error:
            problems = [line.strip().split(": ")[1] for line in str(error).splitlines()[1:]]
        text = (tmp_path / "out.yaml").read_text()
        return Imported(text, yaml.safe_load(text), capsys.readouterr().out, problems)

    return import_
