"""What `inv etcd.status`, `inv etcd.members` and `inv etcd.perf` show."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from runbooks.commands.etcd import Member
from runbooks.commands.etcd_metrics import Metrics, metrics
from runbooks.errors import OutcomeError, RunbookError, first_hint, reason
from runbooks.inventory.model import Host, Site
from runbooks.rules import etcd as rules
from runbooks.rules import etcd_care as care
from runbooks.rules import etcd_perf as latencies
from runbooks.rules.etcd import View
from runbooks.rules.finding import Finding, for_machines, told
from runbooks.text import age_text, naming, percent, size_text, table
from runbooks.view.etcd import asked, seen_by

if TYPE_CHECKING:
    from runbooks.engine.session import Session

STATUS_HEADER = ("member", "host", "ID", "version", "role", "term", "lag", "size", "in use", "alarms", "state")
MEMBERS_HEADER = ("member", "ID", "vote", "host", "peer URLs", "client URLs")
PERF_HEADER = (
    "host",
    "fsync p99",
    "commit p99",
    "peers p99",
    "leader changes",
    "slow applies",
    "late heartbeats",
    "quota used",
    "up",
)


def show_status(session: Session) -> None:
    """Print every control plane's member. Raises OutcomeError when anything is wrong."""
    said = asked(session.run)
    view = seen_by(said)
    trouble = rules.problems(view)
    if session.options.json:
        print(json.dumps(_status_for_machines(view, trouble)))
    else:
        _status_for_people(session.site, view)
    if trouble:
        errors = [each for each in said.values() if isinstance(each, RunbookError)]
        raise OutcomeError("\n       ".join(trouble), hint=_way_out(view) or first_hint(errors))


def _status_for_people(site: Site, view: View) -> None:
    behind = rules.lag(view.statuses)
    rows = []
    for host in view.said:
        member, status = view.member_of(host), view.statuses.get(host)
        if not status:
            name, number = (str(member), member.id) if member else ("?", "?")
            rows.append([name, host.name, number, *[""] * 7, _short(host, rules.not_well(view, host))])
            continue
        role = "leader" if status.leads else "learner" if status.learner else "follower" if status.leader else "no leader"
        alarms = ", ".join(sorted({alarm.kind for alarm in status.alarms if alarm.member == status.member})) or "-"
        sizes = [size_text(status.size), percent(status.in_use, status.size)]
        numbers = [str(status.term), str(behind[host]), *sizes, alarms]
        state = rules.not_well(view, host) or "healthy"
        rows.append([str(member or "?"), host.name, status.member, status.version, role, *numbers, state])
    print(f"{site.name}: etcd\n\n" + table(STATUS_HEADER, rows) + "\n\n" + summary(view))
    for host, status in view.statuses.items():
        if not status.alarms and (reason := care.defrag_worthwhile(status)):
            print(f"note: {host}: {reason}: inv etcd.defrag")


def _short(host: Host, reason: str) -> str:
    return reason.splitlines()[0].removeprefix(f"{host} ({host.address}): ")


def summary(view: View) -> str:
    """Say in one line how many are healthy, and how many more may fail."""
    votes = rules.voters(view.members)
    if not votes:
        return f"nobody can tell who is a member; {len(view.statuses)} of {len(view.said)} control planes answer"
    well = [member for member in votes if member.id in rules.healthy_ids(view)]
    spare = len(well) - rules.quorum(len(votes))
    if spare < 0:
        end = f"the quorum ({rules.quorum(len(votes))}) is lost: nothing can be written"
    else:
        end = f"{spare} more may fail" if spare else "none may fail: the next failure stops the cluster"
    return f"{len(well)} of {len(votes)} voters healthy; {end}"


def _status_for_machines(view: View, trouble: Sequence[str]) -> dict[str, Any]:
    behind = rules.lag(view.statuses)
    hosts = {}
    for host in view.said:
        member, status = view.member_of(host), view.statuses.get(host)
        hosts[host.name] = {
            "member": asdict(member) if member else None,
            "status": asdict(status) | {"lag": behind[host], "leads": status.leads} if status else None,
            "healthy": not rules.not_well(view, host),
            "why": rules.not_well(view, host),
        }
    return {"ok": not trouble, "problems": list(trouble), "summary": summary(view), "hosts": hosts}


