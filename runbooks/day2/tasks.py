"""Nodes out of service and back, and reboots: commands of the chapter cluster."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from runbooks.engine.tasks import procedure, query
from runbooks.upgrade.rules.flags import CHOICES

if TYPE_CHECKING:
    from runbooks.engine.session import Session
    from runbooks.upgrade.rules.choices import Choices

HOSTS: Final = {"host": "one node, or several separated by commas"}
DRAINS: Final = {name: CHOICES[name] for name in ("drain_timeout", "delete_emptydir_data", "force_pods")}


def _choices(session: Session, **flags: Any) -> Choices:
    from runbooks.upgrade.rules.choices import choices  # noqa: PLC0415 - start-up time

    return choices(session.site, to=session.site.kubernetes.version, **flags)


@query
def diff(session: Session) -> None:
    """Show what differs from hosts.yaml.

    Changes nothing. Compares hosts.yaml with what is in force: labels, annotations and taints of nodes, flags of the control plane,
    the configuration of kubelets and kube-proxy, files, kernel settings and packages of every host, the load balancers' files. What was
    edited by hand on a host is told apart. Each difference has the command that brings it about. Exit status 0 only when nothing differs.
    """
    from runbooks.day2.diff import show  # noqa: PLC0415 - start-up time

    show(session)


@procedure(
    help={
        "only": "only these topics, separated by commas: hosts, nodes, containerd, control-plane, kubelet, kube-proxy",
        "host": "only these nodes, separated by commas; default: all",
        "drop": "also take out flags of the control plane, and settings of containerd, that hosts.yaml does not name",
    }
)
def reconfigure(session: Session, only: str = "", host: str = "", drop: bool = False) -> None:
    """Bring about what hosts.yaml says.

    Modules, sysctls, files and the baseline of nodes. Labels, annotations and taints of nodes. containerd's configuration, registries, runtimes and proxy: each
    node drained, a worker first. Flags, volumes and the audit policy of the control plane: one host at a time, etcd's leader last,
    out of the load balancers meanwhile. The configuration of kubelets (a worker first) and of kube-proxy. The first host has to run with what is new; when it
    does not, its files are put back, and no other host is touched. Refused (3) is what a living cluster cannot change. What clients see
    is measured.
    """
    from runbooks.day2.reconfigure import reconfigure_cluster, topics  # noqa: PLC0415 - start-up time

    chosen = topics(only)
    reconfigure_cluster(session, session.site.named(host, "node"), chosen, _choices(session), drop=drop)


@procedure(help=HOSTS)
def cordon(session: Session, host: str) -> None:
    """Keep new Pods away from nodes.

    Pods that run there stay. It lasts until `inv cluster.uncordon`: upgrades and reboots leave such a node cordoned.
    """
    from runbooks.day2.cordons import cordoned  # noqa: PLC0415 - start-up time

    session.carry_out(cordoned(session.site.named(host, "node")))


@procedure(help=HOSTS | DRAINS)
def drain(
    session: Session, host: str, drain_timeout: int = 300, delete_emptydir_data: bool = False, force_pods: str = ""
) -> None:
    """Cordon nodes and move their Pods away.

    One node after the other. All drains are simulated before, with budgets and where the Pods find a place: refused (3) when one of them
    would not end. The nodes stay cordoned until `inv cluster.uncordon`, also when a drain fails. --plan only says what it would do.
    """
    from runbooks.day2.cordons import drain as carry_out  # noqa: PLC0415 - start-up time

    flags = {"drain_timeout": drain_timeout, "delete_emptydir_data": delete_emptydir_data, "force_pods": force_pods}
    carry_out(session, session.site.named(host, "node"), _choices(session, **flags))


@procedure(help=HOSTS)
def uncordon(session: Session, host: str) -> None:
    """Let nodes take Pods again.

    Refused (3) while an upgrade or a reboot has the node in work: the same command again finishes that.
    """
    from runbooks.day2.cordons import uncordoned  # noqa: PLC0415 - start-up time

    session.carry_out(uncordoned(session.site.named(host, "node")))


@procedure(
    help={
        "host": "these hosts, separated by commas",
        "all": "every host of the site",
        "if_needed": "only hosts with a newer kernel or C library than what runs, or whose system asks for a reboot",
        "within": "seconds that a host gets to come back",
        "forget": "give up an interrupted run: nothing is rebooted, its hosts take Pods and connections again",
        "workers_at_once": CHOICES["workers_at_once"],
        **DRAINS,
    }
)
def reboot(  # noqa: PLR0913 - flags
    session: Session,
    *,
    host: str = "",
    all: bool = False,  # noqa: A002 - the flag's name
    if_needed: bool = False,
    within: int = 900,
    forget: bool = False,
    workers_at_once: str = "1",
    drain_timeout: int = 300,
    delete_emptydir_data: bool = False,
    force_pods: str = "",
) -> None:
    """Reboot hosts, one after the other.

    Workers first, one of them alone; then the control plane, etcd's leader last, each out of the load balancers; then the load balancers,
    the standby first, the VIP is handed over before the other one and back in the end. Nodes are drained, and have to start a Pod after
    the reboot before they take Pods again. A host that does not come back ends the run. Interrupted, the same command goes on.
    """
    from runbooks.day2.reboot import give_up, reboot_hosts, wanted  # noqa: PLC0415 - start-up time

    if forget:
        give_up(session)
        return
    asked = wanted(session.site, host, every=all, if_needed=if_needed)
    flags = {"drain_timeout": drain_timeout, "delete_emptydir_data": delete_emptydir_data, "force_pods": force_pods}
    reboot_hosts(session, asked, _choices(session, workers_at_once=workers_at_once, **flags), within)
