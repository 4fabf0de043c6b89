"""What is wrong with etcd: one cause, one finding. Pure: what the members said in, findings out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from dataclasses import replace

from runbooks.commands.etcd import Member
from runbooks.commands.etcd_metrics import Metrics
from runbooks.etcd.rules import data_file, latencies
from runbooks.inventory.model import Host
from runbooks.rules import etcd
from runbooks.rules.etcd import View
from runbooks.rules.finding import Finding
from runbooks.text import listed

# When etcd's own alerts fire (contrib/mixin: etcdHighFsyncDurations, etcdHighCommitDurations); its FAQ wants far less.
FSYNC_ALERT_S, COMMIT_ALERT_S = 0.5, 0.25


def repair(member: object) -> str:
    """Return the command that mends or replaces one member."""
    return f"inv recover.etcd-member --member {member}"


def no_quorum(view: View) -> bool:
    """Whether too few members agree for anything to be written."""
    voters = etcd.voters(view.members)
    needed = etcd.quorum(len(voters) or len(view.said))
    return len(etcd.healthy_ids(view)) < needed


def unwell(view: View) -> tuple[Host, ...]:
    """Return the hosts whose member is not healthy by itself."""
    return tuple(host for host in view.said if etcd.why_unhealthy(view, host))


def quorum(view: View, explained: Collection[Host]) -> Iterator[Finding]:
    """Return the loss of the quorum, which explains every API server; what else brought it about stands beside it."""
    if not no_quorum(view):
        return
    total = len(etcd.voters(view.members)) or len(view.said)
    well, needed = len(etcd.healthy_ids(view)), etcd.quorum(total)
    out = [host for host in unwell(view) if host in explained]
    able = [host for host in unwell(view) if host not in explained]
    fix = "inv recover.etcd-quorum"
    if out:
        fix = f"bring back {' or '.join(map(str, out))} (see below); only when they are lost: {fix}"
    elif able:
        fix = f"{repair(able[0])} if its data is whole; else {fix}, which proves first that no majority can be started"
    seen = f"the quorum is lost: {well} of {total} members are healthy, {needed} have to be"
    yield Finding(
        "fail",
        topic="etcd",
        seen=seen,
        why="nothing can be written, and no API server is ready",
        fix=fix,
        explains=frozenset(view.said),
    )


def split(view: View, explained: Collection[Host]) -> Iterator[Finding]:
    """Return members that contradict each other: of another cluster, or with another leader."""
    clusters = {host: status.cluster for host, status in view.statuses.items()}
    odd = _minority(clusters)
    if odd:
        why = "clients get two truths: a member with an old or foreign data directory"
        seen = f"split brain: {', '.join(f'{host} is of cluster {each}' for host, each in clusters.items())}"
        yield Finding("fail", topic="etcd", seen=seen, why=why, fix=f"{repair(odd[0])} --rejoin", explains=frozenset(odd))
        return
    leaders = {host: status.leader for host, status in view.statuses.items() if status.leader and host not in explained}
    if len(set(leaders.values())) > 1:
        names = {member.id: str(member) for member in view.members}
        seen = f"they follow different leaders: {', '.join(f'{host} {names.get(each, each)}' for host, each in leaders.items())}"
        why = "an election is going on, or one of them is cut off"
        yield Finding("fail", topic="etcd", seen=seen, why=why, fix="inv doctor again in a moment; inv etcd.status")


def _minority(values: Mapping[Host, str]) -> list[Host]:
    if len(set(values.values())) < 2:
        return []
    common = Counter(values.values()).most_common(1)[0][0]
    return [host for host, value in values.items() if value != common]


def alarms(view: View) -> Iterator[Finding]:
    """Return etcd's own alarms: without room for data nothing is written; a corrupt member lies."""
    raised = {alarm for status in view.statuses.values() for alarm in status.alarms}
    full = [alarm for alarm in raised if alarm.kind == "NOSPACE"]
    if full:
        why = "every write is refused until the alarm is taken back"
        yield Finding("fail", topic="etcd", seen="alarm NOSPACE: the data file is at its quota", why=why, fix="inv etcd.disarm")
    for alarm in sorted(raised - set(full), key=lambda each: each.member):
        member = next((each for each in view.members if each.id == alarm.member), None)
        seen = f"alarm {alarm.kind} of member {member or alarm.member}"
        why = "its data differs from the others': what is read there cannot be trusted"
        yield Finding("fail", topic="etcd", seen=seen, why=why, fix=f"{repair(member or alarm.member)} --rejoin")


