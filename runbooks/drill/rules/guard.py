"""May this site be drilled now? A drill takes one thing away, so everything else has to be there. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

from runbooks.commands.drill import Ready, Standing
from runbooks.commands.lb import LbState
from runbooks.drill.rules.scenarios import Scenario
from runbooks.errors import RunbookError, reason
from runbooks.inventory.model import Host, Site
from runbooks.rules import etcd, lb
from runbooks.rules.etcd import View
from runbooks.rules.finding import Finding, told
from runbooks.text import age_text, counted, listed

ELECTION_MS: Final = 1000  # etcd's default of election-timeout; the others wait once to twice that long


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What was read before a drill.

    etcd     as every control plane host sees it; None for an external etcd.
    lbs      the state of each load balancer, or its error. ``drills``: whether a drill is at work, on every host.
    wrong    what `inv cluster.verify` would report as failures.
    ready    whether the fault can be injected on its host, or the error; None when that was not asked: only a `rare` fault is asked for.
    backup   when the newest good set was finished, None when there is none; ``backup_wanted``: whether one is asked for.
    """

    etcd: View | None
    lbs: Mapping[Host, LbState | RunbookError]
    drills: Mapping[Host, Standing | RunbookError] = field(default_factory=dict)
    wrong: Sequence[Finding] = ()
    ready: Ready | RunbookError | None = None
    backup: datetime | None = None
    backup_wanted: bool = True


def refusals(site: Site, scenario: Scenario, host: Host, seen: Seen, now: datetime) -> list[Finding]:
    """Return every reason not to do ``scenario`` on ``host`` now; [] when it may be done.

    Never lets a drill begin that takes the last thing of its kind away: etcd keeps a quorum with one member to spare before, each load
    balancer serves, another drill is not at work anywhere, and a fresh good backup is there. What could not be read refuses as well.
    """
    return [
        *_possible(site, scenario, host),
        *_ready(scenario, host, seen),
        *_holder(scenario, host, seen),
        *_election(site, scenario, host, seen.etcd),
        *_drills(site.hosts, seen),
        *_quorum(site, scenario, host, seen.etcd),
        *_balancers(site, seen),
        *(Finding("fail", topic="cluster", seen=told(each), fix=each.fix or "inv cluster.verify") for each in seen.wrong),
        *_backup(site, seen, now),
    ]


def margins(site: Site, scenario: Scenario, host: Host, seen: Seen) -> list[Finding]:
    """Return what would make the drill take the last thing of its kind away, by a short look just before the injection."""
    return [
        *_holder(scenario, host, seen),
        *_election(site, scenario, host, seen.etcd),
        *_quorum(site, scenario, host, seen.etcd),
        *_balancers(site, seen),
    ]


def may_pass(refusal: Finding) -> bool:
    """Return whether a refusal may be over in a moment: what servers and hosts answer, not what hosts.yaml, the choice or a backup is."""
    return refusal.topic in {"cluster", "etcd", "lb", "hosts"}


def remarks(scenario: Scenario, host: Host, seen: Seen) -> list[str]:
    """Return what people on call should know before a drill that may be done."""
    if scenario.name == "slow-disk" and _leads(host, seen.etcd):
        return ["its member leads etcd: leadership may move to another host, and stays there"]
    return []


def _fail(topic: str, seen: str, fix: str, host: str = "") -> Finding:
    return Finding("fail", topic=topic, host=host, seen=seen, fix=fix)


def _possible(site: Site, scenario: Scenario, host: Host) -> Iterator[Finding]:
    if scenario.member and site.kubernetes.etcd != "stacked":
        yield _fail("hosts.yaml", "etcd is external: its members are not in hosts.yaml", "drill it where it is managed")
    if scenario.effect == "its API server is away" and len(site.control_plane) < 2:
        yield _fail("API server", "it is the only control plane host: nobody would answer", "add control plane hosts", host.name)
    if not scenario.is_cut:
        return
    if leads_to := [each.name for each in site.hosts if each != host and _is_gateway(site, host, each)]:
        yield _fail(
            "ssh", f"it is the gateway to {listed(leads_to)}: they could not be reached", "choose another host", host.name
        )
    if scenario.name == "lb" and host.address.version != 4:
        yield _fail("network", "with IPv6 the host would go on answering for the VIP", "inv drill.haproxy")
    if host.is_lb and host.is_node:
        yield _fail("roles", "it is a load balancer and a node: cutting it takes both away", "choose another host", host.name)


def _ready(scenario: Scenario, host: Host, seen: Seen) -> Iterator[Finding]:
    if not scenario.rare:
        return
    if not isinstance(seen.ready, Ready):
        yield _fail("hosts", reason(host, seen.ready) if seen.ready else "was not asked", "inv cluster.verify", host.name)
    elif seen.ready.why:
        fix = "choose a host whose etcd is on a disk" if seen.ready.never else "inv cluster.verify"
        yield _fail("disk", seen.ready.why, fix, host.name)


