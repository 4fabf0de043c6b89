"""What an upgrade that was interrupted may go on with: hosts that it has left in the middle look broken, and are what it repairs. Pure."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import replace

from runbooks.rules.finding import Finding, at_least
from runbooks.upgrade.rules import accepted

_MAINT = re.compile(r"(\S+) is MAINT(?: \([^)]*\))?")
# Of the cluster's checks, those that fail on a host while kubeadm, or the restart of a kubelet, is in the middle of it.
IN_WORK = frozenset(
    {"API server", "API by VIP", "static pods", "node", "kube-proxy", "other pods", "leader", "LB", "etcd", "CoreDNS"}
)


def refusals(found: Sequence[Finding], in_work: Collection[str], kept: Collection[str] = ()) -> list[Finding]:
    """Return the failures that forbid to begin, or to go on. Those about a host of ``in_work`` are left out, in checks of IN_WORK only.

    ``in_work``: the hosts that an interrupted upgrade has left in the middle. ``kept``: those on which it has begun; they may be in
    maintenance on the load balancers. A failure about another host, or about no host, counts always. A load balancer's row names the server in
    its first word.
    """
    return [each for each in at_least("fail", found) if not _expected(each, in_work) and not _taken_out(each, kept)]


def softened(found: Sequence[Finding], in_work: Collection[str], kept: Collection[str], version: str) -> list[Finding]:
    """Return the findings with what `refusals` leaves out as warnings: it is what going on repairs."""
    why = f"an upgrade to {version} was interrupted there; upgrade.run goes on with it"
    stop = refusals(found, in_work, kept)
    return [each if each.severity != "fail" or each in stop else replace(each, severity="warn", why=why) for each in found]


def _taken_out(each: Finding, kept: Collection[str]) -> bool:
    """Return whether a row of a load balancer says nothing else than that hosts of ``kept`` are in maintenance."""
    out = set(_MAINT.findall(each.seen))
    return each.topic == "LB" and bool(out) and out <= set(kept) and not _MAINT.sub("", each.seen).strip("; ")


def _expected(each: Finding, in_work: Collection[str]) -> bool:
    lost = (
        each.topic == accepted.TOPIC and accepted.NO_MANIFEST in each.seen
    )  # kubeadm ended between taking the old one and putting the new one
    if each.topic not in IN_WORK and not lost:
        return False
    names = {each.seen.split(" ", 1)[0]} if each.topic == "LB" else {name for name in each.host.split(", ") if name}
    return bool(names) and names <= set(in_work)
