"""What etcd must be like before a host of the control plane is upgraded. Pure.

kubeadm upgrades a stacked etcd together with the control plane of its host: the member restarts, and is away for 10 s or more.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from runbooks.backup.sets.manifest import Member as Recorded
from runbooks.commands.etcd import Member
from runbooks.commands.etcd_v2 import V2Check
from runbooks.inventory.model import Host
from runbooks.rules import etcd, verify_etcd
from runbooks.rules.etcd import View
from runbooks.rules.etcd_standing import standing
from runbooks.rules.finding import Finding, at_least
from runbooks.rules.upgrade_seen import Version, each, text, version_in
from runbooks.text import age_text, counted, listed
from runbooks.upgrade.rules.etcd_brought import Brought, Minor

TOPIC, MEMBERS, V2 = "etcd", "etcd members", "etcd v2"
CURRENT = timedelta(days=1)  # an older set says nothing about the members' databases of now
MUST_NOT_STOP = "its member must not stop now"
FIX = "inv doctor names the cause and the command"
TAG = "docs/upgrade.md: a newer etcd before Kubernetes (etcd.local.imageTag in kubeadm-config)"


@dataclass(frozen=True, slots=True)
class Gate:
    """What every member must be at before the first one gets an etcd of the minor version ``to``; better: ``advised``."""

    to: Minor
    least: Version
    advised: Version
    why: str
    source: str


GATES = (
    Gate(
        (3, 6),
        (3, 5, 26),
        (3, 5, 32),
        "etcd 3.6 takes its members from another part of the data, where removed members may have been left; 3.5.26 repairs that at its start",
        "https://etcd.io/blog/2025/zombie_members_upgrade/ ; https://etcd.io/docs/v3.6/upgrades/upgrade_3_6/",
    ),
    Gate(
        (3, 7),
        (3, 6, 11),
        (3, 6, 11),
        "etcd's guide: earlier releases of 3.6 may not be compatible with a rolling upgrade",
        "https://etcd.io/docs/v3.7/upgrades/upgrade_3_7/",
    ),
)


def versions(view: View, target: Brought) -> list[Finding]:
    """Return the findings about etcd's own path: one minor version at a time, and the patch release that is needed before.

    A member whose version is not known is a failure; so is a target whose etcd is not known.
    """
    seen: dict[Host, Version | None] = {
        host: version_in(view.statuses[host].version) if host in view.statuses else None for host in view.said
    }
    if unknown := [host for host, version in seen.items() if version is None]:
        return [
            Finding("fail", topic=TOPIC, host=listed(unknown), seen="the version of its etcd is not known", fix="inv etcd.status")
        ]
    if not target.version:
        fix = "kubeadm config images list --kubernetes-version vX.Y.Z, with the kubeadm of that version, says it"
        return [Finding("warn", topic=TOPIC, seen=f"which etcd the target brings is not known ({target.source})", fix=fix)]
    oldest = min(version for version in seen.values() if version)
    newest = max(version for version in seen.values() if version)
    to = target.version[:2]
    if to < newest[:2]:
        seen_text = f"etcd {each(_named(seen))}; kubeadm would bring {target} and leaves a newer etcd as it is"
        return [Finding("note", topic=TOPIC, seen=seen_text, fix="")]
    if to[0] != oldest[0] or to[1] - oldest[1] > 1:
        why = "etcd supports one minor version at a time"
        return [Finding("fail", topic=TOPIC, seen=f"etcd {text(oldest)} would become {target}", why=why, fix=TAG)]
    return [_gate(gate, seen, target) for gate in GATES if gate.to == to and oldest[:2] < to] or [_no_gate(oldest, target)]


def _gate(gate: Gate, seen: Mapping[Host, Version | None], target: Brought) -> Finding:
    behind = {host: version for host, version in seen.items() if version and version[:2] < gate.to and version < gate.least}
    late = {host: version for host, version in seen.items() if version and version[:2] < gate.to and version < gate.advised}
    wanted = f"before etcd {gate.to[0]}.{gate.to[1]} every member has to be at {text(gate.least)} or newer"
    if behind:
        return Finding(
            "fail", topic=TOPIC, host=listed(behind), seen=f"etcd {each(_named(behind))}: {wanted}", why=gate.why, fix=TAG
        )
    if late:
        words = f"etcd {each(_named(late))}: etcd's guide asks for {text(gate.advised)} or newer before {gate.to[0]}.{gate.to[1]}"
        return Finding("warn", topic=TOPIC, host=listed(late), seen=words, why=f"see {gate.source}", fix=TAG)
    return Finding("ok", topic=TOPIC, seen=f"every member is at {text(gate.advised)} or newer, as etcd {target} asks for")


def _no_gate(oldest: Version, target: Brought) -> Finding:
    same = target.exact and oldest == target.version
    return Finding(
        "ok",
        topic=TOPIC,
        seen=f"etcd stays at {text(oldest)}; it restarts" if same else f"etcd goes from {text(oldest)} to {target}",
    )


def health(view: View, *, on_the_way: bool = False) -> list[Finding]:
    """Return a failure for everything that is wrong with etcd: members, learners, alarms, leaders, terms, entries behind, versions.

    ``on_the_way``: an upgrade is under way, so versions may differ.
    """
    found = at_least("fail" if on_the_way else "warn", verify_etcd.rows(view))
    found = [replace(each, severity="fail") for each in found]
    if not view.members and not found:
        found = [Finding("fail", topic=TOPIC, seen="its member list could not be read", fix=FIX)]
    return found or [Finding("ok", topic=TOPIC, seen=f"{standing(view)}; no learner, no alarm, one leader")]


def without(view: View, host: Host) -> Finding:
    """Return whether etcd keeps its quorum while the member on ``host`` restarts. A host without a member is a failure."""
    member = view.member_of(host)
    if not member:
        return Finding("fail", topic=TOPIC, host=host.name, seen="no member of etcd is known there", fix="inv etcd.status")
    if why := etcd.refuse_pause(view.members, etcd.healthy_ids(view), member.id):
        return Finding("fail", topic=TOPIC, host=host.name, seen=f"{MUST_NOT_STOP}: {why}", fix="inv etcd.status")
    if len(etcd.voters(view.members)) == 1:
        words = "it is the only member: nothing can be read or written while it restarts"
        return Finding("warn", topic=TOPIC, host=host.name, seen=words, fix="inv cluster.join adds control plane hosts")
    return Finding("ok", topic=TOPIC, host=host.name, seen="the others keep the quorum while its member restarts")


def stale(listed_then: Sequence[Member | Recorded], live: Sequence[Member], made: datetime, now: datetime) -> str:
    """Return why a set that was made at ``made``, with this member list, says nothing about the members' databases of ``now``; else ""."""
    if now - made > CURRENT:
        return f"the set is {age_text((now - made).total_seconds())} old"
    then, known = _membership(listed_then), _membership(live)
    changed = sorted({str(member) for member in live if then.get(member.id) != known[member.id]})
    changed += sorted(each for each in then.keys() - known.keys())
    return f"since the set was made the member list has changed: {listed(changed)}" if changed else ""


