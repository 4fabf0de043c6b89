"""Drills: break one thing on purpose, measure what clients see, undo it, and judge."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from runbooks.engine.tasks import planned, query

if TYPE_CHECKING:
    from runbooks.engine.session import Session

FLAGS: Final = {"no_backup": "do not ask for a fresh good backup"}
HOST: Final = {"host": "the host to break; default: the one whose loss is hardest", **FLAGS}


@planned(help=HOST)
def kubelet(session: Session, host: str = "", no_backup: bool = False) -> None:
    """Stop the kubelet of a node.

    The node becomes NotReady; clients of the API should notice nothing. Default: the last node of hosts.yaml. Undone by this command, and
    by a timer of the host itself, whatever becomes of this command. Exit status 0: every objective held; 1: one was violated; 5: could not tell.
    """
    _drill(session, "kubelet", host, no_backup)


@planned(help=HOST)
def apiserver(session: Session, host: str = "", no_backup: bool = False) -> None:
    """Kill an API server, and keep it away.

    The load balancers should stop using it. Default: the last control plane host. Undone by this command, and by a timer of the host itself.
    Exit status 0: every objective held; 1: one was violated; 5: could not tell.
    """
    _drill(session, "apiserver", host, no_backup)


@planned(help=HOST)
def etcd(session: Session, host: str = "", no_backup: bool = False) -> None:
    """Kill a member of etcd, and keep it away.

    Default: the leader. No acknowledged write may be lost. Undone by this command, and by a timer of the host itself.
    Exit status 0: every objective held; 1: one was violated; 5: could not tell.
    """
    _drill(session, "etcd", host, no_backup)


@planned(help=HOST)
def master(session: Session, host: str = "", no_backup: bool = False) -> None:
    """Stop a whole control plane host's work.

    Its kubelet is stopped; API server, etcd, scheduler and controller-manager are killed. In the lab the host is cut from the network instead, except SSH,
    as if it had lost its power; that needs nftables there. Default: the host of etcd's leader. Undone by this command, by a timer of the host itself, and by a
    reboot. Exit status 0: every objective held; 1: one was violated; 5: could not tell.
    """
    _drill(session, "master", host, no_backup)


@planned(help=HOST)
def haproxy(session: Session, host: str = "", no_backup: bool = False) -> None:
    """Stop HAProxy where the VIP is.

    The VIP should move to the other load balancer. Undone by this command, by a timer of the host itself, and by a reboot.
    Exit status 0: every objective held; 1: one was violated; 5: could not tell.
    """
    _drill(session, "haproxy", host, no_backup)


@planned(help=HOST)
def lb(session: Session, host: str = "", no_backup: bool = False) -> None:
    """Cut the load balancer with the VIP off.

    All but SSH. The other load balancer should take the VIP. Needs nftables there. Undone by this command, by a timer of the host itself, and
    by a reboot. Exit status 0: every objective held; 1: one was violated; 5: could not tell.
    """
    _drill(session, "lb", host, no_backup)


@planned(help=HOST)
def partition(session: Session, host: str = "", no_backup: bool = False) -> None:
    """Cut a control plane host off its peers.

    Not off clients. Its API server should fail and never answer old. Default: the host of etcd's leader. Needs nftables there. Undone by this command, by a
    timer of the host itself, and by a reboot. Exit status 0: every objective held; 1: one was violated; 5: could not tell.
    """
    _drill(session, "partition", host, no_backup)


@planned(name="slow-disk", help=HOST)
def slow_disk(session: Session, host: str = "", no_backup: bool = False) -> None:
    """Slow down the disk of a member of etcd.

    Only etcd's own writes there wait; needs etcd on a real disk. Default: the leader, which may lose its leadership. Undone by this
    command, by a timer of the host itself, and by a reboot. Exit status 0: every objective held; 1: one was violated; 5: could not tell.
    """
    _drill(session, "slow-disk", host, no_backup)


@planned(name="all", help=FLAGS)
def all_(session: Session, no_backup: bool = False) -> None:
    """Carry out every drill in turn.

    The regular exercise. Each on the host whose loss is hardest; the next one begins when the cluster has recovered. Exit status 0: every objective of every
    drill held; 1: one was violated; 5: could not tell, also because a drill is not possible on its host and was left out.
    """
    from runbooks.drill.run import all_ as every  # noqa: PLC0415 - start-up time

    every(session, backup=not no_backup)


@planned(help={"host": "only on this host"})
def heal(session: Session, host: str = "") -> None:
    """Undo at once what drills have broken.

    For a drill whose command was killed, when nobody wants to wait until the host undoes it by itself. Does nothing where no drill is at work.
    """
    from runbooks.drill.run import heal as undo  # noqa: PLC0415 - start-up time

    undo(session, host)


@query(name="list", help={"at_work": "ask the hosts which drills are at work now"})
def list_(session: Session, at_work: bool = False) -> None:
    """List the drills and what each has shown last.

    With the objectives. Connects to no host without --at-work.
    """
    from runbooks.drill import show  # noqa: PLC0415 - start-up time

    if at_work:
        show.at_work(session)
    else:
        show.listing(session)


@query(help={"last": "number of drills to show; 0: all that are kept"})
def history(session: Session, last: int = 20) -> None:
    """Show the verdicts and figures of earlier drills.

    Newest first. "!" marks what was violated, "?" what could not be told. Connects to no host.
    """
    from runbooks.drill.show import history as trend  # noqa: PLC0415 - start-up time

    trend(session, last)


def _drill(session: Session, name: str, host: str, no_backup: bool) -> None:
    from runbooks.drill.run import one  # noqa: PLC0415 - start-up time

    one(session, name, host, backup=not no_backup)