def members(view: View, explained: Collection[Host]) -> Iterator[Finding]:
    """Return the members that are not well, missing, stuck as learners, or nobody's; those on hosts ``explained`` are left out."""
    told: set[str] = set()
    for member in view.members:
        host = view.host_of(member)
        if host in explained:
            continue
        if found := _odd(view, member, host):
            told |= {member.id}
            yield found
    for host in view.said:
        if host in explained:
            continue
        own = view.member_of(host)
        if own and own.id in told:
            continue
        if view.members and not own:
            yield Finding(
                "warn",
                topic="etcd",
                host=host.name,
                seen="etcd has no member on it",
                fix=repair(host),
                explains=frozenset({host}),
            )
        elif reason := etcd.why_unhealthy(view, host):
            why = "one more such member, and nothing can be written" if not etcd.tolerates(_well(view)) else ""
            yield Finding(
                "warn",
                topic="etcd",
                host=host.name,
                seen=f"its member of etcd: {reason}",
                why=why,
                fix=repair(host),
                explains=frozenset({host}),
            )


def _odd(view: View, member: Member, host: Host | None) -> Finding | None:
    mine = frozenset({host}) if host else frozenset()
    where = ", ".join(sorted(etcd.addresses(member))) or "no address"
    if not member.name:
        seen = f"member {member.id} ({where}) was added and never started"
        return Finding(
            "warn", topic="etcd", seen=seen, why="it counts for the quorum", fix=repair(host or member.id), explains=mine
        )
    if not host:
        seen = f"member {member} ({member.id}, {where}) belongs to no control plane host of hosts.yaml"
        return Finding("warn", topic="etcd", seen=seen, why="it counts for the quorum", fix=repair(member.id))
    if member.learner:
        return Finding(
            "warn",
            topic="etcd",
            host=host.name,
            seen="its member is a learner: it has no vote yet",
            why="its join is stuck",
            fix=repair(host),
            explains=mine,
        )
    return None


def _well(view: View) -> int:
    return len(etcd.healthy_ids(view))


def care(view: View, metrics: Mapping[Host, Metrics]) -> Iterator[Finding]:
    """Return what is not broken, but should be seen to: slow disks, the quota, free pages, mixed versions."""
    versions = {host: status.version for host, status in view.statuses.items()}
    if len(set(versions.values())) > 1:
        seen = f"versions differ: {', '.join(f'{host} {each}' for host, each in versions.items())}"
        yield Finding("note", topic="etcd", seen=seen, why="as during an upgrade; finish it")
    slow: dict[str, list[Host]] = {}
    for host, each in metrics.items():
        found = latencies.summary(each)
        for over in latencies.judged(host, found):
            if (found.quota_share or 0) >= data_file.NEAR_QUOTA and "quota" in over.seen:
                yield replace(over, fix="inv etcd.defrag")
            elif found.fsync.over(FSYNC_ALERT_S) or found.commit.over(COMMIT_ALERT_S):
                yield over
            else:
                slow.setdefault(over.fix, []).append(host)
    for fix, hosts in slow.items():
        seen = "etcd's disk or network is slower than its makers advise (inv etcd.perf has the numbers)"
        yield Finding("note", topic="etcd", host=listed(hosts), seen=seen, fix=fix)
    worth = [host for host, status in view.statuses.items() if not status.alarms and data_file.defrag_worthwhile(status)]
    if worth:
        yield Finding("note", topic="etcd", host=listed(worth), seen="much of its data file is free pages", fix="inv etcd.defrag")


def remembered(view: View) -> set[Host]:
    """Return the hosts that a member is listed for, whether or not it runs."""
    return {host for member in view.members if (host := view.host_of(member))}
