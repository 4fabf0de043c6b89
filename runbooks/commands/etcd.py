"""etcdctl on a control plane host: commands that read or change etcd, and the parsers of their answers.

All of them run scripts/host/etcdctl.sh, which finds etcdctl on the host, or has curl ask etcd's API over HTTP, where 64-bit numbers are
text. IDs are hexadecimal text, as etcdctl takes them.
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
    """How etcd is reached from a host. An empty value: as kubeadm sets up a stacked member (its first client URL, its own PKI)."""

    endpoint: str = ""
    ca: str = ""
    cert: str = ""
    key: str = ""


STACKED = Access()


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """One entry of the member list. A member that was added but never started has no name and no client URLs."""

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
    """What one member says of itself. Sizes in bytes; ``leader`` is an ID, "" when it knows none; ``quota`` is None before etcd 3.6.

    ``errors`` are etcd's own messages, without the alarms.
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
        """Return whether this member is the leader."""
        return self.leader == self.member


@dataclass(frozen=True, slots=True)
class Look:
    """The answer of one member: its status, its member list, and whether it can read with a quorum.

    ``status`` is None when it does not answer; ``why`` says why, or why it does not serve. ``members`` is empty when it cannot read
    the list: from etcd 3.5 on that needs a quorum. ``serves`` is the result of `etcdctl endpoint health`: a linearizable read
    within 3 s.
    """

    status: Status | None
    members: tuple[Member, ...] = ()
    serves: bool = False
    why: str = ""


def look(access: Access = STACKED) -> Probe[Look]:
    """Ask the member on this host; takes about 8 s at most. A member that does not answer is part of the result, not an error."""
    command = script("etcdctl", _variables("look", (), access), timeout=25, after=("etcd-find",)).expecting(0, UNAVAILABLE)
    return Probe(replace(command, shown="etcdctl endpoint status, member list, endpoint health"), parse_look)


def members(access: Access = STACKED) -> Probe[tuple[Member, ...]]:
    """Return the member list of the member on this host. From etcd 3.5 on this fails without a quorum."""
    return Probe(_etcdctl("member", "list", "-w", "json", access=access), lambda answer: parse_members(answer.stdout))


def remove(member: str, access: Access = STACKED) -> Command:
    """Remove the member with this ID from the cluster. Check with `rules.etcd.refuse_removal` before."""
    return _etcdctl("member", "remove", _checked(member), access=access)


def promote(member: str, access: Access = STACKED) -> Command:
    """Make the learner with this ID a voter. etcd refuses until it has caught up; this is tried again."""
    return _etcdctl("member", "promote", _checked(member), access=access)


def move_leader(member: str, access: Access = STACKED) -> Command:
    """Make the member with this ID the leader. Works only on the present leader's own host."""
    return _etcdctl("move-leader", _checked(member), access=access)


def defragment(access: Access = STACKED, *, minutes: int = 10) -> Command:
    """Give the free pages of this host's member back to the file system. The member does not answer meanwhile."""
    command = _etcdctl("defrag", f"--command-timeout={minutes}m", access=access)
    return replace(command, timeout=minutes * 60 + 20)


def compact(revision: int, access: Access = STACKED) -> Command:
    """Delete all versions of keys that are older than ``revision``, and wait until their pages are free."""
    command = _etcdctl("compact", str(revision), "--physical=true", "--command-timeout=5m", access=access)
    return replace(command, timeout=320)


def disarm(access: Access = STACKED) -> Command:
    """Disarm all alarms of all members."""
    return _etcdctl("alarm", "disarm", access=access)


def write_test_key(access: Access = STACKED) -> Command:
    """Write a test key, outside of the keys of Kubernetes."""
    return _etcdctl("put", TEST_KEY, "1", access=access)


def delete_test_key(access: Access = STACKED) -> Command:
    """Delete the key of `write_test_key`."""
    return _etcdctl("del", TEST_KEY, access=access)


