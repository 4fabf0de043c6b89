"""Whether etcd's quorum is really gone, on whom it is restored, and from what. Pure: what was seen in, decisions out."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Any, Final, Literal

from runbooks.commands.etcd_restore import HostData, NewMember
from runbooks.commands.static_pods import StaticPod
from runbooks.inventory.model import Host
from runbooks.rules.etcd import View, quorum, voters
from runbooks.text import DAY, MIB, listed, size_text

LOG: Final = 192 << 20  # bytes: the two segments of a write-ahead log that etcd lays out at once, and some margin
STALE_S: Final = DAY  # an unfinished restore this old is no longer what anybody is waiting for
Kind = Literal["set", "file", "member"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """What is restored: a snapshot of the set ``name`` (the file ``part`` in it), the file ``name``, or the database of host ``name``.

    ``made`` is an ISO time, or "" when nobody knows. ``size`` in bytes. ``sha256`` is "" for a database that is not copied yet.
    ``cluster`` is etcd's own ID of the cluster that it is of, or "". ``carries`` is whether it ends in a digest of itself.
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
    """One restore, from its first to its last step; its text is noted on every host that takes part.

    ``members`` are the new cluster's, by host; ``left`` the control plane hosts that are not in it, with the reason; ``quiet`` those
    of them that have to be stopped; ``nodes`` the other hosts whose kubelets are restarted; ``missed`` those that cannot be
    reached. ``before`` is the highest revision that anybody had. ``token`` is the new cluster's own.
    ``insist``: although a quorum or a majority was there.
    """

    token: str
    started: str
    source: Source
    members: Mapping[str, NewMember]
    left: Mapping[str, str] = field(default_factory=dict)
    quiet: tuple[str, ...] = ()
    nodes: tuple[str, ...] = ()
    missed: tuple[str, ...] = ()
    before: int = 0
    insist: bool = False

    @property
    def cluster(self) -> tuple[NewMember, ...]:
        """The members that will be."""
        return tuple(self.members.values())

    @property
    def stamp(self) -> str:
        """What the old data's directory is called after."""
        return f"restore-{self.started}"

    @property
    def text(self) -> str:
        """One line of JSON, the same for equal restores."""
        return json.dumps(asdict(self), sort_keys=True)


def read(text: str) -> Restore | None:
    """Read `Restore.text`; None when it is empty, or of another version of this tool."""
    try:
        found = json.loads(text)
        members = {host: NewMember(**seat) for host, seat in found.pop("members").items()}
        words: dict[str, Any] = {key: tuple(found.pop(key)) for key in ("quiet", "nodes", "missed")}
        return Restore(source=Source(**found.pop("source")), members=members, **words, **found)
    except (ValueError, TypeError, KeyError, AttributeError):
        return None


@dataclass(frozen=True, kw_only=True)
class EtcdSurvey:
    """Everything that was seen. ``silent`` are control plane hosts that cannot be looked at, with the reason.

    ``alive`` says of a silent host from where, and on which port of etcd or the API server, it answers nevertheless.
    """

    view: View
    hosts: Mapping[Host, HostData]
    pods: Mapping[Host, Mapping[str, StaticPod]]
    silent: Mapping[Host, str]
    alive: Mapping[Host, tuple[str, ...]] = field(default_factory=dict)
    nodes: tuple[Host, ...] = ()
    missed: tuple[Host, ...] = ()

    def over(self, host: Host, token: str) -> bool:
        """Whether the data of this restore are in place on ``host``."""
        return bool(token) and host in self.hosts and is_over(self.hosts[host], token)


def is_over(data: HostData, token: str) -> bool:
    """Whether the data of the restore with this token are in place, or the whole restore is done."""
    done = read(data.done)
    return data.notes.get("swapped") == token or bool(done and done.token == token)


def unfinished(survey: EtcdSurvey) -> Restore | None:
    """Return the newest restore that was begun on some host and not finished."""
    found = [restore for data in survey.hosts.values() if (restore := read(data.plan))]
    return max(found, key=lambda restore: restore.started, default=None)


def is_stale(restore: Restore, now: datetime) -> bool:
    """Whether a restore was begun so long ago that nobody may still mean it."""
    return (now - moment(restore.started)).total_seconds() > STALE_S


def moment(stamp: str) -> datetime:
    """Return the time that ``Restore.started`` tells."""
    return datetime.strptime(stamp, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)


