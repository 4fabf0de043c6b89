"""Decisions about etcd's membership and health. Pure: takes what the members answered, returns values and messages."""

from __future__ import annotations

import re
from collections.abc import Collection, Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from ipaddress import ip_address
from typing import TypeVar

from runbooks.commands.etcd import Look, Member, Status
from runbooks.errors import InventoryError
from runbooks.inventory.model import Host, Site
from runbooks.text import listed, naming

K = TypeVar("K", bound=Hashable)

# How many entries a member may be behind the furthest one. The members are asked within a second of one another; a busy cluster
# writes some hundred entries in that time. etcd itself refuses writes ("too many requests") when a member is 5000 behind.
LAG_ALLOWED = 1000


@dataclass(frozen=True, slots=True)
class View:
    """The answers of the control plane hosts' members, all asked at the same time.

    ``said`` has the answer of each host, or a text that says why there is none (the host does not answer). ``members`` is the
    member list of the most reliable member; it is empty when no member could read the list.
    """

    said: Mapping[Host, Look | str]
    members: tuple[Member, ...] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "members", _best_list(list(self.looks.values())))

    @property
    def looks(self) -> dict[Host, Look]:
        """The answers of the hosts that answered, also of those where etcd did not."""
        return {host: said for host, said in self.said.items() if isinstance(said, Look)}

    @property
    def statuses(self) -> dict[Host, Status]:
        """The status of each member that answered, by host."""
        return {host: look.status for host, look in self.looks.items() if look.status}

    def why(self, host: Host) -> str:
        """Return why the member on this host does not serve, or ""."""
        said = self.said.get(host, "it was not asked")
        return said if isinstance(said, str) else said.why

    def host_of(self, member: Member) -> Host | None:
        """Return the host that answered with this member's ID, else the host that has its address or its name, else None."""
        answered = next((host for host, status in self.statuses.items() if status.member == member.id), None)
        return answered or next((host for host in self.said if lives_on(member, host)), None)

    def member_of(self, host: Host) -> Member | None:
        """Return the member of the list that runs on this control plane host, or None."""
        return next((member for member in self.members if self.host_of(member) == host), None)


def _best_list(looks: Sequence[Look]) -> tuple[Member, ...]:
    """Return the list of a member that reads with a quorum; without one (etcd 3.4 answers all the same) that of the furthest."""
    listing = [look for look in looks if look.status and look.members]
    best = max(listing, key=lambda look: (look.serves, _progress(look.status)), default=None)
    return best.members if best else ()


def _progress(status: Status | None) -> tuple[int, int]:
    return (status.term, status.applied) if status else (0, 0)


def lives_on(member: Member, host: Host) -> bool:
    """Return whether the host's address is in the member's URLs. A member without URLs is compared by name."""
    found = addresses(member)
    return str(host.address) in found if found else member.name == host.name


def addresses(member: Member) -> frozenset[str]:
    """Return the addresses (or host names) in the member's URLs."""
    return frozenset(
        _canonical(found[1].strip("[]"))
        for url in (*member.peer_urls, *member.client_urls)
        if (found := re.match(r"[a-z]+://(\[[^]]+\]|[^:/]+)", url))
    )


def _canonical(text: str) -> str:
    try:
        return str(ip_address(text))
    except ValueError:
        return text


# ---- quorum


def quorum(voters: int) -> int:
    """Return how many voters are a majority.

    >>> [quorum(n) for n in (1, 2, 3, 4, 5)]
    [1, 2, 2, 3, 3]
    """
    return voters // 2 + 1


def tolerates(voters: int) -> int:
    """Return how many voters may fail while a majority is left.

    >>> [tolerates(n) for n in (1, 2, 3, 4, 5)]
    [0, 0, 1, 1, 2]
    """
    return max(voters - quorum(voters), 0)


def voters(members: Sequence[Member]) -> tuple[Member, ...]:
    """Return the members that vote: all but learners."""
    return tuple(member for member in members if not member.learner)


