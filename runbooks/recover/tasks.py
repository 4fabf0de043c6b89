"""Recover an etcd member, a node, etcd's quorum, certificates, the VIP, a load balancer, or the whole control plane."""

from __future__ import annotations

from typing import TYPE_CHECKING

from runbooks.engine.tasks import procedure

if TYPE_CHECKING:
    from runbooks.engine.session import Session

OTHERS = "first remove from etcd the dead members of other hosts, which keep every host from joining"


@procedure(
    name="etcd-member",
    help={
        "member": "host, member name, address or ID",
        "rejoin": "set its data aside and join it again, even if its data looks good",
        "no_backup": "do not make a backup first (for example: no disk space)",
        "others": OTHERS,
    },
)
def etcd_member(session: Session, member: str, *, rejoin: bool = False, no_backup: bool = False, others: bool = False) -> None:
    """Repair or replace one member of etcd.

    Finds out what is wrong and shows it first. A member with good data is only started. A member whose data is lost or unusable joins
    again as an empty one; its data is set aside. A host that is gone or was reinstalled is removed and joined from scratch.
    Refuses to do what would cost the quorum, and to join while another member is dead (--others removes those first).
    """
    from runbooks.recover.member.procedure import recover  # noqa: PLC0415 - start-up time

    recover(session, member, rejoin=rejoin, backup=not no_backup, others=others)


@procedure(
    help={
        "host": "its name, as in hosts.yaml",
        "no_backup": "do not make a backup first (for example: no disk space)",
        "others": OTHERS,
    }
)
def node(session: Session, host: str, *, no_backup: bool = False, others: bool = False) -> None:
    """Replace a node by an empty machine.

    The new machine has the name and the address of the old one, but another host key: accept it with
    `inv site.trust --host HOST --replace`. The old etcd member and the old Node are removed first.
    Refused (3) while the etcd member of another host is dead: it would keep this one from joining.
    """
    from runbooks.recover.member.procedure import replace  # noqa: PLC0415 - start-up time

    replace(session, host, backup=not no_backup, others=others)


TAKE_OVER = "replace configurations that are not from lb.setup; lb.rollback --original brings them back"


@procedure(help={"take_over": TAKE_OVER})
def vip(session: Session, take_over: bool = False) -> None:
    """Bring the VIP back to exactly one load balancer.

    For no holder, two holders, or one that does not serve. Finds out why and shows it with the evidence; repairs what is safely
    repaired (services, drifted files, our own firewall rules), the standby first; names the command for everything else.
    """
    from runbooks.recover.vip.procedure import recover  # noqa: PLC0415 - start-up time

    recover(session, take_over=take_over)


@procedure
def certs(session: Session) -> None:
    """Renew every certificate, also when all have ended.

    From the files alone when the API is down: kubeadm's certificates on every master, the kubelets' own where they could not renew
    them any more, static pods restarted, what is served compared with the files. CAs are never touched.
    """
    from runbooks.recover.certs import recover  # noqa: PLC0415 - start-up time

    recover(session)


@procedure(help={"host": "its name, as in hosts.yaml", "take_over": TAKE_OVER})
def lb(session: Session, host: str, take_over: bool = False) -> None:
    """Replace a load balancer by an empty machine.

    The new machine has the old one's name and address. Its host key is another one, and accepted only by
    `inv site.trust --host HOST --replace`. The other load balancer has to serve meanwhile; the VIP stays with it.
    """
    from runbooks.recover.lb import recover  # noqa: PLC0415 - start-up time

    recover(session, host, take_over=take_over)


@procedure(
    name="etcd-quorum",
    help={
        "backup": "restore this set (inv backup.list)",
        "snapshot": "restore this file, a snapshot of etcd",
        "from_member": "restore the database of this host",
        "identity": "file of age's private key, for an encrypted set",
        "yes_restore": "the cluster's name, instead of the question",
        "insist": "restore although there is a quorum, or a majority that can be started",
        "anew": "give up an interrupted restore, and begin another one",
    },
)
def etcd_quorum(  # noqa: PLR0913 - flags
    session: Session,
    *,
    backup: str = "",
    snapshot: str = "",
    from_member: str = "",
    identity: str = "",
    yes_restore: str = "",
    insist: bool = False,
    anew: bool = False,
) -> None:
    """Restore etcd after most of its members are lost.

    Proves that the quorum is lost and that no majority can simply be started. Takes the newest set, or a survivor's database if that
    is newer. Shows what will be lost and asks for the cluster's name. Restores onto every control plane host that is left, keeps
    the old data, and makes a backup. Exit status 5: it serves, but hosts are still missing.
    """
    from runbooks.recover.quorum.decide import RestoreOptions  # noqa: PLC0415 - start-up time
    from runbooks.recover.quorum.procedure import recover  # noqa: PLC0415

    recover(
        session,
        RestoreOptions(
            backup=backup,
            snapshot=snapshot,
            from_member=from_member,
            identity=identity,
            yes=yes_restore,
            insist=insist,
            anew=anew,
        ),
    )


@procedure(
    name="control-plane",
    help={
        "backup": "restore this set (inv backup.list); default: the newest",
        "identity": "file of age's private key, for an encrypted set",
        "yes_restore": "the cluster's name, instead of the question",
    },
)
def control_plane(session: Session, *, backup: str = "", identity: str = "", yes_restore: str = "") -> None:
    """Restore a control plane that lost every host.

    Onto empty machines with the names and addresses of the old ones. Prepares them, puts back PKI, kubeconfigs and manifests from a
    set, and restores etcd from the same set (as recover.etcd-quorum does). Asks for the cluster's name. Workers keep their identity.
    """
    from runbooks.recover.control_plane import recover  # noqa: PLC0415 - start-up time
    from runbooks.recover.quorum.decide import RestoreOptions  # noqa: PLC0415

    recover(session, RestoreOptions(backup=backup, identity=identity, yes=yes_restore))
