"""What is wrong with etcd: one finding per cause. Pure: from the members' answers to findings."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace

from runbooks.commands.etcd import Member
from runbooks.commands.etcd_metrics import Metrics
from runbooks.doctor.rules.overload import late
from runbooks.etcd.rules import data_file, latencies
from runbooks.inventory.model import Host
from runbooks.rules import etcd, etcd_corrupt
from runbooks.rules.etcd import View
from runbooks.rules.etcd_standing import has_quorum, standing
from runbooks.rules.finding import Finding
from runbooks.rules.next_command import repair
from runbooks.text import listed

# Thresholds of etcd's own alerts (contrib/mixin: etcdHighFsyncDurations, etcdHighCommitDurations); its FAQ recommends far less.
FSYNC_ALERT_S, COMMIT_ALERT_S = 0.5, 0.25


def no_quorum(view: View) -> bool:
    """Return whether etcd accepts no writes: fewer than a majority of the voters are healthy, and none reads with a quorum."""
    return few_healthy(view) and not has_quorum(view)


def few_healthy(view: View) -> bool:
    """Return whether this machine finds fewer than a majority of the voters healthy."""
    voters = etcd.voters(view.members)
    needed = etcd.quorum(len(voters) or len(view.said))
    return len(etcd.healthy_ids(view)) < needed


def unwell(view: View) -> tuple[Host, ...]:
    """Return the hosts whose own member is not healthy."""
    return tuple(host for host in view.said if etcd.why_unhealthy(view, host))


def quorum(
    view: View, found: Sequence[Finding], *, empty: Collection[Host] = (), busy: Collection[Host] = ()
) -> Iterator[Finding]:
    """Return the finding that the quorum is lost, if it is. It explains every control plane host.

    ``found`` has the findings so far, among them causes of this one; ``empty`` the hosts that are empty machines, ``busy`` those that are
    overloaded. A finding that explains every control plane host (a restore was not finished) is the cause, and the only finding.

    Invariant: names `recover.etcd-quorum`, which discards members, only as the last resort: after hosts that can be switched on, causes
    that can be mended, and members that can be repaired.
    """
    if not no_quorum(view) or any(each.explains >= set(view.said) for each in found):
        return
    total = len(etcd.voters(view.members)) or len(view.said)
    well, needed = len(etcd.healthy_ids(view)), etcd.quorum(total)
    seen = f"the quorum is lost: {well} of {total} members are healthy, {needed} are needed"
    why = "nothing can be written, and no API server is ready; running pods go on"
    if all(isinstance(each, str) for each in view.said.values()):
        seen = "no control plane host answers: the state of etcd is not known"
        why = "if they are off, nothing can be written; if only this machine does not reach them, the cluster may be whole"
    yield Finding(
        "fail",
        topic="etcd",
        seen=seen,
        why=why,
        fix=_way_back(view, found, empty, busy),
        explains=frozenset(view.said),
    )


def _way_back(view: View, found: Sequence[Finding], empty: Collection[Host], busy: Collection[Host]) -> str:
    """Return the way to a majority that gives up least: what only has to end, then hosts, then members, and the data of others at last."""
    last = "inv recover.etcd-quorum"
    ill = [host for host in unwell(view) if host not in empty]
    causes = {host: each for each in found for host in each.explains}
    silent = [host for host in ill if isinstance(view.said[host], str)]
    mended = [host for host in ill if host in causes and host not in silent and causes[host].fix]
    down = [host for host in ill if host not in (*silent, *mended) and host not in view.statuses]
    waiting = [host for host in down if late(etcd.why_unhealthy(view, host))]  # it runs, and waits for the others
    if waiting == down and set(waiting) & set(busy) and not silent:
        return f"end the overload of {listed(host for host in waiting if host in busy)} first, then: inv etcd.status"
    if mended:
        return causes[mended[0]].fix
    if silent and waiting == down:
        running = len(view.statuses) + len(waiting)
        missing = etcd.quorum(len(etcd.voters(view.members)) or len(view.said)) - running
        word = " and " if missing >= len(silent) else " or "
        number = f" ({missing} of them)" if 1 < missing < len(silent) else ""
        return f"switch on {word.join(map(str, silent))}{number}, or repair the network; only if they are lost for good: {last}"
    if down:
        return f"{repair(down[0])} if its data is intact; otherwise {last}, which first proves that no majority can be started"
    if len(view.statuses) >= etcd.quorum(len(etcd.voters(view.members)) or len(view.said)):
        return f"wait a minute, then: inv etcd.status; if it stays like this: {last}"
    return last


def split(view: View, explained: Collection[Host]) -> Iterator[Finding]:
    """Return the finding that members belong to different clusters, or else that they follow different leaders."""
    clusters = {host: status.cluster for host, status in view.statuses.items()}
    odd = _minority(clusters)
    if odd:
        why = "clients read different data from different members: one has an old or foreign data directory"
        seen = f"split brain: {listed(f'{host} belongs to cluster {each}' for host, each in clusters.items())}"
        fix = f"{repair(odd[0])} --rejoin"
        if len(odd) * 2 >= len(clusters):  # as many on either side: nobody knows from here whose data is right
            fix = f"inv etcd.status shows the revisions; then, for a host whose data is the wrong one: {repair('HOST')} --rejoin"
        yield Finding("fail", topic="etcd", seen=seen, why=why, fix=fix, explains=frozenset(odd))
        return
    leaders = {host: status.leader for host, status in view.statuses.items() if status.leader and host not in explained}
    if len(set(leaders.values())) > 1:
        names = {member.id: str(member) for member in view.members}
        seen = f"members follow different leaders: {listed(f'{host} {names.get(each, each)}' for host, each in leaders.items())}"
        why = "an election is going on, or one member is cut off from the others"
        yield Finding("fail", topic="etcd", seen=seen, why=why, fix="wait a minute, then: inv etcd.status")


def _minority(values: Mapping[Host, str]) -> list[Host]:
    if len(set(values.values())) < 2:
        return []
    common = Counter(values.values()).most_common(1)[0][0]
    return [host for host, value in values.items() if value != common]


def alarms(view: View) -> Iterator[Finding]:
    """Return one finding for all NOSPACE alarms, and one for each CORRUPT alarm."""
    raised = {alarm for status in view.statuses.values() for alarm in status.alarms}
    full = [alarm for alarm in raised if alarm.kind == "NOSPACE"]
    if full:
        why = "every write is refused until the alarm is disarmed"
        yield Finding("fail", topic="etcd", seen="alarm NOSPACE: the data file is at its quota", why=why, fix="inv etcd.disarm")
    for alarm in sorted(raised - set(full), key=lambda each: each.member):
        member = next((each for each in view.members if each.id == alarm.member), None)
        seen = f"alarm {alarm.kind} of member {member or alarm.member}"
        why = "its data differs from the others'; every write to the cluster is refused until it has joined again with new data"
        yield Finding("fail", topic="etcd", seen=seen, why=why, fix=etcd_corrupt.after(view))


def members(view: View, explained: Collection[Host]) -> Iterator[Finding]:
    """Return members that are unhealthy, missing, still learners, or of no known host. Hosts in ``explained`` are left out."""
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
                why=standing(view),
                fix=repair(host),
                explains=frozenset({host}),
            )
        elif reason := etcd.why_unhealthy(view, host):
            yield Finding(
                "warn",
                topic="etcd",
                host=host.name,
                seen=f"its member of etcd: {reason}",
                why=standing(view),
                fix=repair(host),
                explains=frozenset({host}),
            )


def _odd(view: View, member: Member, host: Host | None) -> Finding | None:
    mine = frozenset({host}) if host else frozenset()
    where = listed(sorted(etcd.addresses(member))) or "no address"
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


def care(view: View, metrics: Mapping[Host, Metrics]) -> Iterator[Finding]:
    """Return what works but needs attention: slow disks, the quota, free pages, mixed versions."""
    versions = {host: status.version for host, status in view.statuses.items()}
    if len(set(versions.values())) > 1:
        seen = f"versions differ: {listed(f'{host} {each}' for host, each in versions.items())}"
        yield Finding("note", topic="etcd", seen=seen, why="this is normal during an upgrade; finish the upgrade")
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
        seen = "etcd's disk or network is slower than etcd recommends (inv etcd.perf shows the figures)"
        yield Finding("note", topic="etcd", host=listed(hosts), seen=seen, fix=fix)
    worth = [host for host, status in view.statuses.items() if not status.alarms and data_file.defrag_worthwhile(status)]
    if worth:
        yield Finding("note", topic="etcd", host=listed(worth), seen="much of its data file is free pages", fix="inv etcd.defrag")


def remembered(view: View) -> set[Host]:
    """Return the hosts that have a member in etcd's member list, whether or not it runs."""
    return {host for member in view.members if (host := view.host_of(member))}