def _leads(host: Host, view: View | None) -> bool:
    status = view.statuses.get(host) if view else None
    return bool(status and status.leads)


def _election(site: Site, scenario: Scenario, host: Host, view: View | None) -> Iterator[Finding]:
    """Refuse where the objective cannot hold: the others notice only after election-timeout that the leader is too slow."""
    if scenario.name != "slow-disk" or not _leads(host, view):
        return
    given = site.kubernetes.extra_args.etcd.get("election-timeout", "")
    election_ms = int(given) if given.isascii() and given.isdecimal() else ELECTION_MS
    for key, limit_ms in (("outage_ms", site.drills.outage_ms), ("reused_ms", site.drills.reused_ms)):
        if limit_ms <= election_ms:
            seen = f"its member leads etcd, and a new leader takes more than {election_ms} ms, but drills.{key} is {limit_ms}"
            yield _fail("hosts.yaml", seen, "choose another host, or inv etcd.move-leader", host.name)


def _holder(scenario: Scenario, host: Host, seen: Seen) -> Iterator[Finding]:
    state = seen.lbs.get(host)
    if scenario.effect == "another LB holds the VIP" and isinstance(state, LbState) and not state.holds_vip:
        yield _fail(
            "host", "it does not hold the VIP, so nothing would have to fail over", "choose the holder: inv lb.status", host.name
        )


def _is_gateway(site: Site, host: Host, other: Host) -> bool:
    return any(str(gateway.address) in {str(host.address), host.name} for gateway in site.hops(other))


def _drills(hosts: Collection[Host], seen: Seen) -> Iterator[Finding]:
    for host in hosts:
        said = seen.drills.get(host)
        if isinstance(said, Standing):
            if said.armed:
                yield _fail("drills", f"the drill {said.scenario} is still at work", "inv drill.heal", host.name)
        else:
            yield _fail("hosts", reason(host, said) if said else "was not asked", "inv cluster.verify", host.name)


def _quorum(site: Site, scenario: Scenario, host: Host, view: View | None) -> Iterator[Finding]:
    if site.kubernetes.etcd != "stacked":
        return
    votes = etcd.voters(view.members) if view else ()
    if not view or not votes:
        yield _fail("etcd", "the member list cannot be read", "inv etcd.status")
        return
    ids = etcd.healthy_ids(view)
    healthy = sum(each.id in ids for each in votes)
    spare = healthy - etcd.quorum(len(votes))
    if spare < 1:
        margin = (
            f"{healthy} of {counted(len(votes), 'member')} are healthy and {etcd.quorum(len(votes))} are needed: none may fail"
        )
        yield _fail("etcd", margin, "inv etcd.status")
    elif scenario.member and not view.member_of(host):
        yield _fail("host", "it has no member of etcd", "inv etcd.members", host.name)


def _balancers(site: Site, seen: Seen) -> Iterator[Finding]:
    for host in site.load_balancers:
        state = seen.lbs.get(host)
        if not isinstance(state, LbState):
            yield _fail("lb", reason(host, state) if state else "was not asked", "inv lb.status", host.name)
        elif state.foreign:
            yield _fail("lb", lb.FOREIGN, lb.TAKE_OVER, host.name)
        elif why := lb.not_serving(state):
            yield _fail("lb", why, "inv lb.setup", host.name)
        elif state.drained:
            yield _fail("drained", "it is drained, so it would not take the VIP", "inv lb.failover hands the VIP back", host.name)
    states = {host: state for host, state in seen.lbs.items() if isinstance(state, LbState)}
    if len(site.load_balancers) < 2:
        yield _fail("hosts.yaml", "there is only one load balancer", "add a second one to hosts.yaml")
    elif len(states) == len(site.load_balancers) and (apart := lb.not_a_pair(states)):
        yield _fail("lb", apart, "inv recover.vip")


def _backup(site: Site, seen: Seen, now: datetime) -> Iterator[Finding]:
    if not seen.backup_wanted:
        return
    if not site.backup:
        yield _fail("backup", "hosts.yaml has no section backup, so there is no set to go back to", "add it; or --no-backup")
    elif not seen.backup:
        yield _fail("backup", "there is no good set", "inv backup.run; or --no-backup")
    elif (age := now - seen.backup) > timedelta(hours=site.backup.max_age_h):
        old = f"the newest good set is {age_text(age.total_seconds())} old, more than {site.backup.max_age_h} h"
        yield _fail("backup", old, "inv backup.run; or --no-backup")
