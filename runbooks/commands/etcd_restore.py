"""Restore etcd from a snapshot on one host: the probe of what the host has, and one command for each part of the restore.

https://etcd.io/docs/v3.5/op-guide/recovery/
https://kubernetes.io/docs/tasks/administer-cluster/configure-upgrade-etcd/#restoring-an-etcd-cluster
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from runbooks.commands.backup import SLOWEST
from runbooks.commands.base import Answer, Command, Probe, script
from runbooks.commands.etcd import STACKED, access_variables
from runbooks.inventory.words import Address

BUMP: Final = 1_000_000_000  # revisions; more than a cluster writes between a backup and its restore
ALIVE_PORTS: Final = (2379, 2380, 6443)
NAMES: Final = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Database:
    """The database on a host. ``size`` is in bytes, ``written`` in seconds since 1970; ``logs`` counts write-ahead log files.

    ``revision`` is None while etcd has the database open.
    """

    size: int
    written: int
    logs: int
    revision: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class HostData:
    """What one host has for a restore.

    ``base`` is the beginning of the paths beside the data directory (or inside it, when it is a disk of its own).
    ``plan`` and ``done`` are the notes of an unfinished restore, and of the last one that was finished (`Restore.text`, or "").
    ``notes`` are the marks of the finished parts of a restore. ``name`` and ``peer`` are the member's name and peer URL in its
    manifest, or "". ``missing`` are files that a control plane host needs. ``authorities`` are the SHA-256 fingerprints of the CAs.
    ``free`` are the free bytes on the disk of the data, and on that of the notes.
    """

    base: str
    plan: str = ""
    done: str = ""
    notes: Mapping[str, str] = field(default_factory=dict)
    name: str = ""
    peer: str = ""
    wal_dir: str = ""
    missing: tuple[str, ...] = ()
    authorities: Mapping[str, str] = field(default_factory=dict)
    kubelet: str = ""
    database: Database | None = None
    free: tuple[int, int] = (0, 0)

    @property
    def reader(self) -> tuple[str, bool]:
        """The version of the kept etcdutl (or etcdctl), and whether it can raise the revision; ("", False) before it is kept."""
        version, _, kind = self.notes.get("program", "").partition(" ")
        return version, kind == "bump"


def look() -> Probe[HostData]:
    """Read what this host has for a restore, whether its etcd runs or not."""
    return Probe(replace(_restore_look(), shown="look at etcd's data, manifest and certificates"), parse)


def parse(answer: Answer) -> HostData:
    """Read what etcd-restore-look.sh printed. Raises ValueError when it is something else."""
    lines = [line.split(" ") for line in answer.stdout.splitlines() if " " in line]

    def every(key: str) -> list[list[str]]:
        return [rest for first, *rest in lines if first == key]

    def one(key: str) -> list[str]:
        return next(iter(every(key)), [])

    notes = {name: " ".join(rest) for name, *rest in every("note")}
    member = [*one("member"), "", ""]
    try:
        database, free = _database(one("data"), " ".join(one("status"))), tuple(int(each) for each in one("free"))
    except (ValueError, IndexError, KeyError, TypeError):
        raise ValueError("this does not describe etcd's data") from None
    if not one("base") or len(free) != 2:
        raise ValueError("this does not describe etcd's data")
    return HostData(
        base=one("base")[0],
        plan=notes.pop("plan", ""),
        done=notes.pop("done", ""),
        notes=notes,
        name=member[0],
        peer=member[1],
        wal_dir=" ".join(one("wal-dir")),
        missing=tuple(" ".join(each) for each in every("missing")),
        authorities={rest[0]: rest[1] for rest in every("ca")},
        kubelet=" ".join(one("kubelet")),
        database=database,
        free=(free[0], free[1]),
    )


def _database(words: Sequence[str], status: str) -> Database | None:
    if not words:
        return None
    size, written, logs = (int(each) for each in words)
    return Database(size=size, written=written, logs=logs, revision=int(json.loads(status)["revision"]) if status else None)


def ready(plan: str) -> Command:
    """Note the restore on the host, and keep a copy of the program that reads snapshots."""
    return replace(
        _restore("ready", timeout=120, PLAN=plan), shown="note the restore; cp etcdutl /var/lib/ha-runbooks/etcd-restore/"
    )


def take(size: int, sha256: str) -> Command:
    """Receive a snapshot of ``size`` bytes from standard input. Fails when its SHA-256 is not ``sha256``."""
    command = _restore("take", timeout=120 + size / SLOWEST, SIZE=str(size), SHA=sha256)
    return replace(command, shown=f"cat >/var/lib/ha-runbooks/etcd-restore/snapshot.db # {size} bytes, SHA-256 {sha256[:12]}...")


def copy(size: int) -> Command:
    """Copy this host's own database to be the snapshot. Fails while etcd runs."""
    command = _restore("copy", timeout=120 + size / SLOWEST)
    return replace(command, shown="cp member/snap/db of etcd's data /var/lib/ha-runbooks/etcd-restore/snapshot.db")


def send(size: int) -> Command:
    """Print the snapshot of this host."""
    command = _restore("send", timeout=120 + size / SLOWEST)
    return replace(command, shown="cat /var/lib/ha-runbooks/etcd-restore/snapshot.db")


@dataclass(frozen=True, slots=True)
class NewMember:
    """A member of the restored cluster: its name and its peer URL."""

    name: str
    peer: str


