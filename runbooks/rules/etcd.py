"""Decisions about etcd's membership and health. Pure: what the members said in, words out."""

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

# Entries that a member may be behind the furthest one. The members are asked within a second of one another, in which a busy
# cluster writes some hundred; etcd itself refuses writes ("too many requests") when applying is 5000 behind.
LAG_ALLOWED = 1000


@dataclass(frozen=True, slots=True)
class View:
    """What each control plane's etcd said when all were asked at the same time.

    ``said`` has a host's look, or in words why there is none (a host that does not answer). ``members`` is the list of the
    member that knows best, empty when none could tell.
    """

    said: Mapping[Host, Look | str]
    members: tuple[Member, ...] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "members", _best_list(list(self.looks.values())))

    @property
    def looks(self) -> dict[Host, Look]:
        """The hosts that answered, whether or not etcd does there."""
        return {host: said for host, said in self.said.items() if isinstance(said, Look)}

    @property
    def statuses(self) -> dict[Host, Status]:
        """The hosts whose member answered."""
        return {host: look.status for host, look in self.looks.items() if look.status}

    def why(self, host: Host) -> str:
        """Why this host's member does not serve, or ""."""
        said = self.said.get(host, "it was not asked")
        return said if isinstance(said, str) else said.why

    def host_of(self, member: Member) -> Host | None:
        """The control plane that runs this member: the one that said so, else the one with its address or its name."""
        by_word = next((host for host, status in self.statuses.items() if status.member == member.id), None)
        return by_word or next((host for host in self.said if lives_on(member, host)), None)

    def member_of(self, host: Host) -> Member | None:
        """The member that runs on this control plane, or None."""
        return next((member for member in self.members if self.host_of(member) == host), None)


def _best_list(looks: Sequence[Look]) -> tuple[Member, ...]:
    """The list of a member that reads with a quorum; else (etcd 3.4 tells without) of the one that is furthest."""
    able = [look for look in looks if look.status and look.members]
    best = max(able, key=lambda look: (look.serves, _progress(look.status)), default=None)
    return best.members if best else ()


def _progress(status: Status | None) -> tuple[int, int]:
    return (status.term, status.applied) if status else (0, 0)


def lives_on(member: Member, host: Host) -> bool:
    """Whether the member's URLs have the host's address, or (of a member without any) its name is the host's."""
    found = addresses(member)
    return str(host.address) in found if found else member.name == host.name


def addresses(member: Member) -> frozenset[str]:
    """The addresses (or names) in the member's URLs."""
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
    """How many of so many voters have to agree.

    >>> [quorum(n) for n in (1, 2, 3, 4, 5)]
    [1, 2, 2, 3, 3]
    """
    return voters // 2 + 1


def tolerates(voters: int) -> int:
    """How many of so many voters may fail.

    >>> [tolerates(n) for n in (1, 2, 3, 4, 5)]
    [0, 0, 1, 1, 2]
    """
    return max(voters - quorum(voters), 0)


def voters(members: Sequence[Member]) -> tuple[Member, ...]:
    """The members that vote; learners do not."""
    return tuple(member for member in members if not member.learner)


def refuse_removal(members: Sequence[Member], healthy_ids: Collection[str], member: str) -> str:
    """Say why the member with this ID must not be removed, or "" when it is safe.

    The change itself has to be agreed on by a quorum of today's voters, and those that stay must be a quorum of their own,
    or the cluster stands still the moment it is done.
    """
    leaving = next((each for each in members if each.id == member), None)
    if not leaving:
        return f"no member has the ID {member}"
    now = voters(members)
    well = [each for each in now if each.id in healthy_ids]
    if len(well) < quorum(len(now)):
        return f"etcd has lost its quorum: {_counted(len(well), len(now))}, and {quorum(len(now))} have to agree on a removal"
    stay = [each for each in now if each.id != member]
    if not stay:
        return f"{leaving} is the only voter; without it there is no etcd"
    staying = [each for each in well if each.id != member]
    if len(staying) < quorum(len(stay)):
        return (
            f"without {leaving} etcd would lose its quorum: of the {len(stay)} that stay only {len(staying)} "
            f"{'is' if len(staying) == 1 else 'are'} healthy, and {quorum(len(stay))} are needed"
        )
    return ""


