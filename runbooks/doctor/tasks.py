"""The doctor: looks at the whole site, and says what is wrong, why, and which command mends it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from runbooks.engine.tasks import query

if TYPE_CHECKING:
    from runbooks.engine.session import Session


@query
def examine(session: Session) -> None:
    """Find what is wrong, and the command for it.

    Looks at everything at the same time: hosts, load balancers and VIP, etcd, API servers, certificates, disks, clocks, backups, and
    what interrupted work has left behind. One cause is one finding, the gravest first. Changes nothing. Exit status 0 when no failure
    and no warning is found, 1 otherwise, 4 when no host answers.
    """
    from runbooks.doctor.show import show  # noqa: PLC0415 - start-up time

    show(session)
