"""etcd on a control plane host: what a member says of itself and of the others, and the words that change it.

Everything goes through scripts/host/etcdctl.sh, which finds etcdctl on the host. IDs are hexadecimal text, as etcdctl takes them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from runbooks.commands.base import Answer, Command, Probe, script

UNAVAILABLE = 69  # etcdctl.sh: etcd does not run on this host, or there is nothing to ask it with
TEST_KEY = "ha-runbooks/can-be-written"
NO_QUORUM = "it cannot read with a quorum"


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """How etcd is reached from a host. Empty: as kubeadm lays a stacked member (its own first client address, its own PKI)."""

    endpoint: str = ""
    ca: str = ""
    cert: str = ""
    key: str = ""


STACKED = Access()


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """One entry of the member list. A member that has been added but never started has no name and no client URLs."""

    id: str
    name: str
    peer_urls: tuple[str, ...]
    client_urls: tuple[str, ...]
    learner: bool = False

    def __str__(self) -> str:
        return self.name or f"{self.id} (never started)"


@dataclass(frozen=True, slots=True)
class Alarm:
    """NOSPACE or CORRUPT, raised by the member with this ID."""

    member: str
    kind: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """What one member says of itself. Sizes in bytes; ``leader`` is "" when it knows none; ``quota`` is None before etcd 3.6.

    ``errors`` are etcd's own words, without the alarms.
    """

    member: str
    cluster: str
    version: str
    size: int
    in_use: int
    leader: str
    term: int
    index: int
    applied: int
    revision: int
    learner: bool = False
    quota: int | None = None
    errors: tuple[str, ...] = ()
    alarms: tuple[Alarm, ...] = ()

    @property
    def leads(self) -> bool:
        """Whether this member is the leader."""
        return self.leader == self.member


@dataclass(frozen=True, slots=True)
class Look:
    """One round trip to one member: itself, the members as it knows them, and whether it can read with a quorum.

    ``status`` is None when it does not answer, and ``why`` says why. ``members`` is empty when it cannot tell: from etcd 3.5 on
    a member without a quorum tells nobody. ``serves`` is etcdctl's `endpoint health`: a linearizable read within 3 s.
    """

    status: Status | None
    members: tuple[Member, ...] = ()
    serves: bool = False
    why: str = ""


def look(access: Access = STACKED) -> Probe[Look]:
    """See the member on this host. Never fails for what etcd says or does not say: that is in the answer (at most about 6 s)."""
    command = script("etcdctl", _variables("look", (), access), timeout=25, after=("etcd-find",)).expecting(0, UNAVAILABLE)
    return Probe(replace(command, shown="etcdctl endpoint status, member list, endpoint health"), parse_look)


def members(access: Access = STACKED) -> Probe[tuple[Member, ...]]:
    """The member list as the member on this host knows it; fails without a quorum (from etcd 3.5 on)."""
    return Probe(_etcdctl("member", "list", "-w", "json", access=access), lambda answer: parse_members(answer.stdout))


def status(access: Access = STACKED) -> Probe[Status]:
    """What the member on this host says of itself; answers without a quorum, too."""
    return Probe(_etcdctl("endpoint", "status", "-w", "json", access=access), lambda answer: parse_status(answer.stdout))


def remove(member: str, access: Access = STACKED) -> Command:
    """Take the member with this ID out of the cluster. First ask `rules.etcd.refuse_removal`."""
    return _etcdctl("member", "remove", _checked(member), access=access)


def promote(member: str, access: Access = STACKED) -> Command:
    """Make a voter of a learner; etcd refuses (and this is tried again) until it has caught up."""
    return _etcdctl("member", "promote", _checked(member), access=access)


def move_leader(member: str, access: Access = STACKED) -> Command:
    """Hand the leadership to the member with this ID. Works only on the leader's own host."""
    return _etcdctl("move-leader", _checked(member), access=access)


def defragment(access: Access = STACKED, *, minutes: int = 10) -> Command:
    """Give the free pages of this host's member back to the file system; it answers nobody meanwhile."""
    command = _etcdctl("defrag", f"--command-timeout={minutes}m", access=access)
    return replace(command, timeout=minutes * 60 + 20)


def compact(revision: int, access: Access = STACKED) -> Command:
    """Forget every older version of every key than ``revision``, and wait until its pages are free."""
    command = _etcdctl("compact", str(revision), "--physical=true", "--command-timeout=5m", access=access)
    return replace(command, timeout=320)


def disarm(access: Access = STACKED) -> Command:
    """Take back all alarms of all members."""
    return _etcdctl("alarm", "disarm", access=access)


def alarms(access: Access = STACKED) -> Probe[tuple[Alarm, ...]]:
    """All alarms of all members; needs a quorum, while `status` shows them without."""
    return Probe(_etcdctl("alarm", "list", access=access), lambda answer: _alarms(answer.stdout.splitlines()))


def write(access: Access = STACKED) -> Command:
    """Write a key of our own, outside of what Kubernetes looks at: proves that writes work."""
    return _etcdctl("put", TEST_KEY, "1", access=access)


def forget(access: Access = STACKED) -> Command:
    """Delete what `write` wrote."""
    return _etcdctl("del", TEST_KEY, access=access)


