"""Overloaded hosts, and what follows from that: an answer that comes too late looks like something that is broken. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import replace

from runbooks.inventory.model import Host
from runbooks.rules import load
from runbooks.rules.finding import Finding, told, worst
from runbooks.rules.load import Loads
from runbooks.text import first_few

# What an answer that comes too late looks like. Not here: refused connections, lost data, expired certificates and other causes of
# their own, which an overloaded host may have too.
LATE = re.compile(
    r"deadline exceeded|time[d ]?-?out|Client\.Timeout|L[467]TOUT|took too long|did not finish in|too many requests",
    re.IGNORECASE,
)
# What often follows from late answers, and has other causes too: explained only by an overload that is at least a warning.
FOLLOWS = re.compile(
    r"fail(?:ed|s its checks): etcd\b|different leaders|no leader|entries behind|was last renewed|stopped posting|NodeStatusUnknown"
    r"|PLEG is not healthy|slower than etcd|etcd recommends|does not answer on its socket",
    re.IGNORECASE,
)

ASKED = re.compile(r"\(asked from ([^)]*)\)")


def broken(seen: Loads) -> list[Finding]:
    """Return what ran out or was lost on each host besides: memory, connections, a file system that became read-only."""
    found = [
        replace(each, host=host.name, fix=each.fix if each.severity == "note" else f"on {host}: {each.fix}")
        for host, (now, _) in seen.items()
        for each in (load.killed(now), load.table(now), load.read_only(now))
        if each
    ]
    out = {host for host, (now, _) in seen.items() if load.read_only(now)}
    return [
        replace(each, explains=frozenset(host for host in out if host.name == each.host and each.topic == "disk"))
        for each in found
    ]


def busy(seen: Loads) -> frozenset[Host]:
    """Return the hosts that are overloaded."""
    return frozenset(host for host, (now, before) in seen.items() if any(load.strains(now, before)))


def late(text: str) -> bool:
    """Return whether this is how an answer that comes too late looks.

    >>> late("livez: context deadline exceeded"), late("its member of etcd: its database is not in /var/lib/etcd")
    (True, False)
    """
    return bool(LATE.search(text))


def explain(busy: Sequence[Finding], found: Iterable[Finding], *, vip: Iterable[Host] = ()) -> list[Finding]:
    """Return the findings without what is late because of an overload, which names it instead and comes first. Others come last.

    A finding about hosts is explained if all of them are overloaded. One about the whole site only by an overload that is at least a
    warning: of all hosts that asked, of a control plane host if it does not say who asked, or of a load balancer in ``vip``, which has the
    VIP. The finding of the overload gets the severity of what it explains: clients see the same.
    """
    left: list[Finding] = []
    caused: dict[int, list[Finding]] = {}
    for each in found:
        at = _cause(busy, each, frozenset(vip))
        if at is None:
            left.append(each)
        else:
            caused.setdefault(at, []).append(each)
    first: list[Finding] = []
    for at, each in enumerate(busy):
        those = caused.get(at, [])
        if those:
            severity = worst([each, *those]).severity
            texts = first_few([told(one) for one in those], 3)
            each = replace(each, severity=severity, why=f"this explains, until it is over: {'; '.join(texts)}")  # noqa: PLW2901
        (first if those else left).append(replace(each, explains=frozenset()))
    return [*first, *left]


def _cause(busy: Sequence[Finding], each: Finding, vip: frozenset[Host]) -> int | None:
    """Return which of the overloads explains a finding that is late, or None."""
    names = set(each.host.split(", ")) if each.host else set()
    for at, one in enumerate(busy):
        if not (late(each.seen) or (FOLLOWS.search(each.seen) and one.severity != "note")):
            continue
        if names and names <= {host.name for host in one.explains}:
            return at
        if not names and one.severity != "note" and _of_the_site(one, each, vip):
            return at
    return None


def _of_the_site(one: Finding, each: Finding, vip: frozenset[Host]) -> bool:
    """Return whether the overload ``one`` explains a finding about the whole site."""
    if vip & one.explains:
        return True
    asked = {name for names in ASKED.findall(each.seen) for name in names.split(", ")}
    if asked:
        return asked <= {host.name for host in one.explains}
    return any(host.is_control_plane for host in one.explains)
