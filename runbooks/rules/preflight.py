"""The whole preflight: what was seen of the hosts in, findings out. Pure."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from itertools import groupby

from runbooks.commands.preflight_facts import Facts
from runbooks.errors import RunbookError
from runbooks.inventory.model import Host, Site
from runbooks.rules import preflight_host as own
from runbooks.rules import preflight_peers as between
from runbooks.rules import preflight_room as room
from runbooks.rules.preflight_finding import Finding, Verdict, good
from runbooks.rules.preflight_peers import Clock
from runbooks.text import listed

__all__ = ["Clock", "Finding", "failures", "judge", "sentences"]

ALONE: Mapping[str, Callable[[Site, Host, Facts], Verdict | None]] = {
    "system": own.system,
    "kernel": own.kernel,
    "hostname": own.hostname,
    "address": own.address,
    "time service": own.time_service,
    "swap": own.swap,
    "modules": own.modules,
    "cgroup": own.cgroup,
    "capacity": own.capacity,
    "runtime": own.runtime,
    "firewall": own.firewall,
    "selinux": own.selinux,
    "space": room.space,
    "etcd disk": room.fsync,
    "ports": room.free_ports,
    "packages": room.packages,
    "leftovers": room.leftovers,
    "name": between.name,
    "endpoint": between.endpoint,
}


def judge(
    site: Site,
    facts: Mapping[Host, Facts | RunbookError],
    clocks: Mapping[Host, Clock],
    asked: Collection[Host] | None = None,
) -> tuple[Finding, ...]:
    """Return every finding about the ``asked`` hosts (all in ``facts`` by default), host by host.

    ``facts`` may hold more hosts than were asked about: what must differ between hosts, or work between them, is compared with
    all of them. A host with an error in place of facts has that one finding, and is held against nobody else.
    """
    wanted = frozenset(facts if asked is None else asked)
    seen = {host: each for host, each in facts.items() if not isinstance(each, RunbookError)}
    found: list[Finding] = []
    for host, each in facts.items():
        if host not in wanted:
            continue
        if isinstance(each, RunbookError):
            found.append(Finding(host, "login", "fail", str(each), each.hint))
            continue
        verdicts = _verdicts(site, host, seen, clocks, wanted)
        found += [Finding(host, topic, *verdict) for topic, verdict in verdicts if verdict]
    return tuple(found)


def _verdicts(
    site: Site, host: Host, seen: Mapping[Host, Facts], clocks: Mapping[Host, Clock], asked: frozenset[Host]
) -> Iterator[tuple[str, Verdict | None]]:
    yield "login", good("ssh, and root by sudo")
    for topic, check in ALONE.items():
        yield topic, check(site, host, seen[host])
    yield "identity", between.identity(host, seen)
    yield "clock", between.clock(host, clocks)
    yield "MTU", between.mtu(host, seen)
    yield "reachable", between.reachable(site, host, seen, asked)
    yield "latency", between.latency(site, host, seen)
    yield "authority", between.authority(host, seen)


def failures(findings: Collection[Finding]) -> list[Finding]:
    """Return those that stop an installation."""
    return [each for each in findings if each.level == "fail"]


def sentences(findings: Collection[Finding]) -> list[str]:
    """Put findings into words, hosts with the same one together: "master1, worker1: name: ... is unknown there", then its cure."""
    ordered = sorted(findings, key=lambda each: (each.topic, each.seen, each.cure))
    lines = []
    for (topic, seen, cure), group in groupby(ordered, key=lambda each: (each.topic, each.seen, each.cure)):
        hosts = listed(each.host for each in group)
        lines.append((f"{hosts}: {topic}: {seen}" if topic != "login" else seen) + (f"\n         -> {cure}" if cure else ""))
    return lines
