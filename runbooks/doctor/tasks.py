"""The doctor: looks at the whole site, and says what is wrong, why, and which command repairs it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from runbooks.engine.tasks import query

if TYPE_CHECKING:
    from runbooks.engine.session import Session


@query
def examine(session: Session) -> None:
    """Find what is wrong, and the command for it.

    Looks at hosts, load balancers and VIP, etcd, API servers, certificates, disks, clocks, backups, and leftovers of interrupted
    commands, all at the same time. Reports one finding per root cause, the most severe first. Changes nothing. Exit status 0 when
    there is no failure and no warning, 1 otherwise, 4 when no host answers.
    """
    from runbooks.doctor.show import show  # noqa: PLC0415 - start-up time

    show(session)
