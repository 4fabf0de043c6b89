"""Upgrades: which versions run where, and how far an upgrade has come."""

from __future__ import annotations

from typing import TYPE_CHECKING

from runbooks.engine.tasks import query

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
