"""`inv backup.run`: make a set, say what is in it, and leave word of how it went."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from runbooks.backup.run import keep_tools, metrics, offsite, prune, steps
from runbooks.backup.run.making import Making
from runbooks.backup.sets.manifest import Manifest
from runbooks.backup.sets.store import Store, Unlocked
from runbooks.engine.steps import Step
from runbooks.errors import DegradedError
from runbooks.text import counted, size_text

if TYPE_CHECKING:
    from runbooks.engine.session import Session


def back_up(session: Session, *, accept_older: bool = False, resume: bool = True) -> None:
    """Make a set. Raises DegradedError when something is missing in it or went wrong after it, OutcomeError when there is none."""
    store = Store(session.site)
    if session.options.plan:
        _make(session, Making(store=store, accept_older=accept_older), resume=resume)
        return
    with store.locked("inv backup.run"), metrics.attempt(store):
        making = Making(store=store, accept_older=accept_older)
        _make(session, making, resume=resume)
        _tell(session, making)


def _make(session: Session, making: Making, *, resume: bool) -> None:
    metrics.check(making.store)
    session.carry_out(steps.run(making, *_afterwards(making)), lease=Unlocked(), resume=resume)


def _afterwards(making: Making) -> list[Step]:
    """Return what is done once the set is there; what fails in it goes to ``making.amiss`` and does not stop the rest."""
    return [
        keep_tools.keep(making),
        *offsite.after(making),
        prune.unwanted(making),  # last here: no old set goes before the new one has been seen to
        *offsite.afterwards(making.store, making.amiss),
    ]


def _tell(session: Session, making: Making) -> None:
    made = making.made
    if not made:
        return
    if session.options.json:
        print(json.dumps({"event": "set", **_for_machines(made), "amiss": making.amiss}))
    else:
        print(describe(made, len(session.site.control_plane)))
    if making.missing or making.amiss:
        raise DegradedError(f"the set {making.id} is there, but {shortcomings(making)}", hint="mend that, then inv backup.run")


def shortcomings(making: Making) -> str:
    """Say what is missing in a set, and what failed once it was there."""
    parts = {"it lacks": making.missing, "this failed afterwards": making.amiss}
    texts = [f"{text}:" + "".join(f"\n  {what}: {why}" for what, why in those.items()) for text, those in parts.items() if those]
    return "\nand ".join(texts)


def describe(made: Manifest, members: int) -> str:
    """Say in a line what a set holds."""
    return (
        f"{made.id}: {made.state}; etcd at revision {made.etcd.revision}, {len(made.snapshots)} of {members} snapshots; "
        f"{counted(made.objects, 'object')} of {counted(len(made.kinds), 'kind')}; {size_text(made.size)}"
    )


def _for_machines(made: Manifest) -> dict[str, Any]:
    return {
        "id": made.id,
        "state": made.state,
        "revision": made.etcd.revision,
        "snapshots": len(made.snapshots),
        "objects": made.objects,
        "size": made.size,
        "missing": {each.what: each.why for each in made.missing},
    }
