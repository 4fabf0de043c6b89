"""Read the journals of a site on the operator's machine. Connects to no host."""

from __future__ import annotations

from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Final

from runbooks.engine import history
from runbooks.engine.history import RunRecord
from runbooks.errors import DiskError, InventoryError
from runbooks.measure import record
from runbooks.measure.rules.result import Result
from runbooks.text import first_few, listed

if TYPE_CHECKING:
    from runbooks.engine.session import Session


def directory(session: Session) -> Path:
    """Return the directory of the journals; it may not exist yet."""
    return session.state / "runs"


def latest(session: Session, last: int, command: str = "") -> list[RunRecord]:
    """Return the newest ``last`` runs (0: all), the newest first; with ``command`` ("lb.setup") only those of that command.

    Raises InventoryError for a negative number.
    """
    if last < 0:
        raise InventoryError("--last: the number of runs cannot be negative", hint="inv runs.list --last 20")
    wanted = command.removeprefix("inv ")
    runs = history.newest(directory(session))
    return list(islice((each for each in runs if not wanted or each.procedure == wanted), last or None))


NEWEST: Final = "last"  # said instead of an id


def one(session: Session, run: str) -> RunRecord:
    """Return the run with this id, of which a part is enough when no other has it; NEWEST is the newest. Raises InventoryError."""
    run = "" if run == NEWEST else run
    there = sorted((path.stem for path in directory(session).glob("*.jsonl")), reverse=True)
    found = [run] if run in there else [name for name in there if run in name]
    if run and len(found) > 1:
        hint = f"write more of the id: {listed(first_few(found, 3))}"
        raise InventoryError(f"{run} is a part of the ids of {len(found)} runs", hint=hint)
    readable = (each for name in found if (each := history.of(directory(session) / f"{name}.jsonl")))
    if first := next(readable, None):
        return first
    if run and found:
        raise InventoryError(f"the report of {found[0]} cannot be read", hint=f"look at {directory(session) / found[0]}.jsonl")
    raise InventoryError(f"there is no run {run}".rstrip() if run else "there is no run yet", hint="inv runs.list lists them")


def clients(session: Session, run: str) -> Result | None:
    """Return what clients saw during the run, or None when that was not measured or cannot be read."""
    try:
        return record.read(directory(session) / f"{run}.clients.json")
    except DiskError:
        return None
