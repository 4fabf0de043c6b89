"""Decide whether etcd's quorum is really lost, onto which hosts etcd is restored, and from which source. Pure functions."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final

from runbooks.commands.etcd_restore import HostData, NewMember
from runbooks.commands.static_pods import StaticPod
from runbooks.inventory.model import Host
from runbooks.recover.rules.restore import Restore, Source, read
from runbooks.rules.etcd import View, quorum, voters
from runbooks.text import MIB, listed, size_text

LOG: Final = 192 << 20  # bytes: the two segments of 64 MiB that etcd allocates for its write-ahead log, and a margin


@dataclass(frozen=True, kw_only=True)
class EtcdSurvey:
    """What was read of etcd on all hosts. ``silent`` are the control plane hosts that could not be read, with the reason.

    ``alive`` has for each silent host the hosts to which it still answers on a port of etcd or of the API server, as text.
    ``nodes`` are the workers that answer, ``missed`` those that do not, ``outside`` those that answer and are in no cluster.
    """

    view: View
    hosts: Mapping[Host, HostData]
    pods: Mapping[Host, Mapping[str, StaticPod]]
    silent: Mapping[Host, str]
    alive: Mapping[Host, tuple[str, ...]] = field(default_factory=dict)
    nodes: tuple[Host, ...] = ()
    missed: tuple[Host, ...] = ()
    outside: tuple[Host, ...] = ()

    def is_in_place(self, host: Host, token: str) -> bool:
        """Whether the data of the restore with this token is in place on ``host``; False for an empty token."""
        return bool(token) and host in self.hosts and is_in_place(self.hosts[host], token)


def is_finished(data: HostData, token: str) -> bool:
    """Whether the last finished restore of a host has this token."""
    last = read(data.done)
    return bool(last and last.token == token)


def is_in_place(data: HostData, token: str) -> bool:
    """Whether the data of the restore with this token is in place on a host, or that restore is finished there."""
    return data.notes.get("swapped") == token or is_finished(data, token)


def unfinished(survey: EtcdSurvey) -> Restore | None:
    """Return the newest restore that was begun on some host and not finished, or None."""
    found = [restore for data in survey.hosts.values() if (restore := read(data.plan))]
    return max(found, key=lambda restore: restore.started, default=None)


# ---- is the quorum really lost?


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why nothing may be restored, and what to do instead. ``final``: --insist does not overrule it."""

    why: str
    instead: str
    final: bool = False


def refusal(survey: EtcdSurvey, token: str = "") -> Refusal | None:
    """Return why etcd must not be restored; None when its quorum is lost for good. ``token`` is that of a restore to continue, or "".

    Never lets a restore replace a quorum or create a second cluster. It is refused
    - while a member reads with a quorum, unless that is the restored cluster itself;
    - while a host that cannot be read answers on a port of etcd or of the API server: it may be part of a quorum that is not seen
      from here. This is final, --insist does not overrule it;
    - while the members that run with their data, and those that only have to be started, are a majority.
    The last two do not count once restored data is in place on a host, the last one not after this restore has parked etcd.
    """
    serving = [host for host, look in survey.view.looks.items() if look.serves and not survey.is_in_place(host, token)]
    if serving:
        return Refusal(_served(survey, serving), "inv recover.etcd-member repairs single members; inv etcd.status")
    if any(survey.is_in_place(host, token) for host in survey.hosts):
        return None
    alive = {host: where for host, where in survey.alive.items() if where}
    if alive:
        text = "; ".join(f"{host} answers {', '.join(where)}" for host, where in alive.items())
        instead = "repair SSH to these hosts, or switch them off; then run this again"
        return Refusal(f"hosts that cannot be reached by SSH are alive, and may have the quorum: {text}", instead, final=True)
    # Members whose manifests this restore has parked could be started, but must not be.
    begun = bool(token) and any("etcd" in pods and pods["etcd"].manifest == "parked" for pods in survey.pods.values())
    return None if begun else startable(survey)


def _served(survey: EtcdSurvey, serving: Sequence[Host]) -> str:
    members = len(voters(survey.view.members))
    text = ", ".join(f"{host} (revision {status.revision})" for host in serving if (status := survey.view.statuses.get(host)))
    found = f"etcd has a quorum: {text} serves" if len(serving) == 1 else f"etcd has a quorum: {text} serve"
    if members == 1 < len(survey.view.said):
        found += (
            "; but it is a cluster of one. If it is empty and began only because the old data was lost: --insist "
            "restores over it (its data is set aside, too)"
        )
    return found


def startable(survey: EtcdSurvey) -> Refusal | None:
    """Return a refusal when the members that run, and those that only have to be started, are a majority; else None."""
    total = len(voters(survey.view.members)) or len(survey.view.said)
    running = [host for host in survey.view.statuses if host in survey.hosts and survey.hosts[host].database]
    stopped = {host: why for host in survey.hosts if host not in running and (why := _stopped(survey, host))}
    if len(running) + len(stopped) < quorum(total):
        return None
    if not stopped:
        names = listed(running)
        return Refusal(
            f"a majority of the members runs with its data ({names}), but they do not agree on a leader",
            "check the network between them (ports 2379, 2380), their clocks and certificates: inv etcd.status; when their data "
            "is unusable: --insist",
        )
    text = "; ".join(f"{host}: {why}" for host, why in stopped.items())
    return Refusal(
        f"a majority of the members has its data and can be started: {text}",
        " ; ".join(f"inv recover.etcd-member --member {host}" for host in stopped) + " ; when their data is unusable: --insist",
    )


def _stopped(survey: EtcdSurvey, host: Host) -> str:
    """Return why a member with data was stopped from outside; "" when it has no data, runs, or fails by itself."""
    data, pods = survey.hosts[host], survey.pods.get(host, {})
    etcd = pods.get("etcd")
    if not (data.database and data.database.logs) or not etcd or etcd.container:
        return ""
    if etcd.manifest != "on":
        return "its manifest is parked" if etcd.manifest == "parked" else "its manifest is missing"
    return f"its kubelet is {data.kubelet}" if data.kubelet != "active" else ""


# ---- onto which hosts


def new_members(survey: EtcdSurvey) -> tuple[dict[str, NewMember], dict[str, str]]:
    """Return the new members by host, and the control plane hosts that are left out, with the reason."""
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
        return f"it lacks {listed(data.missing[:3])}"
    if tuple(sorted(data.authorities.items())) != authority:
        return "its CA differs from that of the other hosts"
    return f"its write-ahead log is in another directory ({data.wal_dir})" if data.wal_dir else ""


def short_of_room(data: HostData, size: int) -> str:
    """Return which disk has too little space for a restore of ``size`` bytes, or ""."""
    for free, needed, what in ((data.free[0], size + LOG, "etcd's data"), (data.free[1], size + (64 * MIB), "the snapshot")):
        if free < needed:
            return f"{size_text(free)} are free for {what}, but {size_text(needed)} are needed"
    return ""


# ---- from which source


def survivors(survey: EtcdSurvey, hosts: Collection[str]) -> list[Source]:
    """Return the databases on ``hosts`` whose revision is known, highest revision first."""
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
    """Return the source to restore, and the reason; (None, reason) when there is none. Both sequences begin with the best.

    It is the newest set, or a survivor's database when that is of the same cluster and has a higher revision.
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
