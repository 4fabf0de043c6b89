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


def require(session: Session, choices: Choices) -> None:
    """Make a set unless there is a good one that is not older than FRESH. Nothing with --no-backup.

    Raises PrecheckError when hosts.yaml has no section backup, and the errors of `inv backup.run`: an incomplete set is none.
    """
    if not choices.backup:
        return
    if not session.site.backup:
        raise PrecheckError(
            "hosts.yaml has no section backup, so there is no set to go back to",
            hint="add backup.directory to hosts.yaml; or --no-backup",
        )
    if found := newest_good(Store(session.site), datetime.now().astimezone()):
        session.run.listener.say(f"backup: {found.id} is good and {age_text(_age(found).total_seconds())} old")
        return
    try:
        back_up(session, resume=False)
    except RunbookError as error:
        error.add_note("the upgrade has not begun")
        raise


def newest_good(store: Store, now: datetime) -> Manifest | None:
    """Return the newest good set when it is fresh, else None."""
    good = (each.manifest for each in store.sets() if each.manifest and each.manifest.state == "good")
    return next((found for found in good if _age(found, now) <= FRESH), None)


def _age(found: Manifest, now: datetime | None = None) -> timedelta:
    return (now or datetime.now().astimezone()) - found.finished
