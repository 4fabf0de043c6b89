"""The alarm CORRUPT of etcd: for which members it is on, and what comes next. While it is on, etcd refuses every write. Pure."""

from __future__ import annotations

from runbooks.rules.etcd import View

SEVERAL = "docs/etcd.md, Corruption"


def corrupt(view: View) -> frozenset[str]:
    """Return the IDs of the members for which etcd has an alarm CORRUPT, also of members that were removed."""
    return frozenset(alarm.member for status in view.statuses.values() for alarm in status.alarms if alarm.kind == "CORRUPT")


def after(view: View) -> str:
    """Return the next command while the alarm is on.

    With an alarm for several members nobody knows which data is right: then no command is named. A member that was removed leaves its
    alarm behind.
    """
    raised = corrupt(view)
    here = [str(view.host_of(member) or member.id) for member in view.members if member.id in raised]
    if len(here) == 1:
        return f"inv recover.etcd-member --member {here[0]} --rejoin"
    return SEVERAL if here else "on a control plane host: etcdctl alarm disarm (the member that it names was removed)"
