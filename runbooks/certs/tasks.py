"""Certificates: how long they are valid, whether those in the files are those that are served, and new ones in time."""

from __future__ import annotations

from typing import TYPE_CHECKING

from runbooks.engine.tasks import procedure, query

if TYPE_CHECKING:
    from runbooks.engine.session import Session

DAYS = "how many days have to be left (30)"


@query(help={"days": DAYS})
def check(session: Session, days: int = 30) -> None:
    """Show every certificate, the most urgent first.

    Masters, workers' kubelets, kubeconfigs, what is served on each port and through the VIP. Exit status 0: all is well; 1: one has
    ended, ends soon, or is served otherwise than in its file; 4: a host could not be asked, and the rest is well.
    """
    from runbooks.certs.check import check  # noqa: PLC0415 - start-up time

    check(session, days)


@procedure(help={"host": "only these masters, with commas", "days": DAYS, "force": "also those that are valid for longer"})
def renew(session: Session, host: str = "", days: int = 30, force: bool = False) -> None:
    """Renew the masters' certificates, host by host.

    Everything that kubeadm manages, never a CA. Static pods are restarted, and what each port then serves is compared with the file.
    The next host waits until etcd and the API server of this one are well. What was there before is kept on each host.
    """
    from runbooks.certs.renew import renew  # noqa: PLC0415 - start-up time

    renew(session, host, days=days, force=force)
