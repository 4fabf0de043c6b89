"""What came of `inv site.adopt`, for people and for programs; and what the doctor says of the new site."""

from __future__ import annotations

import io
import json
import os
from collections.abc import Mapping, Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from runbooks.engine.session import ROOT
from runbooks.errors import RunbookError
from runbooks.inventory.problems import Problem, shown
from runbooks.rules.finding import Finding, for_machines
from runbooks.rules.finding import shown as table_of
from runbooks.site.adopt.rules.changes import Change
from runbooks.site.adopt.rules.draft import comments, plain
from runbooks.text import printable


@dataclass
class Outcome:
    """All of it. ``found``: the values with their comments; ``withheld``: keys that were left out as they have a secret, and why.

    written     whether the file is new; else ``changes`` are what it says otherwise than what was found.
    problems    what has to be put right in a new file first. ``differs``: findings. ``doctor``: what the doctor says, None when it did not look.
    """

    file: Path
    found: dict[str, Any]
    withheld: Mapping[str, str]
    differs: Sequence[Finding] = ()
    notes: Sequence[str] = ()
    written: bool = False
    changes: Sequence[Change] = ()
    problems: Sequence[Problem] = ()
    doctor: dict[str, Any] | None = None
    wrong: RunbookError | None = field(default=None)

    def for_programs(self) -> dict[str, object]:
        """Return it as one JSON object. Values are as hosts.yaml has them; no secret is among them."""
        return {
            "ok": self.wrong is None,
            "file": str(self.file),
            "written": self.written,
            "found": _jsonable(plain(self.found)),
            "guessed": [{"key": key, "comment": text} for key, text in comments(self.found)],
            "withheld": [{"key": key, "why": why} for key, why in self.withheld.items()],
            "changes": [{"key": each.key, "file": each.file, "found": each.found} for each in self.changes],
            "problems": [{"line": each.line, "key": each.key, "message": each.message} for each in self.problems],
            "differs": [for_machines(each) for each in self.differs],
            "notes": list(self.notes),
            "doctor": self.doctor,
        }


def _jsonable(tree: Any) -> Any:
    """Return ``tree`` with addresses, networks and paths as text."""
    if isinstance(tree, Mapping):
        return {str(key): _jsonable(each) for key, each in tree.items()}
    if isinstance(tree, list | tuple):
        return [_jsonable(each) for each in tree]
    return tree if tree is None or isinstance(tree, bool | int | float | str) else str(tree)


def examine(file: Path) -> dict[str, Any]:
    """Let the doctor look at the new site, print what it finds, and return that as it tells programs. It does not fail this command."""
    from runbooks.doctor.show import show, summary  # noqa: PLC0415 - start-up time
    from runbooks.engine.session import Options, session  # noqa: PLC0415 - start-up time

    print("\ninv doctor says:\n")
    before, heard = os.environ.get("RUNBOOKS_SITE"), io.StringIO()
    os.environ["RUNBOOKS_SITE"] = str(file)
    said: dict[str, Any] = {}
    try:
        with session(Options(json=True)) as opened, redirect_stdout(heard):
            show(opened)
    except RunbookError as error:
        said = {"error": str(error), "next": error.hint}
    finally:
        if before is None:
            del os.environ["RUNBOOKS_SITE"]
        else:
            os.environ["RUNBOOKS_SITE"] = before
    for line in heard.getvalue().splitlines():
        said |= each if "findings" in (each := json.loads(line)) else {}
    if found := [Finding(**each) for each in said.get("findings", [])]:
        print(table_of(found))
    if "error" in said:
        print(printable(f"{said['error']}" + (f"\nnext: {said['next']}" if said["next"] else ""), "\n"))
    else:
        print(summary(found))
    print(f"\nfrom now on: export RUNBOOKS_SITE={shown(file)}" if file != ROOT / "hosts.yaml" else "")
    return said
