"""`inv upgrade.plan`: the forecast of an upgrade as one table, with the order, the schedule and the diffs."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime
from typing import TYPE_CHECKING

from runbooks.certs.rules.report import Expiry
from runbooks.errors import OutcomeError
from runbooks.inventory.model import Host
from runbooks.rules.finding import SEEN, SEVERITY, Column, Finding, for_machines, shown, tally, told
from runbooks.rules.upgrade_seen import text
from runbooks.text import first_few, listed, table
from runbooks.upgrade.forecast import Forecast, forecast
from runbooks.upgrade.judge import DAYS
from runbooks.upgrade.rules.choices import Choices
from runbooks.upgrade.rules.schedule import DRAIN, LB_OUT, Schedule, Spread, span, window

if TYPE_CHECKING:
    from runbooks.engine.session import Session

TOLD = 6
NAMED = 3  # hosts that a row of the table names; --json has all


def show(session: Session, choices: Choices) -> None:
    """Print the forecast. Raises OutcomeError when `upgrade.run` would not be let through."""
    found = forecast(session, choices.to, choices)
    if session.options.json:
        print(json.dumps(for_programs(found)))
    else:
        print(for_people(session.site.name, found, datetime.now().astimezone(), choices))
    if found.refusals:
        lines = first_few([told(each) for each in _alike(found.refusals)], TOLD)
        hint = next((each.fix for each in found.refusals if each.fix), "")
        raise OutcomeError("\n       ".join([f"upgrade.run to {text(found.target)} would be refused:", *lines]), hint=hint)


# ---- for people


def for_people(name: str, found: Forecast, now: datetime, choices: Choices) -> str:
    """Return the whole output: head, table of findings, order and times, diffs."""
    rows = brief(found.findings)
    parts = [f"{name}: upgrade from {text(found.since)} to {text(found.target)}{_hops(found)}", shown(rows, COLUMNS)]
    if found.schedule and found.schedule.steps:
        parts.append(_times(found, found.schedule, now, choices))
    elif found.schedule:
        parts.append(f"nothing is left to be done: every host is at {text(found.target)}")
    for diff in dict.fromkeys(found.switches.values()):
        hosts = listed(host for host, own in found.switches.items() if own == diff)
        parts.append(f"repositories on {hosts}, switched by upgrade.run:\n{diff.rstrip()}")
    parts += [f"by hand on {listed(hosts)}:\n{change.diff}" for change, hosts in found.changes.items()]
    would = "refused" if found.refusals else "let through"
    count = tally(rows)
    parts.append(f"upgrade.run would be {would}{f': {count}' if count else ''}")
    return "\n\n".join(parts)


def _hops(found: Forecast) -> str:
    return f", in {len(found.way)} hops: {listed(found.way)}" if len(found.way) > 1 else ""


# The topics of the forecast itself; what else is checked is the cluster's health, as `inv cluster.verify` has it.
OWN = {
    *("path", "upgrade", "version skew", "etcd", "etcd members", "etcd v2", "settings", "APIs"),
    *("by hand", "packages", "room", "drains", "backup"),
}


def brief(findings: Sequence[Finding]) -> list[Finding]:
    """Return the findings for people: the same one of several hosts or topics once, and one line for each topic of which all is ok.

    A host that does not answer is one finding, although several checks have missed it.

    >>> [each.seen for each in brief([Finding("ok", topic="node", seen="x"), Finding("ok", topic="VIP", seen="y")])]
    ['2 checks: node, VIP']
    """
    wrong = list({(each.host, each.seen): each for each in reversed(findings) if each.severity != "ok"}.values())[::-1]
    good: dict[str, list[Finding]] = {}
    for each in findings:
        if each.severity == "ok":
            good.setdefault(_area(each), []).append(each)
    return [*_alike(wrong), *(_joined(area, those) for area, those in good.items())]


def _area(finding: Finding) -> str:
    if isinstance(finding, Expiry):
        return "certificates"
    return finding.topic if finding.topic in OWN else "cluster"


def _joined(area: str, those: Sequence[Finding]) -> Finding:
    if area == "certificates":
        return Finding(
            "ok",
            topic=area,
            seen=f"{len(those)} checks: valid for more than {DAYS} days, and what is served is what is in the files",
        )
    if area == "cluster":
        return Finding("ok", topic=area, seen=f"{len(those)} checks: {listed(dict.fromkeys(each.topic for each in those))}")
    return Finding("ok", topic=area, seen="; ".join(dict.fromkeys(each.seen for each in those if each.seen)))


def _alike(findings: Sequence[Finding]) -> list[Finding]:
    """Join findings that differ only in their host, also where the host is named in the command that mends it."""
    found: dict[tuple[str, ...], list[Finding]] = {}
    for each in findings:
        fix = re.sub(rf"(?<![\w-]){re.escape(each.host)}(?![\w-])", "HOST", each.fix) if each.host else each.fix
        found.setdefault((each.severity, each.topic, each.seen, each.why, fix), []).append(each)
    return [_one_of(those) for those in found.values()]


def _one_of(those: Sequence[Finding]) -> Finding:
    first = those[0]
    if len(those) == 1:
        return first
    others = listed(first_few([each.host for each in those[1:]], TOLD))
    fix = f"{first.fix}; the same on {others}" if first.host and first.host in first.fix else first.fix
    return Finding(
        first.severity, topic=first.topic, host=listed(each.host for each in those), seen=first.seen, why=first.why, fix=fix
    )


def _hosts(finding: Finding) -> str:
    names = finding.host.split(", ")
    return finding.host if len(names) <= NAMED else f"{names[0]} and {len(names) - 1} more"


def _topic(finding: Finding) -> str:
    return finding.topic or _area(finding)


COLUMNS: list[Column] = [SEVERITY, ("topic", _topic), ("host", _hosts), SEEN]


def _times(found: Forecast, plan: Schedule, now: datetime, choices: Choices) -> str:
    hosts = list(dict.fromkeys((*found.left.control_plane, *found.left.nodes)))
    rows = [_row(host, found, plan) for host in hosts]
    lines = [table(["in this order", "control plane begins", "drain begins", "work in all"], rows)]
    per_hop = " for each hop" if len(found.way) > 1 else ""
    lines.append(f"in all{per_hop} {span(plan.total)}; {window(plan.total, now)}")
    if assumed := plan.assumed():
        lines.append(
            f"no past run of: {listed(first_few(assumed, 3))}; these times are assumed or from a lab, or foreseen from the Pods"
        )
    at_once = max((len(group) for group in found.left.kubelets), default=1)
    lines += [f"workers: {at_once} at once, after the first one alone"] if at_once > 1 else []
    if choices.until:
        begun = plan.begun_within((choices.until - now).total_seconds())
        rest = [host.name for host in hosts if host.name not in begun]
        lines.append(f"until {choices.until:%H:%M}: " + (f"not begun: {listed(rest)}" if rest else "every host is begun"))
    if choices.pause_after:
        lines.append(f"ends after {choices.pause_after}")
    return "\n".join(lines)


def _row(host: Host, found: Forecast, plan: Schedule) -> list[str]:
    leads = " (leads etcd)" if host == found.leader else ""
    kubeadm = _short(plan.begins(host.name, LB_OUT)) if host.is_control_plane else ""
    stop = next((each for each in found.stops if each.host == host), None)
    drain = _short(plan.begins(host.name, DRAIN))
    drain += f", STOPS: {listed(stop.by)}" if stop and stop.certain else f", may stop: {listed(stop.by)}" if stop else ""
    takes = plan.per_host().get(host.name)
    return [f"{host}{leads}", kubeadm, drain, span(takes) if takes else ""]


def _short(moment: Spread | None) -> str:
    """Return a time after the start, with its window in minutes.

    >>> _short(Spread(300, 540, 1210)), _short(Spread(3, 10, 50)), _short(None)
    ('+9 min (5 to 21)', '+0 min (0 to 1)', '')
    """
    if not moment:
        return ""
    return f"+{moment.typical // 60:.0f} min ({moment.low // 60:.0f} to {-int(-moment.high // 60)})"


# ---- for programs


def for_programs(found: Forecast) -> dict[str, object]:
    """Return the forecast as JSON: versions are texts, times are seconds after the start."""
    plan = found.schedule
    return {
        "ok": not found.refusals,
        "from": text(found.since) if found.since else None,
        "to": text(found.target),
        "hops": [str(hop) for hop in found.way],
        "findings": [for_machines(each) for each in found.findings],
        "order": {
            "control_plane": [host.name for host in found.left.control_plane],
            "kubelets": [[host.name for host in group] for group in found.left.kubelets],
            "etcd_leader": found.leader.name if found.leader else None,
        },
        "stops": [
            {"host": each.host.name, "begins": _spread(each.begins), "by": list(each.by), "certain": each.certain}
            for each in found.stops
        ],
        "schedule": plan
        and {
            "total": _spread(plan.total),
            "steps": [
                {"host": each.part.host, "step": each.part.name, "begins": _spread(each.begins), "takes": asdict(each.takes)}
                for each in plan.steps
            ],
        },
        "repositories": {host.name: diff for host, diff in found.switches.items()},
        "by_hand": [
            {"file": change.file, "hosts": [host.name for host in hosts], "gone": change.gone, "comes": change.comes}
            for change, hosts in found.changes.items()
        ],
    }


def _spread(spread: Spread) -> dict[str, float]:
    return {"low": round(spread.low, 1), "typical": round(spread.typical, 1), "high": round(spread.high, 1)}