def parse_look(answer: Answer) -> Look:
    """Read what `etcdctl.sh` printed for look. Raises ValueError when a part is missing or is not JSON."""
    if answer.exited == UNAVAILABLE:
        return Look(None, why=answer.stderr.strip() or "etcd does not run here")
    parts = {name: (text, int(code)) for text, name, code in re.findall(r"(?s)(.*?)\n@@ (\w+) (\d+)\n", answer.stdout)}
    if parts.keys() != {"status", "members", "health"}:
        raise ValueError(f"etcdctl said only {', '.join(parts) or 'nothing'}")
    said, failed = parts["status"]
    if failed:
        return Look(None, why=_cause(said))
    listed, no_list = parts["members"]
    health, unwell = parts["health"]
    # From 3.5 on an alarm makes the answer "unhealthy", although the read went well.
    sick = unwell and "Active Alarm" not in health
    return Look(
        parse_status(said),
        () if no_list else parse_members(listed),
        serves=not sick,
        why=NO_QUORUM + f": {_cause(health)}" if sick else "",
    )


def parse_members(text: str) -> tuple[Member, ...]:
    """Read `member list -w json`, in the order of names. Raises ValueError when it is something else."""
    try:
        found = tuple(
            Member(
                id=_hex(each["ID"]),
                name=each.get("name", ""),
                peer_urls=tuple(each.get("peerURLs") or ()),
                client_urls=tuple(each.get("clientURLs") or ()),
                learner=bool(each.get("isLearner")),
            )
            for each in _json(text)["members"]
        )
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"this is no member list of etcd's: {error!r}") from None
    return tuple(sorted(found, key=lambda member: (not member.name, member.name, member.id)))


def parse_status(text: str) -> Status:
    """Read `endpoint status -w json` of one member. Raises ValueError when it is something else."""
    try:
        said = _json(text)[0]["Status"]
        header, errors = said["header"], tuple(str(each) for each in said.get("errors") or ())
        return Status(
            member=_hex(header["member_id"]),
            cluster=_hex(header["cluster_id"]),
            version=str(said["version"]),
            size=int(said.get("dbSize", 0)),
            in_use=int(said.get("dbSizeInUse", 0)),
            leader=_hex(said["leader"]) if said.get("leader") else "",
            term=int(said.get("raftTerm", 0)),
            index=int(said.get("raftIndex", 0)),
            applied=int(said.get("raftAppliedIndex", 0)),
            revision=int(header.get("revision", 0)),
            learner=bool(said.get("isLearner")),
            quota=int(said["dbSizeQuota"]) if said.get("dbSizeQuota") else None,
            errors=tuple(each for each in errors if not _ALARM.search(each)),
            alarms=_alarms(errors),
        )
    except (KeyError, TypeError, AttributeError, IndexError) as error:
        raise ValueError(f"this is no status of etcd's: {error!r}") from None


_ALARM = re.compile(r"memberID:(\d+)\s+alarm:(\w+)")


def _alarms(lines: Sequence[str]) -> tuple[Alarm, ...]:
    return tuple(Alarm(_hex(int(found[1])), found[2]) for line in lines if (found := _ALARM.search(line)))


def _json(text: str) -> Any:
    """The JSON that etcdctl printed: crictl adds what etcdctl logged (JSON as well, beginning with "level"), and empty lines."""
    for line in text.splitlines():
        if line.startswith(("[", '{"header"')):
            return json.loads(line)
    raise ValueError(f"etcdctl gave no JSON: {text.strip()[:200]}")


def _cause(text: str) -> str:
    """The words of `text` that tell a person why: what follows "Error:", a known cause, or its last line."""
    for sign in ("connection refused", "certificate has expired", "permission denied", "no such file or directory"):
        if sign in text:
            return sign
    found = re.search(r'"error":"([^"\\]+)"', text) if '"health":' in text else None
    found = found or re.search(r"\((context deadline exceeded)\)|Error: ([^\n\\\"]+)", text)
    words = next(filter(None, found.groups()), "") if found else (text.strip().splitlines() or [""])[-1][:200]
    return words.rpartition("desc = ")[2].replace("context deadline exceeded", "no answer in time") or "it says nothing"


def _hex(number: object) -> str:
    if not isinstance(number, int):
        raise TypeError(f"{number!r} is no ID")
    return f"{number:x}"


def _checked(member: str) -> str:
    if not re.fullmatch(r"[0-9a-f]{1,16}", member):
        raise ValueError(f"{member!r} is no member ID")
    return member


def access_variables(access: Access) -> dict[str, str]:
    """Return the variables of etcd-find.sh."""
    return {"ENDPOINT": access.endpoint, "CA": access.ca, "CERT": access.cert, "KEY": access.key}


def _variables(action: str, words: Sequence[str], access: Access) -> dict[str, str | Sequence[str]]:
    return {"ACTION": action, "ARGS": words, **access_variables(access)}


def _etcdctl(*words: str, access: Access) -> Command:
    return replace(
        script("etcdctl", _variables("run", words, access), timeout=40, after=("etcd-find",)), shown=f"etcdctl {' '.join(words)}"
    )
