"""The result of a drill in the directory of the runs, beside the report of its run."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec

from runbooks.drill.rules.facts import Facts
from runbooks.drill.rules.verdict import Judgement, Word, overall
from runbooks.engine import history
from runbooks.engine.history import RunRecord
from runbooks.inventory.settings import Drills
from runbooks.local import files

SUFFIX: Final = ".drill.json"
PAGE: Final = ".drill.html"
CLIENTS: Final = ".clients.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """A drill that was carried out: the id of its run, the objectives, its course, and the judgement on each objective."""

    run: str
    limits: Drills
    facts: Facts
    judgements: tuple[Judgement, ...]
    format: int = 1

    @property
    def word(self) -> Word:
        """The word for the whole drill."""
        return overall(self.judgements)


def keep(directory: Path, kept: Kept) -> None:
    """Write it, mode 0600. Raises DiskError."""
    files.replace(directory / f"{kept.run}{SUFFIX}", msgspec.json.format(msgspec.json.encode(kept), indent=1) + b"\n")


def read(path: Path) -> Kept | None:
    """Return what is kept in ``path``; None when it is not there, or is none."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=Kept)
    except (OSError, msgspec.MsgspecError):
        return None


def runs(directory: Path) -> Iterator[tuple[RunRecord, Kept | None]]:
    """Yield the runs of drills, the newest first, with what each has shown; None for one that was refused, or killed before its end."""
    for run in history.newest(directory):
        if run.procedure.startswith("drill.") and run.procedure != "drill.heal":
            yield run, read(directory / f"{run.run}{SUFFIX}")
