"""One restore of etcd as it was decided, and its source: written to the hosts as one line of JSON, and read back."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Any, Final, Literal

from runbooks.commands.etcd_restore import NewMember
from runbooks.text import DAY

STALE_S: Final = DAY  # seconds; an older unfinished restore is not continued
Kind = Literal["set", "file", "member"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """What is restored: a snapshot of the set ``name`` (the file ``part`` in it), the file ``name``, or the database of host ``name``.

    ``made`` is an ISO time, or "" when it is unknown. ``size`` is in bytes. ``sha256`` is "" for a database that is not copied yet.
    ``cluster`` is etcd's ID of the cluster, or "". ``carries``: it ends in its own SHA-256, as a snapshot does and a database does not.
    """

    kind: Kind
    name: str
    revision: int
    size: int
    part: str = ""
    made: str = ""
    sha256: str = ""
    cluster: str = ""
    carries: bool = True

    def __str__(self) -> str:
        what = {"set": "the set", "file": "the file", "member": "the database on"}[self.kind]
        return f"{what} {self.name}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Restore:
    """One restore, decided once. Its text is noted on every host that takes part, so that any operator can continue it.

    ``token`` is unique to this restore: etcd makes the IDs of the new members from it. ``members`` are the new members by host.
    ``left`` are the control plane hosts that are left out, with the reason; ``quiet`` are those of them that have to be stopped.
    ``nodes`` are the workers whose kubelets are restarted; ``missed`` are the workers that cannot be reached;
    ``outside`` are workers of hosts.yaml that are in no cluster.
    ``before`` is the highest revision that was found. ``insist``: the operator insisted although a quorum or a majority was there.
    """

    token: str
    started: str
    source: Source
    members: Mapping[str, NewMember]
    left: Mapping[str, str] = field(default_factory=dict)
    quiet: tuple[str, ...] = ()
    nodes: tuple[str, ...] = ()
    missed: tuple[str, ...] = ()
    outside: tuple[str, ...] = ()
    before: int = 0
    insist: bool = False

    @property
    def cluster(self) -> tuple[NewMember, ...]:
        """The new members."""
        return tuple(self.members.values())

    @property
    def stamp(self) -> str:
        """The end of the name of the directory that keeps the old data."""
        return f"restore-{self.started}"

    @property
    def text(self) -> str:
        """One line of JSON; equal restores have equal lines."""
        return json.dumps(asdict(self), sort_keys=True)


def read(text: str) -> Restore | None:
    """Return the restore whose `Restore.text` this is; None for an empty text, or one of another version of this tool."""
    try:
        found = json.loads(text)
        members = {host: NewMember(**seat) for host, seat in found.pop("members").items()}
        words: dict[str, Any] = {key: tuple(found.pop(key, ())) for key in ("quiet", "nodes", "missed", "outside")}
        return Restore(source=Source(**found.pop("source")), members=members, **words, **found)
    except (ValueError, TypeError, KeyError, AttributeError):
        return None


def is_stale(restore: Restore, now: datetime) -> bool:
    """Whether a restore was begun more than a day before ``now``."""
    return (now - started_at(restore.started)).total_seconds() > STALE_S


def started_at(stamp: str) -> datetime:
    """Return `Restore.started` as a time."""
    return datetime.strptime(stamp, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
