"""Backup: one verified set per run, kept, pruned, shown, proven and read again."""

from __future__ import annotations

from typing import TYPE_CHECKING

from runbooks.engine.tasks import planned, query

if TYPE_CHECKING:
    from runbooks.engine.session import Session


@planned(
    help={"accept_older": "etcd's revision may be lower than in the last set (after you restored an older state on purpose)"}
)
def run(session: Session, accept_older: bool = False) -> None:
    """Save etcd, every object and every configuration.

    Makes one set in backup.directory: a proven snapshot of every reachable member of etcd, all objects of all kinds, PKI, manifests
    and load balancers. Changes nothing on the hosts. Then deletes the sets that backup.keep no longer wants. Exit status 5: a set
    was made, but something is missing in it.
    """
    from runbooks.backup.run.procedure import back_up  # noqa: PLC0415 - start-up time

    back_up(session, accept_older=accept_older)


@query(name="list")
def list_(session: Session) -> None:
    """List sets: age, state, size, verified, off-site.

    Newest first; no host is asked. A set that cannot be read is listed as damaged, with the reason below.
    """
    from runbooks.backup.read.show import show_list  # noqa: PLC0415 - start-up time

    show_list(session)


@query(help={"id_": "the set; the newest when it is not given", "all_": "every kind and every file"})
def show(session: Session, id_: str = "", all_: bool = False) -> None:
    """Show what is in a set, and what is missing.

    Times, etcd's members, snapshots and revision, objects of each kind, what took how long; no host is asked. --json gives the
    whole manifest.
    """
    from runbooks.backup.read.show import show_set  # noqa: PLC0415 - start-up time

    show_set(session, id_, whole=all_)


@planned(help={"id_": "this set and no other; also one that cannot be read"})
def prune(session: Session, id_: str = "") -> None:
    """Delete the sets that backup.keep no longer wants.

    Shows of each set whether it stays, and why. The newest good set is never deleted, and one that cannot be read only when you
    name it. No host is asked.
    """
    from runbooks.backup.run.prune import prune as delete  # noqa: PLC0415 - start-up time

    delete(session, id_)


@planned(
    help={
        "at": 'when, in the words of cron and in local time: "17 2 * * *", @daily',
        "timer": "a timer of systemd's instead of an entry of cron's",
        "timeout": "a run that takes longer is ended (90m, 3h)",
        "host": "this host of hosts.yaml makes the backups; needs --checkout",
        "checkout": "where this tool lies on that host",
        "site": "the site file on that host; default: hosts.yaml in its checkout",
    }
)
def schedule(  # noqa: PLR0913 - flags
    session: Session, at: str, *, timer: bool = False, timeout: str = "3h", host: str = "", checkout: str = "", site: str = ""
) -> None:
    """Let cron or systemd make backups from now on.

    Runs scripts/ha-backup, which has a time limit, a log, and something to say only when a run did not go well. Run again with other
    words it replaces what it wrote; everything else in the crontab stays as it is.
    """
    from runbooks.backup.schedule import local, remote  # noqa: PLC0415 - start-up time

    entry = local.new_entry(session, at, timeout)
    if host or checkout or site:
        remote.install(session, remote.placing(session, entry, (host, checkout, site), timer=timer))
    else:
        local.install(session, entry, timer=timer)


@planned(help={"host": "on this host of hosts.yaml instead of on this machine"})
def unschedule(session: Session, host: str = "") -> None:
    """Take back what backup.schedule has installed.

    Sets, logs and everything else in the crontab stay; a run that is under way goes on.
    """
    from runbooks.backup.schedule import local, remote  # noqa: PLC0415 - start-up time

    if host:
        remote.remove(session, session.site.host(host))
    else:
        local.remove(session)


@query(help={"host": "ask the checkout that is scheduled on this host"})
def status(session: Session, host: str = "") -> None:
    """Check the newest good set, and the schedule.

    Exit status 1 when the newest good set is older than backup.max_age_h, when there is none, when a schedule is installed that
    nobody runs, or when a run did not come. Without --host no host is asked.
    """
    from runbooks.backup.schedule import remote  # noqa: PLC0415 - start-up time
    from runbooks.backup.status import show as show_status  # noqa: PLC0415

    if host:
        remote.show_status(session, session.site.host(host))
    else:
        show_status(session)


@query
def check(session: Session) -> None:
    """Say whether a run that nobody watches would work.

    The directory, age and restic as far as they are configured, keys without a passphrase. Connects to nothing. `scripts/ha-backup
    --check` asks this in an environment as bare as cron's.
    """
    from runbooks.backup.schedule import ready  # noqa: PLC0415 - start-up time

    ready.check(session)


