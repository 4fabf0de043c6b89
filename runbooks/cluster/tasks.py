"""The cluster: prepare hosts, build it, join and remove hosts, check it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from runbooks.engine.tasks import procedure, query
from runbooks.errors import PrecheckError

if TYPE_CHECKING:
    from runbooks.engine.session import Session

HOSTS = {"host": "only these hosts, separated by commas; default: all nodes"}


@query(help={"verbose": "also show the checks that passed"})
def preflight(session: Session, verbose: bool = False) -> None:
    """Check whether every host is fit for Kubernetes.

    Changes nothing. Exit status 0 when no check fails, 1 otherwise. Warnings do not stop cluster.init.
    """
    from runbooks.cluster.preflight import show  # noqa: PLC0415 - start-up time

    show(session, verbose)


@procedure(help=HOSTS)
def prepare(session: Session, host: str = "") -> None:
    """Make hosts ready for kubeadm.

    What `baseline` in hosts.yaml names; kernel, packages, containerd, images. The version of hosts.yaml is installed and held. On hosts in
    the cluster only what needs no drain is changed.
    """
    from runbooks.baseline import leftovers  # noqa: PLC0415
    from runbooks.cluster.prepare import prepare_procedure  # noqa: PLC0415
    from runbooks.local import registry_logins  # noqa: PLC0415

    registry_logins.passwords(session.site)  # before any host is touched: can they be read?
    hosts = session.site.named(host, "node")
    session.carry_out(prepare_procedure(session.site, hosts, leftovers(session.run, hosts)))


@procedure
def init(session: Session) -> None:
    """Build the cluster, or complete it.

    Preflight, prepare, kubeadm init on the first control plane host, the pod network, then every other host joins, all
    at the same time. Verifies the cluster at the end.
    Safe to run again, also after an interruption.
    Exit status 5: done, but the load balancers lack a host; the next command is named.
    """
    from runbooks.cluster.ahead import look_ahead  # noqa: PLC0415
    from runbooks.cluster.balancers import name_setup  # noqa: PLC0415
    from runbooks.cluster.build import Plan, init_procedure  # noqa: PLC0415
    from runbooks.local import registry_logins  # noqa: PLC0415
    from runbooks.rules.cluster import init_host  # noqa: PLC0415

    registry_logins.passwords(session.site)
    plan = Plan(session.site, session.site.nodes)
    look_ahead(session.run, plan.survey)
    first = init_host(session.site.control_plane, plan.survey.control_plane(session.run))
    session.carry_out(init_procedure(plan, first))
    name_setup(session, fresh=False)


@procedure(help=HOSTS | {"others": "first remove from etcd the dead members of other hosts, which keep every host from joining"})
def join(session: Session, host: str = "", others: bool = False) -> None:
    """Add new hosts or replacements to the cluster.

    The hosts get a new token and certificate key, which are never shown. The etcd member and the node that an earlier host of the
    same name left are removed first, unless etcd would lose its quorum. The new node gets the labels, taints and annotations of the
    earlier one. Refused (3) while another member of etcd is dead. Exit status 5: done, but the load balancers lack a host; the next
    command is named.
    """
    from runbooks.cluster.balancers import name_setup  # noqa: PLC0415
    from runbooks.cluster.build import Plan, join_procedure  # noqa: PLC0415
    from runbooks.local import registry_logins  # noqa: PLC0415
    from runbooks.rules.etcd_full import refuse_full  # noqa: PLC0415
    from runbooks.view import etcd  # noqa: PLC0415

    registry_logins.passwords(session.site)
    plan = Plan(session.site, session.site.named(host, "node"), others=others)
    plan.survey.serving(session.run)
    names = ",".join(map(str, plan.hosts))
    refuse_full(etcd.view(session.run, plan.survey.reachable(session.run)), f"inv cluster.join --host {names}")
    session.carry_out(join_procedure(plan))
    name_setup(session)


@query(
    help={
        "to": "file to write; default: .runbooks/SITE/kubeconfig",
        "force": "replace a file of another cluster",
        "vip": "by the VIP's address, for a machine that does not know endpoint.name; the certificate is still checked for the name",
    }
)
def kubeconfig(session: Session, to: str = "", force: bool = False, vip: bool = False) -> None:
    """Fetch an administrator's kubeconfig.

    Its server is the VIP. The file is private (0600): whoever can read it can do everything in the cluster.
    """
    from runbooks.cluster.kubeconfig import fetch  # noqa: PLC0415

    fetch(session, to, force=force, vip=vip)


@query
def verify(session: Session) -> None:
    """Verify that the cluster is highly available.

    Nodes, API servers, etcd, leaders, pods, certificates, load balancers, and a write and a read through the VIP. Exit status 0
    only when every check passes.
    """
    from runbooks.cluster.verify import verify  # noqa: PLC0415

    verify(session)


@query
def status(session: Session) -> None:
    """Show the cluster on one screen.

    Exit status 0 when every host is there and healthy, 1 otherwise.
    """
    from runbooks.cluster.status import show  # noqa: PLC0415

    show(session)


@procedure(
    help={
        "host": "its name",
        "force": "also delete pods that no controller recreates",
        "delete-emptydir-data": "also evict pods with emptyDir volumes: the data in them are lost",
    }
)
def remove(session: Session, host: str, force: bool = False, delete_emptydir_data: bool = False) -> None:
    """Remove one host from the cluster, dead or alive.

    Refuses when etcd would lose its quorum. Pods that would lose data by their eviction stop it, and are named, unless a flag lets them
    go. Deletes the host's data; `inv cluster.join` adds it again as an empty host, with the
    labels, taints and annotations of its node.
    """
    from runbooks.cluster.balancers import name_left  # noqa: PLC0415
    from runbooks.cluster.drain import Named  # noqa: PLC0415
    from runbooks.cluster.remove import remove_procedure  # noqa: PLC0415

    if "," in host:
        raise PrecheckError("--host takes one name: hosts are removed one at a time", hint="run the command once for each host")
    gone = session.site.host(host, "node")
    session.carry_out(remove_procedure(session.site, gone, Named(force, delete_emptydir_data)))
    name_left(session, gone)


@procedure(
    help={
        "host": "only this host; refused when it is in a cluster in service",
        "yes_destroy": "the cluster's name, to confirm without a question",
    }
)
def reset(session: Session, host: str = "", yes_destroy: str = "") -> None:
    """Destroy the cluster, or what is left on a host.

    Deletes everything that the cluster holds, etcd's data included. Only a backup can bring it back. Packages, images, containerd and what baseline names stay.
    """
    from runbooks.cluster.remove import STAYS, confirm_destruction, refuse_members, reset_procedure  # noqa: PLC0415

    hosts = session.site.named(host, "node")
    if host:
        refuse_members(session.run, hosts)
    if not session.options.plan:
        confirm_destruction(session.site, hosts, yes_destroy)
    session.carry_out(reset_procedure(session.site, hosts))
    session.run.listener.say(STAYS)
