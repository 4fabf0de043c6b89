"""The whole preflight: what was seen of the hosts in, findings out. Pure."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import replace
from itertools import groupby

from runbooks.cluster.rules import preflight_host as own
from runbooks.cluster.rules import preflight_room as room
from runbooks.commands.preflight_facts import Facts
from runbooks.errors import RunbookError, reason
from runbooks.inventory.model import Host, Site
from runbooks.rules import preflight_peers as between
from runbooks.rules.finding import Finding, told
from runbooks.rules.preflight_finding import good
from runbooks.rules.preflight_peers import Clock
from runbooks.text import listed

ALONE: Mapping[str, Callable[[Site, Host, Facts], Finding | None]] = {
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
            found.append(Finding("fail", topic="login", host=host.name, seen=reason(host, each), fix=each.hint))
            continue
        checks = _checks(site, host, seen, clocks, wanted)
        found += [replace(one, topic=topic, host=host.name) for topic, one in checks if one]
    return tuple(found)


def _checks(
    site: Site, host: Host, seen: Mapping[Host, Facts], clocks: Mapping[Host, Clock], asked: frozenset[Host]
) -> Iterator[tuple[str, Finding | None]]:
    yield "login", good("ssh, and root by sudo")
    for topic, check in ALONE.items():
        yield topic, check(site, host, seen[host])
    yield "identity", between.identity(host, seen)
    yield "clock", between.clock(host, clocks)
    yield "MTU", between.mtu(host, seen)
    yield "reachable", between.reachable(site, host, seen, asked)
    yield "latency", between.latency(site, host, seen)
    yield "authority", between.authority(host, seen)


def sentences(findings: Collection[Finding]) -> list[str]:
    """Put findings into words, hosts with the same one together: "master1, worker1: name: ... is unknown there", then what to do."""

    def same(each: Finding) -> tuple[str, str, str]:
        return each.topic, each.seen, each.fix

    lines = []
    for _, group in groupby(sorted(findings, key=same), key=same):
        first, *others = group
        one = replace(first, host=listed(each.host for each in (first, *others)))
        lines.append(told(one) + (f"\n         -> {one.fix}" if one.fix else ""))
    return lines
