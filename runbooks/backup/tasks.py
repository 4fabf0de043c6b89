"""Backup: make verified sets of the whole cluster; list, verify, prune and read them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from runbooks.engine.tasks import planned, query
from runbooks.errors import InventoryError

if TYPE_CHECKING:
    from runbooks.engine.session import Session


@planned(
    help={"accept_older": "etcd's revision may be lower than in the last set (after you restored an older state on purpose)"}
)
def run(session: Session, accept_older: bool = False) -> None:
    """Save etcd, every object and every configuration.

    Makes one set in backup.directory: a verified snapshot of every reachable member of etcd, all objects of all kinds, PKI,
    manifests and the configuration of the load balancers. Changes nothing on the hosts. Then deletes the sets that backup.keep does
    not retain. Exit status 5: a set was made, but something is missing in it.
    """
    from runbooks.backup.run.procedure import back_up  # noqa: PLC0415 - start-up time

    back_up(session, accept_older=accept_older)


@query(name="list")
def list_(session: Session) -> None:
    """List sets: age, state, size, verified, off-site.

    Newest first. A set that cannot be read is listed as damaged; the reason follows the table. Connects to no host.
    """
    from runbooks.backup.read.show import show_list  # noqa: PLC0415 - start-up time

    show_list(session)


@query(help={"id_": "the set; the newest when it is not given", "all_": "every kind and every file"})
def show(session: Session, id_: str = "", all_: bool = False) -> None:
    """Show what is in a set, and what is missing.

    Times, etcd's members, snapshots and revision, objects of each kind, how long each part took. --json prints the whole manifest.
    Connects to no host.
    """
    from runbooks.backup.read.show import show_set  # noqa: PLC0415 - start-up time

    show_set(session, id_, whole=all_)


@planned(help={"id_": "only this set, even if it cannot be read"})
def prune(session: Session, id_: str = "") -> None:
    """Delete the sets that backup.keep does not retain.

    Shows whether each set stays, and why. Never deletes the newest good set; deletes a set that cannot be read only with --id.
    Connects to no host.
    """
    from runbooks.backup.run.prune import prune as delete  # noqa: PLC0415 - start-up time

    delete(session, id_)


@planned(
    help={
        "at": 'when, as a cron expression in local time: "17 2 * * *", @daily; default: backup.schedule of hosts.yaml',
        "timer": "a systemd timer instead of a crontab entry",
        "timeout": "a run that takes longer is stopped (90m, 3h)",
        "host": "this host of hosts.yaml makes the backups; needs --checkout",
        "checkout": "the directory of this tool on that host",
        "site": "the site file on that host; default: hosts.yaml in its checkout",
    }
)
def schedule(  # noqa: PLR0913 - flags
    session: Session,
    at: str = "",
    *,
    timer: bool = False,
    timeout: str = "3h",
    host: str = "",
    checkout: str = "",
    site: str = "",
) -> None:
    """Make backups regularly, with cron or systemd.

    Schedules scripts/ha-backup, which has a time limit and a log, and prints something only when a run failed or is incomplete. Run
    again with other flags it replaces its own entry. All other entries of the crontab stay as they are.
    """
    from runbooks.backup.schedule import local, remote  # noqa: PLC0415 - start-up time

    entry = local.new_entry(session, at, timeout)
    if host or checkout or site:
        remote.install(session, remote.placing(session, entry, (host, checkout, site), timer=timer))
    else:
        local.install(session, entry, timer=timer)


@planned(help={"host": "on this host of hosts.yaml instead of on this machine"})
def unschedule(session: Session, host: str = "") -> None:
    """Remove what backup.schedule installed.

    Sets, logs and all other entries of the crontab stay. A backup that is running is not stopped.
    """
    from runbooks.backup.schedule import local, remote  # noqa: PLC0415 - start-up time

    if host:
        remote.remove(session, session.site.host(host))
    else:
        local.remove(session)


@query(help={"host": "ask the checkout that is scheduled on this host"})
def status(session: Session, host: str = "") -> None:
    """Check the newest good set, and the schedule.

    Exit status 1 when there is no good set, when the newest one is older than backup.max_age_h, when no daemon runs an installed
    schedule, or when a due run did not start. Without --host it connects to no host.
    """
    from runbooks.backup.schedule import remote  # noqa: PLC0415 - start-up time
    from runbooks.backup.status import show as show_status  # noqa: PLC0415

    if host:
        remote.show_status(session, session.site.host(host))
    else:
        show_status(session)


@query
def check(session: Session) -> None:
    """Check that an unattended backup would work.

    The directory, age and restic if they are configured, SSH keys without a passphrase. Connects to nothing. `scripts/ha-backup
    --check` runs this check in an environment like cron's.
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
    """Verify a set: files, snapshots, objects.

    Compares every file with the manifest, restores every snapshot into a private directory, reads and counts every object. Prints
    everything that is wrong, and which snapshots can still be used. Without an identity only the files of an encrypted set are
    compared. Exit status 1 when anything is wrong. Connects to no host.
    """
    from runbooks.backup.read.verify import verify as verify_sets  # noqa: PLC0415 - start-up time

    verify_sets(session, id_, identity, everything=all_)


