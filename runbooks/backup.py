"""Backup: one verified set per run, kept, pruned, shown, proven and read again."""

from __future__ import annotations

from typing import TYPE_CHECKING

from runbooks.engine.tasks import planned

if TYPE_CHECKING:
    from runbooks.engine.session import Session


@planned(
    help={"accept_older": "etcd's revision may be lower than in the last set (after you restored an older state on purpose)"}
)
def run(session: Session, accept_older: bool = False) -> None:
    """Save etcd, every object and every configuration.

    Makes one set in backup.directory: a proven snapshot of every reachable member of etcd, all objects of all kinds, PKI, manifests
    and load balancers. Changes nothing on the hosts. Then deletes the sets that backup.keep no longer wants. Exit status 5: a set
    was made, but something is missing in it.
    """
    from runbooks.backup_run import back_up  # noqa: PLC0415 - start-up time

    back_up(session, accept_older=accept_older)
