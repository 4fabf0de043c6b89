"""`inv backup.run`: make a set, say what is in it, and leave word of how it went."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from runbooks.backup.run import keep_tools, metrics, offsite, prune, steps
from runbooks.backup.run.new_set import NewSet
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
        _make(session, NewSet(store=store, accept_older=accept_older), resume=resume)
        return
    with store.locked("inv backup.run"), metrics.attempt(store):
        new_set = NewSet(store=store, accept_older=accept_older)
        _make(session, new_set, resume=resume)
        _tell(session, new_set)


def _make(session: Session, new_set: NewSet, *, resume: bool) -> None:
    metrics.check(new_set.store)
    session.carry_out(steps.run(new_set, *_afterwards(new_set)), lease=Unlocked(), resume=resume)


def _afterwards(new_set: NewSet) -> list[Step]:
    """Return what is done once the set is there; what fails in it goes to ``new_set.problems`` and does not stop the rest."""
    return [
        keep_tools.keep(new_set),
        *offsite.after(new_set),
        prune.unwanted(new_set),  # last here: no old set goes before the new one has been seen to
        *offsite.afterwards(new_set.store, new_set.problems),
    ]


def _tell(session: Session, new_set: NewSet) -> None:
    made = new_set.made
    if not made:
        return
    if session.options.json:
        print(json.dumps({"event": "set", **_for_machines(made), "problems": new_set.problems}))
    else:
        print(describe(made, len(session.site.control_plane)))
    if new_set.missing or new_set.problems:
        raise DegradedError(f"the set {new_set.id} is there, but {shortcomings(new_set)}", hint="mend that, then inv backup.run")


def shortcomings(new_set: NewSet) -> str:
    """Say what is missing in a set, and what failed once it was there."""
    parts = {"it lacks": new_set.missing, "this failed afterwards": new_set.problems}
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
