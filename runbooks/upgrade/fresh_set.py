"""A backup before the first change: a good set that is fresh, or one that is made now."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from runbooks.backup.run.procedure import back_up
from runbooks.backup.sets.manifest import Manifest
from runbooks.backup.sets.store import Store
from runbooks.errors import PrecheckError, RunbookError
from runbooks.text import age_text
from runbooks.upgrade.rules.choices import Choices

if TYPE_CHECKING:
    from runbooks.engine.session import Session

FRESH = timedelta(hours=1)


def require(session: Session, choices: Choices, *, begun: bool = False) -> bool:
    """Make a set unless there is a good one that is not older than FRESH; return whether one was made. Nothing with --no-backup.

    ``begun``: this goes on with an upgrade, so the newest good set counts, however old: one that is made now has the cluster half upgraded.
    Raises PrecheckError when hosts.yaml has no section backup, and the errors of `inv backup.run`: an incomplete set is none.
    """
    if not choices.backup:
        return False
    if not session.site.backup:
        raise PrecheckError(
            "hosts.yaml has no section backup, so there is no set to go back to",
            hint="add backup.directory to hosts.yaml; or --no-backup",
        )
    store, now = Store(session.site), datetime.now().astimezone()
    if found := newest_good(store, now, FRESH if not begun else None):
        session.run.listener.say(f"backup: {found.id} is good and {age_text(_age(found, now).total_seconds())} old")
        return False
    try:
        back_up(session, resume=False)
    except RunbookError as error:
        if session.options.plan or newest_good(store, now):  # the set is good; its copy elsewhere may have failed
            session.run.listener.say(f"backup: {error}")
            return not session.options.plan
        error.add_note("the upgrade was not gone on with" if begun else "the upgrade has not begun")
        error.hint = "; or ".join(filter(None, (error.hint, "without a backup: --no-backup")))
        raise
    return not session.options.plan


def newest_good(store: Store, now: datetime, within: timedelta | None = FRESH) -> Manifest | None:
    """Return the newest good set, when it is not older than ``within`` (None: however old), else None."""
    found = store.newest_good()
    return found if found and (within is None or _age(found, now) <= within) else None


def _age(found: Manifest, now: datetime) -> timedelta:
    return now - found.finished