@query(
    help={
        "id_": "the set; the newest when it is not given",
        "host": "use the snapshot of this host; default: the one with the newest revision",
        "identity": "file of age's private key; default: backup.age.identity of hosts.yaml",
    }
)
def restore_test(session: Session, id_: str = "", host: str = "", identity: str = "") -> None:
    """Start an etcd from a set and compare its keys.

    The etcd runs in a private directory on this machine, listens only on sockets in it, and is deleted afterwards. Compares the
    number of keys, and samples, with what the cluster had at the snapshot's revision. Connects to no host.
    """
    from runbooks.backup.read.restore_test import restore_test as boot_and_compare  # noqa: PLC0415 - start-up time

    boot_and_compare(session, name=id_, host=host, identity=identity)


@planned(
    help={
        "to": "a directory that does not exist yet",
        "id_": "the set; the newest when it is not given",
        "identity": "file of age's private key; default: backup.age.identity of hosts.yaml",
    }
)
def decrypt(session: Session, to: str, id_: str = "", identity: str = "") -> None:
    """Write a decrypted copy of a set into a directory.

    The copy is a set without encryption, with a manifest of its own. It holds every secret of the cluster. Connects to no host.
    """
    from runbooks.backup.read.decrypt import decrypt as write_decrypted  # noqa: PLC0415 - start-up time

    write_decrypted(session, to=to, name=id_, identity=identity)


@planned
def offsite_init(session: Session) -> None:
    """Create the restic repository of hosts.yaml.

    Does nothing when it exists. backup.run never creates one: with a wrong path, or a disk that is not mounted, it would be a new
    empty repository that looks healthy. Connects to no host of hosts.yaml.
    """
    from runbooks.backup.run import offsite  # noqa: PLC0415 - start-up time

    offsite.make_repository(session)


@planned(help={"id_": "the set; default: the newest in the repository", "list_": "only list the sets in the repository"})
def fetch(session: Session, id_: str = "", list_: bool = False) -> None:
    """Fetch a set from the restic repository.

    Also works on a new machine: it needs hosts.yaml, restic and the repository's password. Every file is compared with the manifest
    before the set appears in backup.directory. Connects to no host of hosts.yaml.
    """
    from runbooks.backup.read.fetch import fetch as fetch_set  # noqa: PLC0415 - start-up time
    from runbooks.backup.read.fetch import show_offsite  # noqa: PLC0415

    if list_:
        show_offsite(session)
    else:
        fetch_set(session, id_)


@query(
    help={
        "kind": "plural, singular or kind, with its group if needed: configmaps, Deployment, ingress.extensions",
        "host": "instead of objects: the files of this host, as a tar archive (gzip)",
        "namespace": "only objects of this namespace",
        "name": "only objects of this name (in every namespace)",
        "id_": "the set; the newest when it is not given",
        "to": "a file that does not exist yet, or a directory; default: standard output",
        "identity": "file of age's private key; default: backup.age.identity of hosts.yaml",
        "raw": "as it was saved, including what the server set",
    }
)
def extract(  # noqa: PLR0913 - flags
    session: Session,
    kind: str = "",
    *,
    host: str = "",
    namespace: str = "",
    name: str = "",
    id_: str = "",
    to: str = "",
    identity: str = "",
    raw: bool = False,
) -> None:
    """Write objects as YAML, or the files of a host.

    Leaves out what the server set: uid, status, owners, a Pod's node, a Service's clusterIP. Standard output is YAML only, so that it
    can be piped. Connects to no host.
    """
    from runbooks.backup.read.extract import Wanted, extract_files  # noqa: PLC0415 - start-up time
    from runbooks.backup.read.extract import extract as write  # noqa: PLC0415

    if bool(kind) == bool(host) or (host and (namespace or name or raw)):
        raise InventoryError("give --kind (with --namespace, --name, --raw), or --host", hint="inv --help backup.extract")
    if host:
        extract_files(session, host, id_=id_, to=to, key=identity)
        return
    write(session, Wanted(kind=kind, namespace=namespace, name=name, raw=raw), id_=id_, to=to, key=identity)
