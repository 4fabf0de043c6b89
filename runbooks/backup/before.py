"""A backup before a dangerous change."""

from __future__ import annotations

from runbooks.engine.session import Session
from runbooks.errors import DegradedError, OutcomeError, PrecheckError
from runbooks.rules.etcd import View


def back_up_first(session: Session, seen: View, *, wanted: bool) -> None:
    """Make a set before anything is changed. Does nothing in a plan, without ``wanted``, or when no member of etcd answers.

    A degraded set is enough to go on. Raises PrecheckError when no set was made.
    """
    if session.options.plan or not wanted or not seen.statuses:
        return
    from runbooks.backup.run.procedure import back_up  # noqa: PLC0415 - start-up time

    try:
        back_up(session)
    except DegradedError as error:
        session.run.listener.say(f"the backup is good enough to go on: {error}")
    except OutcomeError as error:
        raise PrecheckError(
            f"no backup could be made first: {error}", hint=f"{error.hint}; --no-backup goes on without a backup"
        ) from None
