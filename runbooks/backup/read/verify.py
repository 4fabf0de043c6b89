"""`inv backup.verify`: verify one set or all of them, and show the results."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from runbooks.backup.read.verification import Verification, verify_set
from runbooks.backup.sets.store import Store
from runbooks.errors import InventoryError, OutcomeError
from runbooks.local.programs import interruptible
from runbooks.text import counted, listed, table

if TYPE_CHECKING:
    from runbooks.engine.session import Session

HEADER = ("part", "state", "what was seen")


def verify(session: Session, name: str, identity: str, *, everything: bool) -> None:
    """Verify the set ``name`` (the newest when it is ""), or all of them.

    Raises OutcomeError, with every problem, when a set is damaged, and PrecheckError when snapshots could not be restored here.
    """
    store = Store(session.site)
    if everything and name:
        raise InventoryError("--all verifies every set, so --id cannot choose one", hint="give one of the two")
    chosen = (store.sets() if everything else []) or [store.one(name)]
    results = []
    with interruptible():
        for each in chosen:
            results.append(result := verify_set(store, each, identity))
            if not session.options.json:
                lacks = f": it has lacked objects since it was made: {result.unlisted}" if result.unlisted else ""
                print(f"{result.id}{lacks}\n\n{_table(result)}\n\n{_verdict(result)}\n", flush=True)
    if session.options.json:
        print(json.dumps({"sets": [_for_machines(result) for result in results]}))
    if bad := [result for result in results if result.problems]:
        raise OutcomeError("\n".join(map(_damage, bad)), hint=_next(bad))
    for result in results:
        if result.unable:
            raise result.unable


def _table(result: Verification) -> str:
    states = {True: "ok", False: "FAILED", None: "-"}
    return table(HEADER, [[part.name, states[part.ok], part.text.splitlines()[0]] for part in result.parts])


def _verdict(result: Verification) -> str:
    if result.problems:
        more = len(result.problems) - 1
        return f"FAILED: {result.problems[0].splitlines()[0]}" + (f"; and {counted(more, 'other problem')}" if more else "")
    if result.scope == "files":
        return "the files are as they were when the set was made; their contents were not verified"
    return "everything is as it was when the set was made, and every snapshot restores"


def _next(bad: Sequence[Verification]) -> str:
    """Return the next command: closing what is open to others, when nothing else is wrong."""
    if all(len(result.problems) == 1 and result.private for result in bad):
        return "; ".join(result.private for result in bad)
    return "inv backup.run makes a new set; inv backup.list shows the others"


def _damage(result: Verification) -> str:
    usable = (
        f"still usable: the snapshots of {listed(result.usable)}" if result.usable else "none of its snapshots is usable for sure"
    )
    return "\n  ".join([f"{result.id} is not what it was when it was made:", *result.problems, usable])


def _for_machines(result: Verification) -> dict[str, Any]:
    return {
        "id": result.id,
        "ok": not result.problems,
        "what": result.scope,
        "problems": result.problems,
        "usable": result.usable,
        "unlisted": result.unlisted,
        "parts": [{"name": part.name, "ok": part.ok, "text": part.text} for part in result.parts],
    }