def _membership(members: Sequence[Member | Recorded]) -> dict[str, tuple[bool, frozenset[str]]]:
    return {member.id: (member.learner, frozenset(member.peer_urls)) for member in members}


def stored_members(
    live: Sequence[Member],
    stored: Mapping[str, Sequence[Member] | str],
    hosts: Mapping[str, str] | None = None,
    *,
    old: str = "",
) -> list[Finding]:
    """Compare the live member list with the members that each member's database holds (`bolt.members` of its snapshot).

    etcd 3.6 begins with those: a member that was removed long ago comes back, and one that has become a voter is a learner again.
    ``stored`` is by host; a text says why a snapshot could not be read. ``hosts``: the host of each member's ID where it is not its name.
    Without a snapshot, of any or of one live member, nothing is proven: a warning. So it is when the set is too ``old``, as `stale` says.
    """
    if not live:
        return [Finding("fail", topic=MEMBERS, seen="the live member list is not known", fix="inv etcd.status")]
    if not stored:
        return [Finding("warn", topic=MEMBERS, seen="not compared: there is no snapshot to read", fix="inv backup.run")]
    found = [_stored(live, host, those, old) for host, those in stored.items()]
    lacking = [name for each in live if (name := (hosts or {}).get(each.id) or str(each)) not in stored]
    seen = "not compared: the newest set has no snapshot of its member"
    return found + [Finding("warn", topic=MEMBERS, host=name, seen=seen, fix="inv backup.run") for name in lacking]