def build(me: NewMember, cluster: Sequence[NewMember], token: str, *, bump: bool, skip_hash: bool, size: int) -> Command:
    """Restore the snapshot into a new data directory beside the old data. ``size`` (bytes) sets the timeout."""
    command = _restore(
        "build",
        timeout=300 + 4 * size / SLOWEST,
        NAME=me.name,
        PEER=me.peer,
        CLUSTER=initial_cluster(cluster),
        TOKEN=token,
        BUMP=str(BUMP) if bump else "",
        SKIP="yes" if skip_hash else "",
    )
    return replace(command, shown=" ".join(build_words(me, cluster, token, bump=bump, skip_hash=skip_hash)))


def build_words(me: NewMember, cluster: Sequence[NewMember], token: str, *, bump: bool, skip_hash: bool) -> list[str]:
    """Return what a person would type for `build`."""
    words = ["etcdutl snapshot restore snapshot.db", "--data-dir=restored-new", f"--name={me.name}"]
    words += [f"--initial-cluster={initial_cluster(cluster)}", f"--initial-cluster-token={token}"]
    words += [f"--initial-advertise-peer-urls={me.peer}"]
    words += [f"--bump-revision={BUMP}", "--mark-compacted"] if bump else []
    return [*words, *(["--skip-hash-check"] if skip_hash else [])]


def initial_cluster(cluster: Sequence[NewMember]) -> str:
    """Return the value of etcd's flag --initial-cluster.

    >>> initial_cluster([NewMember("a", "https://10.0.0.1:2380"), NewMember("b", "https://10.0.0.2:2380")])
    'a=https://10.0.0.1:2380,b=https://10.0.0.2:2380'
    """
    return ",".join(f"{each.name}={each.peer}" for each in cluster)


def swap(cluster: Sequence[NewMember], token: str, stamp: str) -> Command:
    """Rename the old data, put the new data in its place, and write ``cluster`` into the parked manifest. Deletes nothing."""
    command = _restore("swap", timeout=120, CLUSTER=initial_cluster(cluster), TOKEN=token, STAMP=stamp)
    return replace(
        command, shown=f"mv member aside-{stamp}/; mv restored-new/member .; etcd.yaml: --initial-cluster, its state existing"
    )


def restart(token: str, *, everything: bool) -> Command:
    """Restart the kubelet; with ``everything`` also every container of kube-system and the pod network."""
    command = _restore("restart", timeout=180, TOKEN=token, EVERYTHING="yes" if everything else "")
    return replace(command, shown="systemctl restart kubelet" + ("; crictl stop (kube-system)" if everything else ""))


def tidy() -> Command:
    """Delete the snapshot and the other files of the restore. The old data stays."""
    return replace(_restore("tidy", timeout=120), shown="rm -r /var/lib/ha-runbooks/etcd-restore/snapshot.db ...")


def reach(peers: Sequence[tuple[Address, int]]) -> Probe[frozenset[tuple[str, int]]]:
    """Return which of ``peers`` accept a TCP connection from this host."""
    command = script("etcd-restore-reach", {"PEERS": [f"{address} {port}" for address, port in peers]}, timeout=20, root=False)
    return Probe(replace(command, shown="connect to the ports of etcd and the API server"), _parse_reach)


def _parse_reach(answer: Answer) -> frozenset[tuple[str, int]]:
    pairs = [line.split() for line in answer.stdout.splitlines()]
    return frozenset((address, int(port)) for address, port in pairs)


@dataclass(frozen=True, slots=True)
class Newer:
    """The keys that were written after a revision: how many, and the names of the first ones."""

    count: int
    names: tuple[str, ...]


def newer(revision: int) -> Probe[Newer]:
    """Return the keys that the member on this host has and that were written after ``revision``. Needs no quorum."""
    variables = {"REVISION": str(revision), "MOST": str(NAMES), **access_variables(STACKED)}
    command = script("etcd-restore-newer", variables, timeout=60, after=("etcd-find",))
    return Probe(replace(command, shown="etcdctl get /registry/ --prefix --keys-only --consistency=s"), parse_newer)


def parse_newer(answer: Answer) -> Newer:
    """Read what etcd-restore-newer.sh printed. Raises ValueError when there is no count."""
    lines = [line.split(" ", 1) for line in answer.stdout.splitlines() if " " in line]
    counts = [int(value) for key, value in lines if key == "count"]
    if not counts:
        raise ValueError("etcd did not say what is newer")
    return Newer(counts[0], tuple(value for key, value in lines if key == "key"))


def _restore_look() -> Command:
    return script(
        "etcd-restore-look", access_variables(STACKED), timeout=90, after=("etcd-find", "etcd-place", "etcd-restore-find")
    )


def _restore(action: str, *, timeout: float, **variables: str) -> Command:
    given = {"ACTION": action, **variables, **access_variables(STACKED)}
    return script("etcd-restore", given, timeout=timeout, after=("etcd-find", "etcd-place", "note", "etcd-restore-find"))


def stale_leases(addresses: Sequence[Address]) -> Probe[tuple[str, ...]]:
    """Return the keys of the leases of API servers with other addresses than ``addresses``. Needs a quorum."""
    wanted = {f"/registry/masterleases/{each}" for each in addresses}

    def read(answer: Answer) -> tuple[str, ...]:
        found = (line.strip() for line in answer.stdout.splitlines())
        return tuple(line for line in found if line.startswith("/registry/masterleases/") and line not in wanted)

    return Probe(_etcdctl("get", "/registry/masterleases/", "--prefix", "--keys-only"), read)


def forget(key: str) -> Command:
    """Delete a key in etcd. A running API server writes its lease again."""
    return _etcdctl("del", key)


def _etcdctl(*words: str) -> Command:
    variables = {"ACTION": "run", "ARGS": words, **access_variables(STACKED)}
    return replace(script("etcdctl", variables, timeout=40, after=("etcd-find",)), shown=f"etcdctl {' '.join(words)}")
