"""All preflight checks together. Pure: facts in, findings out."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import replace
from itertools import groupby

from runbooks.cluster.rules import preflight_host as host_checks
from runbooks.cluster.rules import preflight_kubeadm as kubeadm_checks
from runbooks.cluster.rules import preflight_proxy as proxy_checks
from runbooks.cluster.rules import preflight_resources as resources
from runbooks.commands.clock import Clock
from runbooks.commands.preflight_facts import Facts
from runbooks.errors import RunbookError
from runbooks.inventory.model import Host, Site
from runbooks.rules import preflight_peers as peer_checks
from runbooks.rules.finding import Finding, told, unread
from runbooks.rules.preflight_finding import good
from runbooks.text import listed

CHECKS: Mapping[str, Callable[[Site, Host, Facts], Finding | None]] = {
    "system": host_checks.system,
    "kernel": kubeadm_checks.kernel,
    "kernel options": kubeadm_checks.kernel_options,
    "hostname": host_checks.hostname,
    "address": host_checks.address,
    "time service": host_checks.time_service,
    "swap": host_checks.swap,
    "modules": host_checks.modules,
    "at boot": host_checks.at_boot,
    "cgroup": kubeadm_checks.cgroup,
    "capacity": host_checks.capacity,
    "load": host_checks.load,
    "runtime": host_checks.runtime,
    "firewall": host_checks.firewall,
    "selinux": host_checks.selinux,
    "proxies": proxy_checks.proxies,
    "space": resources.space,
    "etcd disk": resources.fsync,
    "etcd files": resources.etcd_directory,
    "ports": resources.free_ports,
    "packages": resources.packages,
    "programs": kubeadm_checks.programs,
    "leftovers": resources.leftovers,
    "name": peer_checks.name,
    "endpoint": peer_checks.endpoint,
}


def judge(
    site: Site,
    facts: Mapping[Host, Facts | RunbookError],
    clocks: Mapping[Host, Clock],
    asked: Collection[Host] | None = None,
) -> tuple[Finding, ...]:
    """Return every finding about the ``asked`` hosts (all in ``facts`` by default), host by host.

    Checks between hosts use all of ``facts``. A host with an error in place of facts has that one finding, and the checks of the
    other hosts leave it out.
    """
    wanted = frozenset(facts if asked is None else asked)
    seen = {host: each for host, each in facts.items() if not isinstance(each, RunbookError)}
    found: list[Finding] = []
    for host, each in facts.items():
        if host not in wanted:
            continue
        if isinstance(each, RunbookError):
            found.append(unread("login", host, each))
            continue
        checks = _checks(site, host, seen, clocks, wanted)
        found += [replace(one, topic=topic, host=host.name) for topic, one in checks if one]
    return tuple(dict.fromkeys(found))


def _checks(
    site: Site, host: Host, seen: Mapping[Host, Facts], clocks: Mapping[Host, Clock], asked: frozenset[Host]
) -> Iterator[tuple[str, Finding | None]]:
    yield "login", good("SSH login, and root by sudo")
    for topic, check in CHECKS.items():
        yield topic, check(site, host, seen[host])
    yield "identity", peer_checks.identity(host, seen)
    yield "clock", peer_checks.clock(host, clocks)
    yield "MTU", peer_checks.mtu(host, seen)
    yield "reachable", peer_checks.reachable(site, host, seen, asked)
    yield "latency", peer_checks.latency(site, host, seen)
    members = {each for each, facts in seen.items() if resources.in_this_cluster(site, each, facts)}
    yield "authority", peer_checks.authority(host, seen, members, [each for each in site.nodes if each not in seen])


def sentences(findings: Collection[Finding]) -> list[str]:
    """Return one text per distinct finding, with all its hosts: "master1, worker1: name: ... is unknown there" and the fix below it."""

    def same(each: Finding) -> tuple[str, str, str]:
        return each.topic, each.seen, each.fix

    lines = []
    for _, group in groupby(sorted(findings, key=same), key=same):
        first, *others = group
        one = replace(first, host=listed(each.host for each in (first, *others)))
        lines.append(told(one) + (f"\n         -> {one.fix}" if one.fix else ""))
    return lines
