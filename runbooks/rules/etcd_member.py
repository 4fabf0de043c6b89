"""Decide what is wrong with one member of etcd, and which repair it needs. Pure functions."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum

from runbooks.commands.etcd import Member
from runbooks.commands.etcd_data import EtcdData
from runbooks.commands.node import STATIC_PODS, NodeState
from runbooks.errors import ConnectionLost, NotLetIn, RunbookError, UnreachableError
from runbooks.inventory.model import Host
from runbooks.rules import etcd as rules
from runbooks.rules import etcd_flags
from runbooks.rules.etcd import View
from runbooks.rules.etcd_corrupt import corrupt
from runbooks.text import MIB, listed, size_text

ETCD_PHASE = "etcd"  # NodeState.attempt of a host that was joining etcd again


class Repair(Enum):
    """The repairs of a member. The value is shown to the operator."""

    WELL = "it is healthy: nothing to repair"
    START = "its data is there: it has to be started"
    PROMOTE = "it is a learner: it has to become a voter"
    REJOIN = "it needs new data: what it has is set aside, and it joins again as an empty member, which copies the others' data"
    REBUILD = "the host is gone or was reinstalled: it is removed, and joins from scratch"
    GONE = "the host does not answer: its member and its Node are removed; put an empty machine there, then inv recover.node"


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """The repair that a member needs, and what was seen that makes it necessary."""

    repair: Repair
    why: str

    def record(self) -> dict[str, str]:
        """Return the diagnosis as inputs of a procedure, which the journal keeps for --resume."""
        return {"case": self.repair.name, "why": self.why}

    @classmethod
    def recorded(cls, inputs: Mapping[str, str]) -> Diagnosis:
        """Return the diagnosis that ``record`` put into ``inputs``."""
        return cls(Repair[inputs["case"]], inputs["why"])


@dataclass(frozen=True, slots=True)
class MemberState:
    """What was read of one member and its host. ``data`` is None when the host did not answer."""

    host: Host
    member: Member | None
    state: NodeState | RunbookError
    data: EtcdData | None = None


# Last messages of an etcd that cannot continue with its data, and what they mean. Source: etcd, server/embed and server/etcdserver.
UNUSABLE_DATA = {
    r"permanently removed from the cluster|member has been removed": "it was removed from the cluster",
    r"member count is unequal|has already been bootstrapped|error validating peerURLs": "its data is gone, and etcd does not accept it again",
    r"cluster ID mismatch": "its data belongs to another cluster",
    r"out of range \[lastIndex|raft log corrupted": "its log was lost",
    r"crc mismatch|walpb|failed to (?:open|read|recover) WAL|error reading WAL|(?<![\w.])wal: ": "its write-ahead log is corrupt",
    r"failed to find database snapshot|failed to recover v3 backend|invalid database|freepages|freelist|checksum error|bucket .* nil": (
        "its database is corrupt"
    ),
    r"file (?:already )?freed|panic: (?:page|assertion)|unexpected fault address": "its database is corrupt",
    r"data inconsistency|checkInitialHashKV|corrupt(?:ion)? (?:check|alarm)": "its data differs from the others'",
}
# What the disk or the machine refused: such a message says nothing of the data.
REFUSED_BY_THE_SYSTEM = re.compile(
    r"no space left|disk quota|permission denied|read-only file system|input/output error|too many open files|address already in use"
)
# Last messages of an etcd for which neither a restart nor new data helps, of what the host cannot be asked: what they mean, and the fix.
OBSTACLES = {
    r"permission denied": (
        "etcd may not read {directory} or its certificates",
        "on the host: ls -ld {directory} /etc/kubernetes/pki/etcd; both must belong to the user that etcd runs as (root by default)",
    ),
    r"certificate has expired|x509: ": ("its certificates are not accepted", "inv certs.check"),
    r"address already in use": ("another process has etcd's ports", "on the host: ss -ltnp | grep 23"),
}
# etcd allocates each file of its write-ahead log at once. Source: etcd, server/storage/wal, SegmentSizeBytes.
WAL_FILE = 64 * MIB
# What an etcd says that does not take a flag of its etcd.yaml; after it comes its usage.
FLAG = re.compile(
    r"^flag provided but not defined: -(?P<unknown>\S+)|^invalid value .* for flag -(?P<value>[\w-]+): .*", re.MULTILINE
)


def gone(error: RunbookError) -> bool:
    """Return whether a host does not answer at all. One that answers and is slow, refuses the login, or breaks the session is not gone."""
    return isinstance(error, UnreachableError) and not isinstance(error, NotLetIn | ConnectionLost)


def diagnose(view: View, found: MemberState) -> Diagnosis:
    """Return the repair that a member needs, and why. ``view`` is what every control plane host said of etcd.

    The data of a member is given up only when it is missing, or when etcd itself said that it cannot continue with it, or that it
    differs from the others'. In all other cases the member is only started. Raises the error of a host that answers and could not be
    looked at: nothing is known about its member.
    """
    state = found.state
    if isinstance(state, RunbookError):
        if not gone(state):
            raise state
        return Diagnosis(Repair.GONE, str(state))
    if state.attempt == ETCD_PHASE:
        return Diagnosis(Repair.REJOIN, "an earlier attempt to join again was not finished")
    if not state.joined:
        return Diagnosis(Repair.REBUILD, _not_joined(state))
    if reason := _on_its_own(view, found.host) or _not_listed(view, found.member) or _corrupt(view, found.member):
        return Diagnosis(Repair.REJOIN, reason)
    if found.member and found.member.learner and found.host in view.statuses:
        return Diagnosis(Repair.PROMOTE, f"member {found.member.id} has no vote")
    wrong = rules.why_unhealthy(view, found.host)
    return _down(found, wrong) if wrong else _well(state, found.member)


def _not_listed(view: View, member: Member | None) -> str:
    return "it is no longer a member of etcd" if view.members and not member else ""


def _corrupt(view: View, member: Member | None) -> str:
    return "etcd has an alarm CORRUPT for it: its data differs from the others'" if member and member.id in corrupt(view) else ""


def _well(state: NodeState, member: Member | None) -> Diagnosis:
    if missing := [name for name in STATIC_PODS if name not in state.manifests]:
        return Diagnosis(Repair.START, f"the manifest of {listed(missing)} is missing")
    return Diagnosis(Repair.WELL, f"member {member.id if member else ''} serves")


def _down(found: MemberState, said: str) -> Diagnosis:
    data, member = found.data or EtcdData(""), found.member
    if not data.whole:
        what = "its database" if not data.db else "its write-ahead log"
        return Diagnosis(Repair.REJOIN, f"{what} is not in {data.directory or 'its directory'}")
    if member and not member.name:
        return Diagnosis(Repair.REJOIN, "it was added to etcd, and never started")
    if reason := why_unusable(data):
        return Diagnosis(Repair.REJOIN, reason)
    return Diagnosis(Repair.START, said if said != "it says nothing" else last_line(data) or "it does not answer")


def _not_joined(state: NodeState) -> str:
    if state.blank:
        return "the host is empty"
    if state.attempt:
        return f"kubeadm {state.attempt} was not finished there"
    return "it has no kubelet of this cluster"


def _on_its_own(view: View, host: Host) -> str:
    """Return how the member runs apart from the others, or "". A member that lost its data may begin a cluster of its own."""
    status, look = view.statuses.get(host), view.looks.get(host)
    others = {each: other for each, other in view.statuses.items() if each != host}
    if not status or not look or not others:
        return ""
    if status.cluster not in {other.cluster for other in others.values()}:
        return "it runs, but in another cluster"
    mine = {each.id for each in look.members}
    known = {each.id for each in view.members}
    if mine and known and len(mine) < len(known) and status.leads and len(others) >= rules.quorum(len(known)):
        return "it lost its data and began a cluster of its own"
    return ""


def doubt(view: View, found: MemberState) -> str:
    """Return why the data that the member would give up may be the right one, and the others' wrong; "" when nothing speaks for that.

    The first host's etcd begins an empty cluster when its data is lost, and then it is the only one that serves.
    """
    host, data = found.host, found.data
    if not data or not data.whole or why_unusable(data):
        return ""
    own, others = view.statuses.get(host), {each: other for each, other in view.statuses.items() if each != host}
    if own and others and own.cluster not in {each.cluster for each in others.values()}:
        apart = sum(each.cluster == own.cluster for each in view.statuses.values())
        return "" if len(others) > apart else f"{host} and {listed(others)} are in different clusters, and neither has more hosts"
    voters = rules.voters(view.members)
    if not found.member and len(voters) == 1 and len(view.said) > 2:
        return f"etcd is a cluster of one, {voters[0]}: it may be empty, begun because its own data was lost"
    return ""


# Marks of messages with which etcd ends; a healthy member warns of others in the same words. " C | " is the mark of etcd 3.4.
_FATAL = re.compile(r'"level":"(?:fatal|panic)"|panic:| C \| |permanently removed|must be removed')


def why_unusable(data: EtcdData) -> str:
    """Return why etcd cannot continue with its data, by its log, or ""."""
    text = "\n".join(line for line in data.log if _FATAL.search(line) and not REFUSED_BY_THE_SYSTEM.search(line))
    return next((reason for pattern, reason in UNUSABLE_DATA.items() if re.search(pattern, text)), "")


def obstacle(data: EtcdData, *, new: bool = False) -> tuple[str, str]:
    """Return what keeps etcd from running although neither a restart nor new data helps, and the fix; ("", "") if nothing does.

    What the host can be asked now counts more than what etcd once said of it: a healthy etcd tells in its log of others' expired
    certificates, and a disk that was full may have been made free. Only the last words of the latest container count beside it.
    ``new``: it gets new data, which needs more room than going on with what it has.
    """
    if said := [*FLAG.finditer("\n".join(data.latest))]:
        flag = said[-1]["unknown"] or said[-1]["value"]
        return f"its etcd does not take --{flag} of etcd.yaml ({said[-1][0]})", f"on the host: {etcd_flags.way_out([flag])}"
    if data.no_inodes or (data.free is not None and data.free < (WAL_FILE if new else MIB)):
        left = "no inode" if data.no_inodes else size_text(data.free or 0)
        return f"the disk of {data.directory} is full ({left} free)", "free space there, then run this again"
    for path, why in data.certificates:
        return f"its certificate {path} is not valid ({why})", "inv recover.certs"
    for port, program in data.ports:
        return f"another process ({program}) has etcd's port {port}", f"on the host: ss -ltnp | grep {port}"
    words = next((line for line in reversed(data.latest) if _FATAL.search(line)), "")
    for pattern, (what, fix) in OBSTACLES.items():
        if re.search(pattern, words):
            return what.format(directory=data.directory), fix.format(directory=data.directory)
    return "", ""


def last_line(data: EtcdData | None) -> str:
    """Return the last line of etcd's log: its message and error, or its first 200 characters; "" without a log."""
    line = data.log[-1] if data and data.log else ""
    said = re.search(r'"msg":"([^"]+)"(?:.*"error":"([^"]+)")?', line)
    return ": ".join(filter(None, said.groups())) if said else line[:200]