def refuse_pause(members: Sequence[Member], healthy_ids: Collection[str], member: str) -> str:
    """Say why the member with this ID must not stand still for a while (defragmentation, restart), or "" when it may."""
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
    """Return the member that the operator means: its ID, its name, its host's name, or an address.

    Raises InventoryError that names the known ones when it is none of them.
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
            ids = ", ".join(member.id for member in found)
            raise InventoryError(f"{text}: several members of etcd fit ({ids})", hint="name the one you mean by its ID")
    known = ", ".join(f"{member.name or 'never started'} ({member.id})" for member in members) or "none is known"
    raise InventoryError(f"{text}: that is no member of etcd; the members are {known}")


def lag(statuses: Mapping[K, Status]) -> dict[K, int]:
    """How many entries each member has yet to apply, compared with the furthest."""
    furthest = max((status.index for status in statuses.values()), default=0)
    return {key: max(furthest - status.applied, 0) for key, status in statuses.items()}


# ---- health


def why_unhealthy(view: View, host: Host) -> str:
    """Say why the member on this host is not healthy by itself, or ""."""
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
    """The IDs of the members that answer, know a leader, read with a quorum and are not far behind."""
    return frozenset(status.member for host, status in view.statuses.items() if not why_unhealthy(view, host))


def of_members(view: View) -> View:
    """The same without the hosts that have no member: those that are still to join, after a restore, are no fault of the others."""
    kept = {host: said for host, said in view.said.items() if view.member_of(host)}
    return View(kept) if kept else view


def problems(view: View) -> tuple[str, ...]:
    """Everything that is wrong with etcd, in the operator's words."""
    versions = {str(host): status.version for host, status in view.statuses.items()}
    mixed = f"versions differ: {_each(versions)}" if len(set(versions.values())) > 1 else ""
    return (*faults(view), *filter(None, [mixed]))


def faults(view: View) -> tuple[str, ...]:
    """What is wrong with etcd. Versions may differ, as they do during an upgrade."""
    found = [naming(host, reason) for host in view.said if (reason := why_unhealthy(view, host))]
    return (*found, *_same_member(view), *_disagreements(view), *_membership(view), *_alarms(view))


def _same_member(view: View) -> list[str]:
    """Hosts that answer with the ID of one member: a copied data directory, or several names of one machine."""
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
            (len(set(clusters.values())) > 1, f"they are different clusters: {_each(clusters)}"),
            (len(set(leaders.values())) > 1, f"they follow different leaders: {_each(leaders)}"),
            (len(terms) > 1, "their terms differ: an election is going on, or one of them is cut off"),
            (
                len(set(lists.values())) > 1,
                f"their member lists differ: {_each({host: str(len(ids)) for host, ids in lists.items()})}",
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
        where = ", ".join(sorted(addresses(member))) or "no address"
        if not member.name:
            found.append(f"member {member.id} ({where}) was added{' as a learner' if member.learner else ''} but never started")
            continue
        if not view.host_of(member):
            found.append(f"member {member} ({member.id}, {where}) belongs to no control plane of hosts.yaml")
        if member.learner:
            found.append(f"member {member} ({member.id}) is a learner: it has no vote yet")
    return found


def _alarms(view: View) -> list[str]:
    alarms = {alarm for status in view.statuses.values() for alarm in status.alarms}
    return [f"alarm {alarm.kind} of {_named(view, alarm.member)}" for alarm in sorted(alarms, key=lambda a: (a.kind, a.member))]


def _named(view: View, member: str) -> str:
    return next((str(each) for each in view.members if each.id == member), member)


def _each(words: Mapping[str, str]) -> str:
    return ", ".join(f"{key} {value}" for key, value in words.items())