def refuse_removal(members: Sequence[Member], healthy_ids: Collection[str], member: str) -> str:
    """Return why the member with this ID must not be removed, or "" when it may be.

    Never leaves fewer than a majority of the voters healthy. A removal is allowed only if a majority of today's voters is healthy
    (they have to commit it), and a majority of the voters that stay is healthy too (else nothing can be written after it). So the
    only voter is never removed. The health of learners does not count.
    """
    leaving = next((each for each in members if each.id == member), None)
    if not leaving:
        return f"no member has the ID {member}"
    now = voters(members)
    healthy = [each for each in now if each.id in healthy_ids]
    if len(healthy) < quorum(len(now)):
        return f"etcd has lost its quorum: {_counted(len(healthy), len(now))}, and {quorum(len(now))} have to agree on a removal"
    stay = [each for each in now if each.id != member]
    if not stay:
        return f"{leaving} is the only voter; without it there is no etcd"
    healthy_stay = [each for each in healthy if each.id != member]
    if len(healthy_stay) < quorum(len(stay)):
        return (
            f"without {leaving} etcd would lose its quorum: of the {len(stay)} voters that stay only {len(healthy_stay)} "
            f"{'is' if len(healthy_stay) == 1 else 'are'} healthy, and {quorum(len(stay))} are needed"
        )
    return ""


def refuse_pause(members: Sequence[Member], healthy_ids: Collection[str], member: str) -> str:
    """Return why the member with this ID must not stop answering for a while (defragmentation, restart), or "" when it may.

    Never leaves fewer than a majority of the voters healthy meanwhile. Exceptions: a learner, and the only voter of a cluster.
    """
    now = voters(members)
    others = [each for each in now if each.id in healthy_ids and each.id != member]
    paused = next((each for each in members if each.id == member), None)
    if len(now) == 1 or (paused and paused.learner) or len(others) >= quorum(len(now)):
        return ""
    return f"without {paused or member} only {_counted(len(others), len(now))}, and {quorum(len(now))} are needed"


def _counted(number: int, total: int) -> str:
    return f"{number} of {total} voters {'is' if number == 1 else 'are'} healthy"


# ---- who is who


def resolve(members: Sequence[Member], text: str, site: Site) -> Member:
    """Return the member that ``text`` names: by its ID, its name, its host's name, or an address.

    Raises InventoryError with the list of the members when ``text`` fits none of them, or several.
    """
    word = text.strip().lower()
    tests = (
        lambda member: member.id == (word.removeprefix("0x").lstrip("0") or "0"),
        lambda member: member.name == word,
        lambda member: any(host.name == word and lives_on(member, host) for host in site.hosts),
        lambda member: _canonical(word.strip("[]")) in addresses(member),
    )
    for test in tests:
        found = [member for member in members if test(member)]
        if len(found) == 1:
            return found[0]
        if found:
            ids = listed(member.id for member in found)
            raise InventoryError(f"{text}: several members of etcd fit ({ids})", hint="name one of them by its ID")
    known = listed(f"{member.name or 'never started'} ({member.id})" for member in members) or "not known"
    raise InventoryError(f"{text}: that is no member of etcd; the members are {known}")


def lag(statuses: Mapping[K, Status]) -> dict[K, int]:
    """Return how many entries each member has yet to apply, compared with the furthest."""
    furthest = max((status.index for status in statuses.values()), default=0)
    return {key: max(furthest - status.applied, 0) for key, status in statuses.items()}


# ---- health


def why_unhealthy(view: View, host: Host) -> str:
    """Return why the member on this host is not healthy, or ""."""
    look = view.said.get(host)
    if not isinstance(look, Look) or not look.status:
        return view.why(host) or "it does not answer"
    status = look.status
    reasons = (
        (not status.leader, "it knows no leader"),
        (not look.serves and not status.learner, look.why or "it does not serve"),
        (bool(status.errors) and bool(status.leader), "; ".join(status.errors)),
        (lag(view.statuses)[host] > LAG_ALLOWED, f"it is {lag(view.statuses)[host]} entries behind"),
    )
    return next((text for wrong, text in reasons if wrong), "")


