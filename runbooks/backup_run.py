"""`inv backup.run`: make a set, say what is in it, and leave word of how it went."""

from __future__ import annotations

import json
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

from runbooks import backup_steps
from runbooks.backup_making import Making
from runbooks.backup_manifest import Manifest
from runbooks.backup_store import Store
from runbooks.errors import DegradedError
from runbooks.rules.etcd_care import size_text

if TYPE_CHECKING:
    from runbooks.engine.session import Session


class Unlocked:
    """A backup changes nothing on the site, so it needs no lock of the site's; the directory of sets has one of its own."""

    def hold(self) -> bool:
        """Nothing was taken just now."""
        return False


def back_up(session: Session, *, accept_older: bool = False) -> None:
    """Make a set. Raises DegradedError when something is missing in it, OutcomeError when there is no snapshot at all."""
    store = Store(session.site)
    with nullcontext() if session.options.plan else store.locked("inv backup.run"):
        making = Making(store, accept_older)
        session.carry_out(backup_steps.run(making), lease=Unlocked())
    if not making.made:
        return
    if session.options.json:
        print(json.dumps({"event": "set", **_for_machines(making.made)}))
    else:
        print(describe(making.made, len(session.site.control_plane)))
    if making.missing:
        text = "".join(f"\n  {what}: {why}" for what, why in making.missing.items())
        raise DegradedError(f"the set {making.id} is there, but it lacks:{text}", hint="mend that, then inv backup.run")


def describe(made: Manifest, members: int) -> str:
    """Say in a line what a set holds."""
    return (
        f"{made.id}: {made.state}; etcd at revision {made.etcd.revision}, {len(made.snapshots)} of {members} snapshots; "
        f"{made.objects} objects of {len(made.kinds)} kinds; {size_text(made.size)}"
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
