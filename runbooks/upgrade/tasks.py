"""Upgrades: which versions run where, and how far an upgrade has come."""

from __future__ import annotations

from typing import TYPE_CHECKING

from runbooks.engine.tasks import procedure, query

if TYPE_CHECKING:
    from runbooks.engine.session import Session


@query
def status(session: Session) -> None:
    """Show every version of every node.

    kubeadm, kubelet, kubectl, static pods (manifest and running), etcd, kube-proxy, CoreDNS, containerd, kernel. What runs is read from the
    running programs themselves. Says how far an upgrade has come and how it goes on. Exit status 0: one version everywhere, or only
    kubelets that are older than the control plane, as the version skew policy allows. Exit status 1: an upgrade is half done, versions
    do not fit one another, or something could not be read.
    """
    from runbooks.upgrade.status import show  # noqa: PLC0415 - start-up time

    show(session)


@procedure(help={"host": "the control plane host; one at a time"})
def rollback(session: Session, host: str) -> None:
    """Take the control plane of one host back to the version before its upgrade.

    Puts back the manifests that this tool or kubeadm has kept, one at a time, while the load balancers do not use the host. Refused, with
    the reason and the way: when no backup is there, a kubelet is newer, more than one minor version lies between, or etcd's data has
    been migrated. Does not touch etcd's data, certificates, packages and kubelets. The other hosts follow one by one, or go forward.
    """
    from runbooks.upgrade.rollback import rollback as go_back  # noqa: PLC0415 - start-up time

    go_back(session, host)
