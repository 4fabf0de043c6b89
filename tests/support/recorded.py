"""What tools have really printed: tests/recorded/TOOL/VERSION-NAME.json, each with what our parser makes of it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from runbooks.commands.base import Answer

FOLDER = Path(__file__).parents[1] / "recorded"


def recording(name: str) -> dict[str, Any]:
    """Return the content of the file ``name``, such as "etcd/3.5.16-leader"."""
    found: dict[str, Any] = json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8"))
    return found


def recorded_answer(name: str) -> Answer:
    """Return what the tool answered; a file has its standard output as lines, and stderr and exit status where they matter."""
    found = recording(name)
    return Answer(found.get("exited", 0), "\n".join(found["output"]), found.get("stderr", ""))