def parse_look(answer: Answer) -> Look:
    """Parse the answer to `look`. Raises ValueError when a part of it is missing or is not JSON."""
    if answer.exited == UNAVAILABLE:
        return Look(None, why=answer.stderr.strip() or "etcd does not run here")
    parts = {name: (text, int(code)) for text, name, code in re.findall(r"(?s)(.*?)\n@@ (\w+) (\d+)\n", answer.stdout)}
    if parts.keys() != {"status", "members", "health"}:
        raise ValueError(f"etcdctl said only {', '.join(parts) or 'nothing'}")
    said, failed = parts["status"]
    if failed:
        return Look(None, why=_cause(said))
    listed, no_list = parts["members"]
    health, unhealthy = parts["health"]
    # From etcd 3.5 on an alarm makes the exit status that of an unhealthy member, although the read has worked.
    cannot_read = unhealthy and "Active Alarm" not in health
    return Look(
        parse_status(said),
        () if no_list else parse_members(listed),
        serves=not cannot_read,
        why=NO_QUORUM + f": {_cause(health)}" if cannot_read else "",
    )


def parse_members(text: str) -> tuple[Member, ...]:
    """Parse `member list -w json`, or etcd's own JSON; return the members by name. Raises ValueError when the text is something else."""
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
        raise ValueError(f"this is not a member list of etcd: {error!r}") from None
    return tuple(sorted(found, key=lambda member: (not member.name, member.name, member.id)))


def parse_status(text: str) -> Status:
    """Parse `endpoint status -w json` of one member, or etcd's own JSON. Raises ValueError when the text is something else."""
    try:
        found = _json(text)
        said = found[0]["Status"] if isinstance(found, list) else found
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
        raise ValueError(f"this is not a status of etcd: {error!r}") from None


_ALARM = re.compile(r"memberID:(\d+)\s+alarm:(\w+)")


def _alarms(lines: Sequence[str]) -> tuple[Alarm, ...]:
    return tuple(Alarm(_hex(int(found[1])), found[2]) for line in lines if (found := _ALARM.search(line)))


def _json(text: str) -> Any:
    """Return the JSON that etcdctl printed. crictl adds etcdctl's log (also JSON, beginning with "level") and empty lines."""
    for line in text.splitlines():
        if line.startswith(("[", '{"header"')):
            return json.loads(line)
    raise ValueError(f"etcdctl gave no JSON: {text.strip()[:200]}")


def _cause(text: str) -> str:
    """Return the cause of a failure from etcdctl's output: a known cause, what follows "Error:", or the last line."""
    for sign in ("connection refused", "certificate has expired", "permission denied", "no such file or directory"):
        if sign in text:
            return sign
    found = re.search(r'"error":"([^"\\]+)"', text) if '"health":' in text else None
    found = found or re.search(r"\((context deadline exceeded)\)|Error: ((?:[^\n\\]|\\\")+)", text)  # crictl writes \" for "
    words = next(filter(None, found.groups()), "") if found else (text.strip().splitlines() or [""])[-1][:200]
    words = words.replace('\\"', '"').rpartition("desc = ")[2].strip('" ')
    return words.replace("context deadline exceeded", "no answer in time") or "etcdctl printed no reason"


def _hex(number: object) -> str:
    if isinstance(number, str) and re.fullmatch(r"[0-9]{1,20}", number):
        number = int(number)
    if not isinstance(number, int):
        raise TypeError(f"{number!r} is not an ID")
    return f"{number:x}"


def _checked(member: str) -> str:
    if not re.fullmatch(r"[0-9a-f]{1,16}", member):
        raise ValueError(f"{member!r} is not a member ID")
    return member


def access_variables(access: Access) -> dict[str, str]:
    """Return the variables that scripts/host/etcd-find.sh takes."""
    return {"ENDPOINT": access.endpoint, "CA": access.ca, "CERT": access.cert, "KEY": access.key}


def _variables(action: str, words: Sequence[str], access: Access) -> dict[str, str | Sequence[str]]:
    return {"ACTION": action, "ARGS": words, **access_variables(access)}


def _etcdctl(*words: str, access: Access) -> Command:
    return replace(
        script("etcdctl", _variables("run", words, access), timeout=40, after=("etcd-find",)), shown=f"etcdctl {' '.join(words)}"
    )
