"""Which etcd member leads, and which one may lead next. Pure."""

from __future__ import annotations

from runbooks.commands.etcd import Member
from runbooks.errors import PrecheckError
from runbooks.inventory.model import Host
from runbooks.rules import etcd as rules
from runbooks.rules.etcd import View


def leader_of(view: View) -> str:
    """Return the ID of the leader if all members that know a leader name the same one; else ""."""
    named = {status.leader for status in view.statuses.values() if status.leader}
    return named.pop() if len(named) == 1 else ""


def next_leader(view: View, leader: Host | None, text: str = "", member: Member | None = None) -> Member:
    """Return the member to make the leader: always a healthy voter.

    ``member`` is the one that the operator asked for, and ``text`` how they named it. Without it: of the healthy voters that are
    not on the host ``leader``, the one with the smallest lag. Raises PrecheckError when ``member`` is a learner or not healthy, or
    when no other healthy voter exists.
    """
    healthy = rules.healthy_ids(view)
    if member:
        if member.learner:
            raise PrecheckError(f"{text}: {member} is a learner; only a voter can lead", hint="inv etcd.status")
        if member.id not in healthy:
            host = view.host_of(member)
            reason = (rules.why_unhealthy(view, host) if host else "") or "it runs on no control plane host of hosts.yaml"
            raise PrecheckError(f"{text}: {member} is not healthy: {reason}", hint="inv etcd.status")
        return member
    behind = rules.lag(view.statuses)
    able = [
        (behind[host], str(host), found)
        for host in view.statuses
        if host != leader and (found := view.member_of(host)) and found.id in healthy and not found.learner
    ]
    if not able:
        raise PrecheckError("no other healthy voter can become the leader", hint="inv etcd.status")
    return min(able, key=lambda each: each[:2])[2]
