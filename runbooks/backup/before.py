"""A backup before something dangerous is done."""

from __future__ import annotations

from runbooks.engine.session import Session
from runbooks.errors import DegradedError, OutcomeError, PrecheckError
from runbooks.rules.etcd import View


def back_up_first(session: Session, seen: View, *, wanted: bool) -> None:
    """Make a set before anything is changed, as far as there is anything to save."""
    if session.options.plan or not wanted or not seen.statuses:
        return
    from runbooks.backup.run.procedure import back_up  # noqa: PLC0415 - start-up time

    try:
        back_up(session)
    except DegradedError as error:
        session.run.listener.say(f"the backup is good enough to go on: {error}")
    except OutcomeError as error:
        raise PrecheckError(
            f"no backup could be made first: {error}", hint=f"{error.hint}; --no-backup goes on without"
        ) from None
