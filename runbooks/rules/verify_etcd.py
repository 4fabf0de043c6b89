"""Findings about etcd for `inv cluster.verify`; `rules.etcd` decides what is wrong. Pure."""

from __future__ import annotations

from runbooks.rules import etcd
from runbooks.rules.etcd import View
from runbooks.rules.etcd_standing import standing
from runbooks.rules.finding import Finding
from runbooks.text import naming, size_text


def rows(view: View) -> list[Finding]:
    """Return a failure for each fault and a warning for each other problem; without any, one finding that is ok.

    The fault of one member alone has the host of that member.
    """
    faults, fix, now = etcd.faults(view), "inv doctor names the cause and the command", standing(view)
    found = []
    for host in view.said:
        if why := etcd.why_unhealthy(view, host):
            own = view.member_of(host) is not None
            seen = why if own else naming(host, why)
            found.append(Finding("fail", topic="etcd", host=host.name if own else "", seen=seen, why=now, fix=fix))
    found += [Finding("fail", topic="etcd", seen=fault, why=now, fix=fix) for fault in etcd.shared_faults(view)]
    found += [Finding("warn", topic="etcd", seen=odd, fix="inv etcd.status") for odd in etcd.problems(view) if odd not in faults]
    return found or [Finding("ok", topic="etcd", seen=_well(view))]


def _well(view: View) -> str:
    statuses = view.statuses
    leader = next((str(host) for host, status in statuses.items() if status.leads), "")
    largest = max((status.size for status in statuses.values()), default=0)
    behind = max(etcd.lag(statuses).values(), default=0)
    voters = len(etcd.voters(view.members))
    return (
        f"{voters} members healthy, leader {leader}, no alarms, at most {behind} entries behind, "
        f"data files of at most {size_text(largest)}; {etcd.tolerates(voters)} may fail"
    )
