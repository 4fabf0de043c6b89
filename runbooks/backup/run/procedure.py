"""`inv backup.run`: make a set, print what is in it, and record how the attempt ended."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from runbooks.backup.rules.unlisted import OBJECTS
from runbooks.backup.run import keep_tools, metrics, offsite, prune, steps
from runbooks.backup.run.new_set import NewSet
from runbooks.backup.sets.manifest import Manifest
from runbooks.backup.sets.store import Store, Unlocked
from runbooks.engine.steps import Step
from runbooks.errors import DegradedError
from runbooks.rules import stacked
from runbooks.text import counted, size_text

if TYPE_CHECKING:
    from runbooks.engine.session import Session


def back_up(session: Session, *, accept_older: bool = False, resume: bool = True) -> None:
    """Make a set.

    Raises DegradedError when something is missing in it or failed afterwards, OutcomeError when no set was made.
    """
    stacked.require(session.site)
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
    """Return the steps that follow the published set. Their failures go to ``new_set.problems`` and do not stop the run.

    Old sets are deleted after the copy: never before the new set is complete.
    """
    return [
        keep_tools.keep(new_set),
        *offsite.after(new_set),
        prune.unwanted(new_set),
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
        raise DegradedError(f"the set {new_set.id} was made, but {shortcomings(new_set)}", hint="fix that, then inv backup.run")


def shortcomings(new_set: NewSet) -> str:
    """Say what is missing in a set, its objects first, and what failed after it was published."""
    others = {what: why for what, why in new_set.missing.items() if what != OBJECTS}
    parts = {"it lacks": others, "this failed afterwards": new_set.problems}
    texts = [f"it lacks objects: {new_set.missing[OBJECTS]}"] if OBJECTS in new_set.missing else []
    texts += [f"{text}:" + "".join(f"\n  {what}: {why}" for what, why in those.items()) for text, those in parts.items() if those]
    return "\nand ".join(texts)


def describe(made: Manifest, members: int) -> str:
    """Say in one line what a set holds; ``members`` is how many control plane hosts there are."""
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
        "missing": made.lacking,
    }
