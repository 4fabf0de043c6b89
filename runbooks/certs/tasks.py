"""Certificates: how long they are valid, whether the programs serve those in the files, and how they are renewed in time."""

from __future__ import annotations

from typing import TYPE_CHECKING

from runbooks.engine.tasks import procedure, query

if TYPE_CHECKING:
    from runbooks.engine.session import Session

DAYS = "a certificate is due when it expires within so many days (30)"


@query(help={"days": DAYS})
def check(session: Session, days: int = 30) -> None:
    """Show every certificate, the most urgent first.

    Looks at control plane hosts, kubelets, kubeconfigs, and at the certificate that each port and the VIP serve. Exit status 0: all
    is well; 1: a certificate has expired, expires soon, or differs from its file; 4: a host could not be asked, and the rest is well.
    """
    from runbooks.certs.check import check  # noqa: PLC0415 - start-up time

    check(session, days)


@procedure(
    help={
        "host": "only these control plane hosts, with commas between them",
        "days": DAYS,
        "force": "renew also those that are valid for longer",
    }
)
def renew(session: Session, host: str = "", days: int = 30, force: bool = False) -> None:
    """Renew the control plane's certificates.

    Renews everything that kubeadm manages, but never a CA, one host at a time. Restarts static pods, then compares the certificate
    that each port serves with its file. The next host waits until etcd and the API server of this one are healthy. Each host keeps
    a copy of its previous certificates.
    """
    from runbooks.certs.renew import renew  # noqa: PLC0415 - start-up time

    renew(session, host, days=days, force=force)