def healthy_ids(view: View) -> frozenset[str]:
    """Return the IDs of the members that answer, know a leader, read with a quorum and are not far behind."""
    return frozenset(status.member for host, status in view.statuses.items() if not why_unhealthy(view, host))


def of_members(view: View) -> View:
    """Return the view without the hosts that have no member: after a restore they are still to join, which is no fault."""
    kept = {host: said for host, said in view.said.items() if view.member_of(host)}
    return View(kept) if kept else view


def problems(view: View) -> tuple[str, ...]:
    """Return everything that is wrong with etcd, one text for each problem: the faults, and versions that differ."""
    versions = {str(host): status.version for host, status in view.statuses.items()}
    mixed = f"versions differ: {_each(versions)}" if len(set(versions.values())) > 1 else ""
    return (*faults(view), *filter(None, [mixed]))


def faults(view: View) -> tuple[str, ...]:
    """Return what is wrong with etcd, one text for each fault. Versions that differ, as during an upgrade, are no fault."""
    found = [naming(host, reason) for host in view.said if (reason := why_unhealthy(view, host))]
    return (*found, *shared_faults(view))


def shared_faults(view: View) -> tuple[str, ...]:
    """Return those faults that are not of one host's member alone: what members disagree about, the member list, alarms."""
    return (*_same_member(view), *_disagreements(view), *_membership(view), *_alarms(view))


def _same_member(view: View) -> list[str]:
    """Return the hosts that answer with the ID of one member: copies of one data directory, or one machine named twice."""
    hosts: dict[str, list[str]] = {}
    for host, status in view.statuses.items():
        hosts.setdefault(status.member, []).append(str(host))
    return [f"{listed(those)} answer as the same member {_named(view, each)}" for each, those in hosts.items() if len(those) > 1]


def _disagreements(view: View) -> list[str]:
    statuses = {str(host): status for host, status in view.statuses.items()}
    leaders = {host: _named(view, status.leader) for host, status in statuses.items() if status.leader}
    clusters = {host: status.cluster for host, status in statuses.items()}
    lists = {str(host): frozenset(each.id for each in look.members) for host, look in view.looks.items() if look.members}
    terms = {status.term for status in statuses.values() if status.leader}
    return [
        text
        for wrong, text in (
            (len(set(clusters.values())) > 1, f"the members belong to different clusters: {_each(clusters)}"),
            (len(set(leaders.values())) > 1, f"the members follow different leaders: {_each(leaders)}"),
            (len(terms) > 1, "the members' terms differ: an election is going on, or one member is cut off"),
            (
                len(set(lists.values())) > 1,
                f"the member lists differ: {_each({host: str(len(ids)) for host, ids in lists.items()})}",
            ),
        )
        if wrong
    ]


def _membership(view: View) -> list[str]:
    if not view.members:
        return ["no host can read the member list: etcd has no quorum"] if view.statuses else []
    found = [f"{host} has no member" for host in view.said if not view.member_of(host)]
    found += [f"{host} lists no members" for host, look in view.looks.items() if look.serves and not look.members]
    for member in view.members:
        where = listed(sorted(addresses(member))) or "no address"
        if not member.name:
            found.append(f"member {member.id} ({where}) was added{' as a learner' if member.learner else ''} but never started")
            continue
        if not view.host_of(member):
            found.append(f"member {member} ({member.id}, {where}) belongs to no control plane host of hosts.yaml")
        if member.learner:
            found.append(f"member {member} ({member.id}) is a learner: it has no vote yet")
    return found


def _alarms(view: View) -> list[str]:
    alarms = {alarm for status in view.statuses.values() for alarm in status.alarms}
    return [f"alarm {alarm.kind} of {_named(view, alarm.member)}" for alarm in sorted(alarms, key=lambda a: (a.kind, a.member))]


def _named(view: View, member: str) -> str:
    return next((str(each) for each in view.members if each.id == member), member)


def _each(words: Mapping[str, str]) -> str:
    return listed(f"{key} {value}" for key, value in words.items())
