"""Findings about etcd for `inv cluster.verify`; `rules.etcd` decides what is wrong. Pure."""

from __future__ import annotations

from runbooks.rules import etcd
from runbooks.rules.etcd import View
from runbooks.rules.etcd_standing import standing
from runbooks.rules.finding import Finding
from runbooks.text import size_text


def rows(view: View) -> list[Finding]:
    """Return a failure for each fault and a warning for each other problem; without any, one finding that is ok."""
    faults = etcd.faults(view)
    found = [
        Finding(
            "fail",
            topic="etcd",
            seen=fault,
            why=standing(view),
            fix="inv doctor names the cause and the command",
        )
        for fault in faults
    ]
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
