"""What an upgrade that was interrupted may go on with: hosts that it has left in the middle look broken, and are what it repairs. Pure."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import replace

from runbooks.rules import upgrade_standing
from runbooks.rules.finding import Finding, at_least
from runbooks.upgrade.rules import accepted, apis, etcd_gates

_MAINT = re.compile(r"(\S+) is MAINT(?: \([^)]*\))?")
# Of the cluster's checks, those that fail on a host while kubeadm, or the restart of a kubelet, is in the middle of it.
IN_WORK = frozenset({"API server", "API by VIP", "static pods", "node", "kube-proxy", "other pods", "leader", "LB", "CoreDNS"})
# What cannot be read of it when kubeadm ended between taking an old manifest away and putting the new one, by topic.
NOT_READ = (
    (accepted.TOPIC, accepted.NO_MANIFEST),
    (apis.TOPIC, apis.METRICS),
    (upgrade_standing.TOPIC, upgrade_standing.NOT_READ),
)


def refusals(found: Sequence[Finding], in_work: Collection[str], kept: Collection[str] = ()) -> list[Finding]:
    """Return the failures that forbid to begin, or to go on. Those about a host of ``in_work`` are left out, in checks of IN_WORK only.

    ``in_work``: the hosts that an interrupted upgrade has left in the middle. ``kept``: those on which it has begun; they may be in
    maintenance on the load balancers. A failure about another host, or about no host, counts always. A load balancer's row names the server in
    its first word. Of etcd only the member of one host in work may be away, while the others have the quorum; that host is gone on with first.
    """
    failures = at_least("fail", found)
    member = _member_in_work(failures, in_work)
    return [each for each in failures if not _expected(each, in_work, member) and not _taken_out(each, kept)]


def softened(found: Sequence[Finding], in_work: Collection[str], kept: Collection[str], version: str) -> list[Finding]:
    """Return the findings with what `refusals` leaves out as warnings: it is what going on repairs."""
    why = f"an upgrade to {version} was interrupted there; upgrade.run goes on with it"
    stop = refusals(found, in_work, kept)
    return [each if each.severity != "fail" or each in stop else replace(each, severity="warn", why=why) for each in found]


def _taken_out(each: Finding, kept: Collection[str]) -> bool:
    """Return whether a row of a load balancer says nothing else than that hosts of ``kept`` are in maintenance."""
    out = set(_MAINT.findall(each.seen))
    return each.topic == "LB" and bool(out) and out <= set(kept) and not _MAINT.sub("", each.seen).strip("; ")


def _member_in_work(failures: Sequence[Finding], in_work: Collection[str]) -> str:
    """Return the host in work whose member of etcd is the only one that is not healthy, or "".

    "" too when etcd has another fault, and when it would lose its quorum without that member.
    """
    etcd = [each for each in failures if each.topic == etcd_gates.TOPIC]
    faults = {each.host for each in etcd if etcd_gates.MUST_NOT_STOP not in each.seen}
    must_not_stop = {each.host for each in etcd if etcd_gates.MUST_NOT_STOP in each.seen}
    only = next(iter(faults)) if len(faults) == 1 else ""
    return only if only in in_work and only not in must_not_stop else ""


def _expected(each: Finding, in_work: Collection[str], member: str) -> bool:
    if each.topic == etcd_gates.TOPIC:
        own = each.host == member and each.fix != etcd_gates.TAG  # not what etcd's own path asks for
        return bool(member) and (own or etcd_gates.MUST_NOT_STOP in each.seen)
    if each.topic not in IN_WORK and not any(each.topic == topic and words in each.seen for topic, words in NOT_READ):
        return False
    names = hosts_of(each)
    return bool(names) and names <= set(in_work)


def hosts_of(each: Finding) -> set[str]:
    """Return the hosts that a finding is about. The row of a load balancer names the server in its first word."""
    return {each.seen.split(" ", 1)[0]} if each.topic == "LB" else {name for name in each.host.split(", ") if name}