def _stored(live: Sequence[Member], host: str, those: Sequence[Member] | str, old: str) -> Finding:
    if isinstance(those, str):
        return Finding("warn", topic=MEMBERS, host=host, seen=f"not compared: {those}", fix="inv backup.run")
    wrong = _differences(live, those)
    if old:
        seen = "; ".join([f"its snapshot is stale: {old}", *wrong])
        return Finding("warn", topic=MEMBERS, host=host, seen=seen, why="so it proves nothing about now", fix="inv backup.run")
    if wrong:
        why = "etcd 3.6 takes its members from there: removed ones would come back"
        return Finding("fail", topic=MEMBERS, host=host, seen="; ".join(wrong), why=why, fix=f"{TAG}; then inv backup.run")
    seen = f"its database holds the same {counted(len(live), 'member')} as the live list"
    return Finding("ok", topic=MEMBERS, host=host, seen=seen)


def _differences(live: Sequence[Member], stored: Sequence[Member]) -> list[str]:
    now, then = {member.id: member for member in live}, {member.id: member for member in stored}
    found = [f"its database still has {then[each]} ({each}), which is no member" for each in then.keys() - now.keys()]
    found += [f"its database lacks {now[each]} ({each})" for each in now.keys() - then.keys()]
    for same in now.keys() & then.keys():
        if now[same].learner != then[same].learner:
            found.append(f"{now[same]} is a {_vote(now[same])}, in its database a {_vote(then[same])}")
        if set(now[same].peer_urls) != set(then[same].peer_urls):
            found.append(f"{now[same]} has other peer URLs in its database: {listed(then[same].peer_urls)}")
    return sorted(found)


def _vote(member: Member) -> str:
    return "learner" if member.learner else "voter"


def v2_data(target: Brought, view: View, checked: Mapping[Host, V2Check]) -> list[Finding]:
    """Return the findings about data of etcd's v2 API, with which etcd 3.6 does not start; none when it stays at 3.5, or is at 3.6 already.

    kubeadm never switches that API on (--enable-v2). Whoever did has to check; a member that was not checked is a note to that end.
    https://etcd.io/docs/v3.6/upgrades/upgrade_3_6/#v2-store
    """
    old = [host for host, status in view.statuses.items() if (version_in(status.version) or (0, 0, 0))[:2] == (3, 5)]
    if not target.version or target.version[:2] < (3, 6) or not old:
        return []
    found = []
    for host in old:
        check = checked.get(host, V2Check("unchecked", "not asked"))
        if check.state == "custom":
            fix = "https://etcd.io/docs/v3.6/upgrades/upgrade_3_6/#v2-store says how to clean it up, and that it may go away by itself"
            found.append(
                Finding("fail", topic=V2, host=host.name, seen=check.said, why="etcd 3.6 does not start with it", fix=fix)
            )
        elif check.state == "clean":
            found.append(
                Finding("ok", topic=V2, host=host.name, seen="no data of the v2 API in its snapshot and its write-ahead log")
            )
        else:
            words = f"not checked for data of the v2 API ({check.said})"
            fix = "nothing, if etcd has never run with --enable-v2, which kubeadm does not set; else etcdutl check v2store of 3.5.32 or newer"
            found.append(Finding("warn", topic=V2, host=host.name, seen=words, fix=fix))
    return found


def _named(versions_by_host: Mapping[Host, Version | None]) -> dict[str, Version | None]:
    return {host.name: version for host, version in versions_by_host.items()}
