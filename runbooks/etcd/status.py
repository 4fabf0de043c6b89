"""What `inv etcd.status`, `inv etcd.members` and `inv etcd.perf` show."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from runbooks.commands.etcd import Look, Member
from runbooks.commands.etcd_metrics import Metrics, metrics
from runbooks.errors import OutcomeError, RunbookError, first_hint
from runbooks.etcd.rules import data_file, latencies
from runbooks.etcd.rules.latencies import Latency, Perf
from runbooks.inventory.model import Host, Site
from runbooks.rules import etcd as rules
from runbooks.rules import etcd_corrupt, next_command, stacked
from runbooks.rules.etcd import View
from runbooks.rules.etcd_standing import standing
from runbooks.rules.finding import for_machines, told, unread
from runbooks.text import age_text, listed, naming, percent, size_text, table
from runbooks.view.etcd import answers, view_of

if TYPE_CHECKING:
    from runbooks.engine.session import Session

DOCTOR = "inv doctor finds the cause, and names the command for it"
STATUS_HEADER = ("member", "host", "ID", "version", "role", "term", "lag", "size", "in use", "alarms", "state")
MEMBERS_HEADER = ("member", "ID", "vote", "host", "peer URLs", "client URLs")
PERF_COUNTS = ("leader changes", "slow applies", "late heartbeats")
PERF_HEADER = ("host", "fsync p99", "commit p99", "peers p99", *PERF_COUNTS, "quota used", "up")


def show_status(session: Session) -> None:
    """Print the member of every control plane host. Raises OutcomeError when anything is wrong."""
    stacked.require(session.site)
    said = answers(session.run)
    view = view_of(said)
    problems = rules.problems(view)
    if session.options.json:
        print(json.dumps(_status_json(view, problems)))
    else:
        _print_status(session.site, view)
    if problems:
        raise OutcomeError("\n       ".join(problems), hint=_hint(view) or after(said, problems))


def _print_status(site: Site, view: View) -> None:
    behind = rules.lag(view.statuses)
    rows = []
    for host in view.said:
        member, status = view.member_of(host), view.statuses.get(host)
        if not status:
            name, number = (str(member), member.id) if member else ("?", "?")
            rows.append([name, host.name, number, *[""] * 7, _short(host, rules.why_unhealthy(view, host))])
            continue
        role = "leader" if status.leads else "learner" if status.learner else "follower" if status.leader else "no leader"
        alarms = listed(sorted({alarm.kind for alarm in status.alarms if alarm.member == status.member})) or "-"
        sizes = [size_text(status.size), percent(status.in_use, status.size)]
        numbers = [str(status.term), str(behind[host]), *sizes, alarms]
        state = rules.why_unhealthy(view, host) or "healthy"
        rows.append([str(member or "?"), host.name, status.member, status.version, role, *numbers, state])
    print(f"{site.name}: etcd\n\n" + table(STATUS_HEADER, rows) + "\n\n" + summary(view))
    for host, status in view.statuses.items():
        if not status.alarms and (reason := data_file.defrag_worthwhile(status)):
            print(f"note: {host}: {reason}: inv etcd.defrag")


def _short(host: Host, reason: str) -> str:
    return reason.splitlines()[0].removeprefix(f"{host} ({host.address}): ")


def summary(view: View) -> str:
    """Return one line: how many members are healthy, and what the next loss means."""
    unknown = f"the member list is unknown; etcd answers on {len(view.statuses)} of {len(view.said)} control plane hosts"
    return standing(view) or unknown


def _status_json(view: View, problems: Sequence[str]) -> dict[str, Any]:
    behind = rules.lag(view.statuses)
    hosts = {}
    for host in view.said:
        member, status = view.member_of(host), view.statuses.get(host)
        hosts[host.name] = {
            "member": asdict(member) if member else None,
            "status": asdict(status) | {"lag": behind[host], "leads": status.leads} if status else None,
            "healthy": not rules.why_unhealthy(view, host),
            "why": rules.why_unhealthy(view, host),
        }
    return {"ok": not problems, "problems": list(problems), "summary": summary(view), "hosts": hosts}


def _hint(view: View) -> str:
    kinds = {alarm.kind for status in view.statuses.values() for alarm in status.alarms}
    if "CORRUPT" in kinds:
        return etcd_corrupt.after(view)
    if "NOSPACE" in kinds and view.members and len(rules.healthy_ids(view)) >= rules.quorum(len(rules.voters(view.members))):
        return "inv etcd.disarm"
    if not view.statuses:
        return f"{DOCTOR}; before the first `inv cluster.init` there is no etcd"
    return ""


def after(said: Mapping[Host, Look | RunbookError], problems: Sequence[str]) -> str:
    """Return what to do about the only problem when that is a host that does not answer; else the command that finds the cause."""
    silent = {host: each for host, each in said.items() if isinstance(each, RunbookError)}
    if len(silent) == len(problems) == 1:
        return next(next_command.unreachable(host, each) for host, each in silent.items())
    return DOCTOR


def show_members(session: Session) -> None:
    """Print the member list and the host of each member. Raises OutcomeError when no host can read the list."""
    stacked.require(session.site)
    said = answers(session.run)
    view = view_of(said)
    if not view.members:
        errors = [each for each in said.values() if isinstance(each, RunbookError)]
        text = "".join(f"\n       {naming(host, rules.why_unhealthy(view, host))}" for host in view.said)
        raise OutcomeError(
            f"no control plane host can read etcd's member list:{text}",
            hint=_hint(view) or first_hint(errors) or "inv etcd.status",
        )
    if session.options.json:
        print(json.dumps([asdict(member) | {"host": _host_name(view, member)} for member in view.members]))
        return
    rows = []
    for member in view.members:
        urls = map(" ".join, (member.peer_urls, member.client_urls))
        rows.append([member.name or "-", member.id, _vote(member), _host_name(view, member) or "-", *urls])
    votes = len(rules.voters(view.members))
    print(table(MEMBERS_HEADER, rows))
    print(f"\n{votes} voters: {rules.quorum(votes)} have to agree, {rules.tolerates(votes)} may fail")


def _vote(member: Member) -> str:
    vote = "learner" if member.learner else "voter"
    return vote if member.name else f"{vote}, never started"


def _host_name(view: View, member: Member) -> str:
    host = view.host_of(member)
    return host.name if host else ""


def show_perf(session: Session) -> None:
    """Print every member's latencies. Raises OutcomeError when one is over its limit, or cannot be read."""
    stacked.require(session.site)
    said = session.run.read_each(dict.fromkeys(session.site.control_plane, metrics()))
    counted = {host: each for host, each in said.items() if isinstance(each, Metrics)}
    found = {host: latencies.summary(each) for host, each in counted.items()}
    findings = [*dict.fromkeys(unread("etcd", host, each) for host, each in said.items() if isinstance(each, RunbookError))]
    findings += [each for host, perf in found.items() for each in latencies.judged(host, perf)]
    if session.options.json:
        hosts = {host.name: asdict(perf) for host, perf in found.items()}
        print(json.dumps({"ok": not findings, "findings": [for_machines(each) for each in findings], "hosts": hosts}))
    else:
        _print_perf(session.site, found, counted)
    if findings:
        fixes = dict.fromkeys(each.fix for each in findings if each.fix)
        lines = [": ".join(filter(None, (told(each), each.why))) for each in findings]
        raise OutcomeError("\n       ".join(lines), hint="\n       ".join(fixes))


def _print_perf(site: Site, found: Mapping[Host, Perf], counted: Mapping[Host, Metrics]) -> None:
    rows = []
    for host in site.control_plane:
        if host not in found:
            rows.append([host.name, "?", *[""] * 7])
            continue
        perf, up = found[host], max(time.time() - counted[host].started, 0)
        numbers = (perf.leader_changes, perf.slow_applies, perf.late_heartbeats)
        times = map(_latency_text, (perf.fsync, perf.commit, perf.round_trip))
        share = "-" if perf.quota_share is None else percent(perf.quota_share, 1)
        rows.append([host.name, *times, *map(str, numbers), share, age_text(up)])
    print(table(PERF_HEADER, rows))
    few = any(each.samples < latencies.FEW for perf in found.values() for each in (perf.fsync, perf.commit, perf.round_trip))
    print(
        "\n99th percentiles and counts since each member started" + ("; ? means: too few samples for a judgement" if few else "")
    )


def _latency_text(latency: Latency) -> str:
    return latencies.ms(latency.p99_s) + ("?" if 0 < latency.samples < latencies.FEW else "")