# ---- is it really gone?


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why nothing may be restored, and what to do instead. ``final``: not even when the operator insists."""

    why: str
    instead: str
    final: bool = False


def refusal(survey: EtcdSurvey, token: str = "") -> Refusal | None:
    """Say why etcd must not be restored; None when its quorum is gone for good. ``token`` is that of a restore under way.

    A quorum among hosts that cannot be reached would be a second cluster beside the restored one, so their ports are asked as well.
    """
    serving = [host for host, look in survey.view.looks.items() if look.serves and not survey.over(host, token)]
    if serving:
        return Refusal(_served(survey, serving), "inv recover.etcd-member mends single members; inv etcd.status")
    if any(survey.over(host, token) for host in survey.hosts):
        return None
    alive = {host: where for host, where in survey.alive.items() if where}
    if alive:
        text = "; ".join(f"{host} answers {', '.join(where)}" for host, where in alive.items())
        instead = "mend the way to these hosts, or switch them off; then run this again"
        return Refusal(f"hosts that cannot be logged in to are alive, and may have the quorum: {text}", instead, final=True)
    # What we parked ourselves can be started, and is not to be.
    begun = bool(token) and any("etcd" in pods and pods["etcd"].manifest == "parked" for pods in survey.pods.values())
    return None if begun else startable(survey)


def _served(survey: EtcdSurvey, serving: Sequence[Host]) -> str:
    members = len(voters(survey.view.members))
    text = ", ".join(f"{host} (revision {status.revision})" for host in serving if (status := survey.view.statuses.get(host)))
    found = f"etcd has a quorum: {text} serves" if len(serving) == 1 else f"etcd has a quorum: {text} serve"
    if members == 1 < len(survey.view.said):
        found += (
            "; but it is a cluster of one: if that is an empty one, which began by itself when the old data was lost, --insist "
            "restores over it (its data is set aside, too)"
        )
    return found


def startable(survey: EtcdSurvey) -> Refusal | None:
    """Say which members only have to be started, when they would be a majority; None when they would not."""
    total = len(voters(survey.view.members)) or len(survey.view.said)
    running = [host for host in survey.view.statuses if host in survey.hosts and survey.hosts[host].database]
    stopped = {host: why for host in survey.hosts if host not in running and (why := _stopped(survey, host))}
    if len(running) + len(stopped) < quorum(total):
        return None
    if not stopped:
        names = listed(running)
        return Refusal(
            f"a majority of the members runs with its data ({names}), but they do not agree on a leader",
            "look at the network between them (ports 2379, 2380), their clocks and certificates: inv etcd.status; when their data "
            "are of no use: --insist",
        )
    text = "; ".join(f"{host}: {why}" for host, why in stopped.items())
    return Refusal(
        f"a majority of the members has its data and can be started: {text}",
        " ; ".join(f"inv recover.etcd-member --member {host}" for host in stopped) + " ; when their data are of no use: --insist",
    )


def _stopped(survey: EtcdSurvey, host: Host) -> str:
    """Say why a member with good data does not run, when that is not its own fault; else ""."""
    data, pods = survey.hosts[host], survey.pods.get(host, {})
    etcd = pods.get("etcd")
    if not (data.database and data.database.logs) or not etcd or etcd.container:
        return ""
    if etcd.manifest != "on":
        return "its manifest is parked" if etcd.manifest == "parked" else "its manifest was taken away"
    return f"its kubelet is {data.kubelet}" if data.kubelet != "active" else ""


# ---- on whom


def new_members(survey: EtcdSurvey) -> tuple[dict[str, NewMember], dict[str, str]]:
    """Return the new cluster's members by host, and the hosts that cannot be among them, with the reason."""
    members, left = {}, {}
    common = Counter(tuple(sorted(data.authorities.items())) for data in survey.hosts.values() if not data.missing)
    authority = common.most_common(1)[0][0] if common else ()
    for host in survey.view.said:
        data = survey.hosts.get(host)
        if data is None:
            left[str(host)] = survey.silent.get(host, "it was not asked")
        elif reason := _unfit(data, authority):
            left[str(host)] = reason
        else:
            members[str(host)] = NewMember(data.name, data.peer)
    return members, left


def _unfit(data: HostData, authority: tuple[tuple[str, str], ...]) -> str:
    if not data.name and data.missing:
        return "it is an empty machine"
    if not (data.name and data.peer):
        return "it has no manifest of etcd"
    if data.missing:
        return f"it lacks {', '.join(data.missing[:3])}"
    if tuple(sorted(data.authorities.items())) != authority:
        return "its CA is another one than the others'"
    return f"its write-ahead log lies elsewhere ({data.wal_dir})" if data.wal_dir else ""


def short_of_room(data: HostData, size: int) -> str:
    """Say which disk has too little room for a restore of ``size`` bytes, or ""."""
    for free, needed, what in ((data.free[0], size + LOG, "etcd's data"), (data.free[1], size + (64 * MIB), "the snapshot")):
        if free < needed:
            return f"{size_text(free)} are free for {what}, and {size_text(needed)} are needed"
    return ""


# ---- from what


def survivors(survey: EtcdSurvey, hosts: Collection[str]) -> list[Source]:
    """Return the databases that lie on ``hosts`` and tell their revision, furthest first."""
    found = []
    for host, data in survey.hosts.items():
        status = survey.view.statuses.get(host)
        revision = status.revision if status else data.database.revision if data.database else None
        if str(host) in hosts and data.database and revision:
            made = datetime.fromtimestamp(data.database.written, UTC).isoformat(timespec="seconds")
            found.append(
                Source(
                    kind="member",
                    name=str(host),
                    revision=revision,
                    size=data.database.size,
                    made=made,
                    cluster=status.cluster if status else "",
                    carries=False,
                )
            )
    return sorted(found, key=lambda source: -source.revision)


def choose(sets: Sequence[Source], databases: Sequence[Source]) -> tuple[Source | None, str]:
    """Return what to restore, and why that: the newest set, or a survivor's own database when that is of the same cluster and newer.

    Both sequences begin with the best. (None, reason) when there is nothing.
    """
    saved = next(iter(sets), None)
    related = [each for each in databases if not saved or not each.cluster or not saved.cluster or each.cluster == saved.cluster]
    database = next(iter(related), None)
    if database and (not saved or database.revision > saved.revision):
        than = f"the newest set has {saved.revision}" if saved else "there is no good set"
        return database, f"it has revision {database.revision}, and {than}"
    if saved:
        than = f"no survivor has more than {database.revision}" if database else "no host has a database of this cluster"
        return saved, f"it is the newest good set, and {than}"
    return None, "there is no good set, and no host has a database that can be read"
