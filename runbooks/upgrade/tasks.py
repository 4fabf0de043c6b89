"""Upgrades: which versions run where, and how far an upgrade has come."""

from __future__ import annotations

from typing import TYPE_CHECKING

from runbooks.engine.tasks import procedure, query
from runbooks.upgrade.rules.flags import CHOICES

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


@query(help=CHOICES)
def plan(  # noqa: PLR0913 - flags
    session: Session,
    to: str,
    *,
    hops: bool = False,
    only: str = "",
    pause_after: str = "",
    until: str = "",
    workers_at_once: str = "1",
    drain_timeout: int = 300,
    delete_emptydir_data: bool = False,
    force_pods: str = "",
    no_backup: bool = False,
) -> None:
    """Say what would stop an upgrade, and when.

    Changes nothing. Looks at the path, at settings and APIs that the target no longer takes, etcd, packages, room, backups, certificates,
    the load balancers, and at what was changed by hand; simulates every drain in the order of the run. Prints all findings in one table and
    when each host's turn comes, from past runs where there are some. Exit status 0: upgrade.run would be let through. Exit status 1: it
    would be refused, or something that decides about it could not be read.
    """
    flags = {name: value for name, value in locals().items() if name != "session"}
    from runbooks.upgrade.plan import show  # noqa: PLC0415 - start-up time
    from runbooks.upgrade.rules.choices import choices  # noqa: PLC0415

    show(session, choices(session.site, **flags))


@procedure(help={"host": "the control plane host; one at a time"})
def rollback(session: Session, host: str) -> None:
    """Take one host back to the version before.

    Puts back the manifests that this tool or kubeadm has kept, one at a time, while the load balancers do not use the host. Refused, with
    the reason and the way: when no backup is there, a kubelet is newer, more than one minor version lies between, or etcd's data has
    been migrated. Does not touch etcd's data, certificates, packages and kubelets. The other hosts follow one by one, or go forward.
    """
    from runbooks.upgrade.rollback import rollback as go_back  # noqa: PLC0415 - start-up time

    go_back(session, host)


RUN_CHOICES = CHOICES | {"max_failed": "of how many workers the upgrade may fail before the run ends"}


@procedure(help=RUN_CHOICES)
def run(  # noqa: PLR0913 - flags
    session: Session,
    to: str,
    *,
    hops: bool = False,
    only: str = "",
    pause_after: str = "",
    until: str = "",
    workers_at_once: str = "1",
    max_failed: int = 0,
    drain_timeout: int = 300,
    delete_emptydir_data: bool = False,
    force_pods: str = "",
    no_backup: bool = False,
) -> None:
    """Upgrade Kubernetes.

    Backup; packages and images; kubeadm on every control plane host, etcd's leader last, each taken out of the load balancers meanwhile;
    then every kubelet, node by node, drained. After each node a gate. What clients of the VIP see is measured. Interrupted at any moment,
    the same command goes on from what the nodes run. Exit status 3: the plan refuses it, nothing was changed; 5: not all nodes are done.
    """
    flags = {name: value for name, value in locals().items() if name != "session"}
    from runbooks.upgrade.rules.choices import choices  # noqa: PLC0415 - start-up time
    from runbooks.upgrade.run import upgrade  # noqa: PLC0415

    upgrade(session, choices(session.site, **flags))


NEWEST = "; without it, the newest that the host's repositories offer"


@procedure(
    help={
        "to_haproxy": f"the version of haproxy, such as 2.6.12{NEWEST}",
        "to_keepalived": f"the version of keepalived, such as 2.2.7{NEWEST}",
    }
)
def lb(session: Session, to_haproxy: str = "", to_keepalived: str = "") -> None:
    """Upgrade haproxy and keepalived.

    Before anything is installed, the new programs check the configuration of every load balancer. Then the standby is upgraded and has
    to prove that it serves, the VIP moves to it (as by lb.failover, measured), the other one is upgraded, and the VIP goes back to the one
    that held it. New packages that do not work are replaced by the old ones. A load balancer that is at its versions is left alone.
    """
    from runbooks.upgrade.lb import upgrade_lb  # noqa: PLC0415 - start-up time

    upgrade_lb(session, to_haproxy, to_keepalived)


@procedure(
    help={
        "to_containerd": f"the version of containerd, such as 1.7.24{NEWEST}",
        "to_runc": f"the version of runc, such as 1.1.15{NEWEST}",
        "only": "only these nodes, separated by commas",
        **{name: CHOICES[name] for name in ("workers_at_once", "drain_timeout", "delete_emptydir_data", "force_pods")},
    }
)
def containerd(  # noqa: PLR0913 - flags
    session: Session,
    *,
    to_containerd: str = "",
    to_runc: str = "",
    only: str = "",
    workers_at_once: str = "1",
    drain_timeout: int = 300,
    delete_emptydir_data: bool = False,
    force_pods: str = "",
) -> None:
    """Upgrade containerd and runc.

    Node by node. Before anything is drained, the new containerd reads the configuration of every node. Each node is drained, gets its
    packages, has to start a Pod with them, and takes Pods again. Control plane hosts one at a time, out of the load balancers, the host of
    etcd's leader last. New packages that do not work are replaced by the old ones. Refused while an upgrade of Kubernetes is half done.
    """
    from runbooks.upgrade.containerd import upgrade_containerd  # noqa: PLC0415 - start-up time
    from runbooks.upgrade.rules.choices import choices  # noqa: PLC0415

    chosen = choices(
        session.site,
        to=session.site.kubernetes.version,  # of Kubernetes, which stays as it is
        only=only,
        workers_at_once=workers_at_once,
        drain_timeout=drain_timeout,
        delete_emptydir_data=delete_emptydir_data,
        force_pods=force_pods,
    )
    upgrade_containerd(session, chosen, {"containerd": to_containerd, "containerd.io": to_containerd, "runc": to_runc})
