"""The cluster: prepare hosts, begin it, join and remove hosts, see whether it holds what it promises."""

from __future__ import annotations

from typing import TYPE_CHECKING

from runbooks.engine.tasks import procedure, query
from runbooks.errors import PrecheckError
from runbooks.rules import cluster as rules

if TYPE_CHECKING:
    from runbooks.engine.session import Session

HOSTS = {"host": "only these, with commas; left out: every host that is to be a node"}


@query(help={"verbose": "also what is in order"})
def preflight(session: Session, verbose: bool = False) -> None:
    """See whether every host is fit for Kubernetes.

    Changes nothing. Exit status 0 when nothing would stop cluster.init, 1 otherwise; warnings stop nothing.
    """
    from runbooks.cluster.preflight import show  # noqa: PLC0415 - start-up time

    show(session, verbose)


@procedure(help=HOSTS)
def prepare(session: Session, host: str = "") -> None:
    """Make hosts ready for kubeadm.

    Kernel, containerd, packages, images. The wanted version is pinned and held. Hosts that are in the cluster are left as they are.
    """
    from runbooks.cluster.prepare import prepare_procedure  # noqa: PLC0415

    session.carry_out(prepare_procedure(session.site, session.site.named(host, "node")))


@procedure
def init(session: Session) -> None:
    """Build the cluster, or finish what is missing.

    Preflight, prepare, kubeadm init on the first control plane host, the pod network, then every other host: control plane hosts
    one at a time, workers together; and a proof at the end. Safe to run again at any time, after any interruption.
    """
    from runbooks.cluster.build import Plan, init_procedure  # noqa: PLC0415

    plan = Plan(session.site, session.site.nodes)
    init_host = rules.init_host(session.site.control_plane, plan.survey.control_plane(session.run))
    session.carry_out(init_procedure(plan, init_host))


@procedure(help=HOSTS)
def join(session: Session, host: str = "") -> None:
    """Add new hosts or replacements to the cluster.

    A fresh token and certificate key are made for each and are shown nowhere. What a host of the same name left behind, in etcd
    and among the nodes, is removed first, as far as the quorum allows it.
    """
    from runbooks.cluster.build import Plan, join_procedure  # noqa: PLC0415

    plan = Plan(session.site, session.site.named(host, "node"))
    plan.survey.serving(session.run)
    session.carry_out(join_procedure(plan))


@query(help={"to": "file to write; default: .runbooks/SITE/kubeconfig", "force": "replace a file that is of another cluster"})
def kubeconfig(session: Session, to: str = "", force: bool = False) -> None:
    """Fetch an administrator's kubeconfig.

    It leads to the VIP, and its file is private (0600): whoever has it has the cluster.
    """
    from runbooks.cluster.kubeconfig import fetch  # noqa: PLC0415

    fetch(session, to, force=force)


@query
def verify(session: Session) -> None:
    """Prove that the cluster is highly available.

    Nodes, API servers, etcd, leaders, pods, certificates, load balancers, and a write and a read through the VIP. Exit status 0
    only when all of it holds.
    """
    from runbooks.cluster.verify import verify  # noqa: PLC0415

    verify(session)


@query
def status(session: Session) -> None:
    """Show the cluster on one screen.

    Exit status 0 when everything is there and well, 1 otherwise.
    """
    from runbooks.cluster.status import show  # noqa: PLC0415

    show(session)


@procedure(help={"host": "its name", "force": "also give up pods that nobody would recreate"})
def remove(session: Session, host: str, force: bool = False) -> None:
    """Take one host out of the cluster, dead or alive.

    Refuses when etcd would lose its quorum. The host's data is gone afterwards; `inv cluster.join` brings it back as a new one.
    """
    from runbooks.cluster.remove import remove_procedure  # noqa: PLC0415

    if "," in host:
        raise PrecheckError("--host takes one name here", hint="one host after the other")
    session.carry_out(remove_procedure(session.site, session.site.host(host, "node"), force=force))


@procedure(help={"host": "only this one, when it is in no cluster", "yes_destroy": "the cluster's name, instead of the question"})
def reset(session: Session, host: str = "", yes_destroy: str = "") -> None:
    """Destroy the cluster, or what is left on a host.

    Everything that the cluster holds is lost, etcd's data first. There is no undo but a backup.
    """
    from runbooks.cluster.remove import confirm_destruction, refuse_members, reset_procedure  # noqa: PLC0415

    hosts = session.site.named(host, "node")
    if host:
        refuse_members(session.run, hosts)
    if not session.options.plan:
        confirm_destruction(session.site, hosts, yes_destroy)
    session.carry_out(reset_procedure(session.site, hosts))