def _way_out(view: View) -> str:
    kinds = {alarm.kind for status in view.statuses.values() for alarm in status.alarms}
    if "CORRUPT" in kinds:
        return "docs/etcd.md, Corruption: replace that member; never disarm this alarm first"
    if "NOSPACE" in kinds and view.members and len(rules.healthy_ids(view)) >= rules.quorum(len(rules.voters(view.members))):
        return "inv etcd.disarm"
    if not view.statuses:
        return "inv cluster.status; before the first `inv cluster.init` there is no etcd"
    return ""


def show_members(session: Session) -> None:
    """Print the member list and where each member runs. Raises OutcomeError when nobody can tell."""
    said = asked(session.run)
    view = seen_by(said)
    if not view.members:
        errors = [each for each in said.values() if isinstance(each, RunbookError)]
        text = "".join(f"\n       {naming(host, rules.not_well(view, host))}" for host in view.said)
        raise OutcomeError(
            f"nobody can tell who is a member:{text}", hint=_way_out(view) or first_hint(errors) or "inv etcd.status"
        )
    if session.options.json:
        print(json.dumps([asdict(member) | {"host": _name(view, member)} for member in view.members]))
        return
    rows = [
        [
            member.name or "-",
            member.id,
            _vote(member),
            _name(view, member) or "-",
            *map(" ".join, (member.peer_urls, member.client_urls)),
        ]
        for member in view.members
    ]
    votes = len(rules.voters(view.members))
    print(table(MEMBERS_HEADER, rows))
    print(f"\n{votes} voters: {rules.quorum(votes)} have to agree, {rules.tolerates(votes)} may fail")


def _vote(member: Member) -> str:
    vote = "learner" if member.learner else "voter"
    return vote if member.name else f"{vote}, never started"


def _name(view: View, member: Member) -> str:
    host = view.host_of(member)
    return host.name if host else ""


def show_perf(session: Session) -> None:
    """Print every member's latencies. Raises OutcomeError when one is over its threshold, or cannot be read."""
    said = session.run.read_each(dict.fromkeys(session.site.control_plane, metrics()))
    seen = {host: each for host, each in said.items() if not isinstance(each, RunbookError)}
    failed = {host: each for host, each in said.items() if isinstance(each, RunbookError)}
    found = {host: latencies.perf(each) for host, each in seen.items()}
    findings = [
        Finding("fail", topic="etcd", host=host.name, seen=reason(host, each), fix=each.hint) for host, each in failed.items()
    ]
    findings += [each for host, perf in found.items() for each in latencies.judged(host, perf)]
    if session.options.json:
        hosts = {host.name: asdict(perf) for host, perf in found.items()}
        print(json.dumps({"ok": not findings, "findings": [for_machines(each) for each in findings], "hosts": hosts}))
    else:
        _perf_for_people(session.site, found, seen)
    if findings:
        fixes = dict.fromkeys(each.fix for each in findings if each.fix)
        lines = [": ".join(filter(None, (told(each), each.why))) for each in findings]
        raise OutcomeError("\n       ".join(lines), hint="\n       ".join(fixes))


def _perf_for_people(site: Site, found: Mapping[Host, latencies.Perf], seen: Mapping[Host, Metrics]) -> None:
    rows = []
    for host in site.control_plane:
        if host not in found:
            rows.append([host.name, "?", *[""] * 7])
            continue
        perf, up = found[host], max(time.time() - seen[host].started, 0)
        numbers = (perf.leader_changes, perf.slow_applies, perf.late_heartbeats)
        times = map(_latency, (perf.fsync, perf.commit, perf.round_trip))
        share = "-" if perf.quota_share is None else percent(perf.quota_share, 1)
        rows.append([host.name, *times, *map(str, numbers), share, age_text(up)])
    print(table(PERF_HEADER, rows))
    few = any(each.samples < latencies.FEW for perf in found.values() for each in (perf.fsync, perf.commit, perf.round_trip))
    print("\n99th percentiles and counts since each member started" + ("; ? is from too few samples to be judged" if few else ""))


def _latency(seen: latencies.Latency) -> str:
    return latencies.ms(seen.p99_s) + ("?" if 0 < seen.samples < latencies.FEW else "")