@query(
    help={
        "id_": "the set; the newest when it is not given",
        "all_": "every set",
        "identity": "file of age's private key; default: backup.age.identity of hosts.yaml",
    }
)
def verify(session: Session, id_: str = "", all_: bool = False, identity: str = "") -> None:
    """Prove that a set is still what it was.

    Compares every file with the manifest, restores every snapshot into a private directory, reads and counts every object; tells
    everything that is wrong, and which snapshots are usable all the same. No host is asked. Exit status 1 when anything is wrong. Of
    an encrypted set without an identity only the files are compared.
    """
    from runbooks.backup.read.verify import verify as verify_sets  # noqa: PLC0415 - start-up time

    verify_sets(session, id_, identity, everything=all_)


@query(
    help={
        "id_": "the set; the newest when it is not given",
        "host": "whose snapshot; default: the one with the newest revision",
        "identity": "file of age's private key; default: backup.age.identity of hosts.yaml",
    }
)
def restore_test(session: Session, id_: str = "", host: str = "", identity: str = "") -> None:
    """Boot an etcd from a set and compare what it shows.

    It runs in a private directory of this machine, is reachable only there, and is gone afterwards. All keys are counted, and
    samples compared, with what the cluster showed at the snapshot's revision. No host is asked.
    """
    from runbooks.backup.read.restore_test import restore_test as boot_and_compare  # noqa: PLC0415 - start-up time

    boot_and_compare(session, name=id_, host=host, identity=identity)


@planned(
    help={
        "to": "a directory that is not there yet",
        "id_": "the set; the newest when it is not given",
        "identity": "file of age's private key; default: backup.age.identity of hosts.yaml",
    }
)
def decrypt(session: Session, to: str, id_: str = "", identity: str = "") -> None:
    """Put a whole set in plaintext into a directory.

    The copy is a set without encryption, with a manifest of its own. It holds every secret of the cluster. No host is asked.
    """
    from runbooks.backup.read.decrypt import decrypt as write_decrypted  # noqa: PLC0415 - start-up time

    write_decrypted(session, to=to, name=id_, identity=identity)


@planned
def offsite_init(session: Session) -> None:
    """Make the restic repository that hosts.yaml names.

    Does nothing when it is there already. A run never makes one by itself: behind a wrong path or a disk that is not mounted it would
    be an empty one that looks well. No host is asked.
    """
    from runbooks.backup.run import offsite  # noqa: PLC0415 - start-up time

    offsite.make_repository(session)


@planned(help={"id_": "the set; the newest that is off-site when it is not given", "list_": "only show what is off-site"})
def fetch(session: Session, id_: str = "", list_: bool = False) -> None:
    """Bring a set back from the restic repository.

    Works on a new machine as well: it needs hosts.yaml, restic and the repository's password. Every file is compared with the
    manifest before the set appears. No host is asked.
    """
    from runbooks.backup.read.fetch import fetch as fetch_set  # noqa: PLC0415 - start-up time
    from runbooks.backup.read.fetch import show_offsite  # noqa: PLC0415

    if list_:
        show_offsite(session)
    else:
        fetch_set(session, id_)


@query(
    help={
        "kind": "plural, singular or kind, with its group where that is needed: configmaps, Deployment, ingress.extensions",
        "namespace": "only of this namespace",
        "name": "only the one of this name (in each namespace that has one)",
        "id_": "the set; the newest when it is not given",
        "to": "a file that is not there yet, or a directory; default: standard output",
        "identity": "file of age's private key; default: backup.age.identity of hosts.yaml",
        "raw": "as it was saved, with everything that the server made of it",
    }
)
def extract(  # noqa: PLR0913 - flags
    session: Session,
    kind: str,
    *,
    namespace: str = "",
    name: str = "",
    id_: str = "",
    to: str = "",
    identity: str = "",
    raw: bool = False,
) -> None:
    """Write single objects as YAML for kubectl apply.

    Without what the server made of them: uid, status, owners, a Pod's node, a Service's address. Standard output is YAML only, so
    that it can be piped. No host is asked.
    """
    from runbooks.backup.read.extract import Wanted  # noqa: PLC0415 - start-up time
    from runbooks.backup.read.extract import extract as write  # noqa: PLC0415

    write(session, Wanted(kind=kind, namespace=namespace, name=name, raw=raw), id_=id_, to=to, key=identity)
