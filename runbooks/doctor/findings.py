"""From observations to findings: one finding per root cause; what the cause explains is suppressed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import msgspec

from runbooks.backup import status
from runbooks.commands.lock import Held
from runbooks.doctor.look import Examination
from runbooks.doctor.rules import etcd, etcd_order, hosts, leftovers, overload, pair, upgrades
from runbooks.engine import history
from runbooks.engine.lock import has_ended
from runbooks.errors import InventoryError, RunbookError
from runbooks.inventory.model import Host, Site
from runbooks.rules import load, verify, verify_versions
from runbooks.rules.etcd_standing import standing
from runbooks.rules.finding import Finding, at_least, explained, ordered
from runbooks.view import health
from runbooks.view.health import ClusterReadings

if TYPE_CHECKING:
    from runbooks.engine.session import Session

RUNS = 50


def findings(session: Session, examined: Examination) -> list[Finding]:
    """Return everything that is wrong or worth knowing, the most severe first; while a command changes the site, first to wait for it."""
    held = next((each for each in examined.held.values() if not has_ended(each.holder)), None)
    return meanwhile(held, _now(session, examined, held))


def meanwhile(held: Held | None, found: list[Finding]) -> list[Finding]:
    """Return the findings, and first of all what is changing the site now: the command that holds its lock, or a kubeadm that outlived its.

    Invariant: while something changes the site, no command is named: what is found may come from it, and be whole again when it ends.
    """
    waits = [each for each in found if each.seen.startswith(hosts.WAIT)]
    if held:
        found = verify_versions.meanwhile(found, held.holder)
        who = held.holder
        first = Finding(
            "note",
            topic="lock",
            seen=f"{hosts.WAIT}{who.user}@{who.machine} is running {who.what} (since {who.since})",
            why="what is found below may come from it; it names no commands while the site is being changed",
            fix="wait until it has ended; inv site.lock shows whether it has",
        )
        waits = [first, *waits]
    return [*waits, *(replace(each, fix="") if waits else each for each in found if each not in waits)]


def _now(session: Session, examined: Examination, held: Held | None) -> list[Finding]:
    site = session.site
    found = of_hosts(site, examined)
    everyone: Mapping[Host, Any] = examined.facts | {host: each for host, each in examined.errors.items() if host.is_node}
    if verify.no_cluster(everyone):
        yet = pair.no_cluster([host for host in site.control_plane if host in examined.facts])
        found += [yet] if yet else []
    else:
        found += of_cluster(site, examined, found, session.place("kubernetes.version"))
        found = [*_order(site, examined), *found]
        found += [*examined.admission, *_backups(session), *_runs(session, held)]
    found += hosts.clocks(examined.clocks)
    vip = [host for host, (state, _) in examined.balancers.items() if state.holds_vip]
    return ordered(overload.explain(load.of_hosts(examined.loads), found, vip=vip))


def _order(site: Site, examined: Examination) -> Iterator[Finding]:
    empty = [host for host, each in examined.facts.items() if not each.joined]
    if site.kubernetes.etcd == "stacked":
        yield from etcd_order.in_order(examined.view(), list(examined.errors), empty)


def of_hosts(site: Site, examined: Examination) -> list[Finding]:
    """Return what is wrong with single hosts, whether there is a cluster or not: reachable, disks, memory; and with the load balancers."""
    left = standing(examined.view()) if site.kubernetes.etcd == "stacked" else ""
    found = list(hosts.silent(site, examined.errors, left))
    found += overload.broken({host: each for host, each in examined.loads.items() if host not in examined.errors})
    found += hosts.not_told(examined.unread)
    found += hosts.disks(site, examined.traces)
    found += pair.pair({host: state for host, (state, _) in examined.balancers.items() if host not in examined.errors})
    return found


def of_cluster(site: Site, examined: Examination, before: list[Finding], place: str = "hosts.yaml") -> list[Finding]:
    """Return what is wrong with the cluster. Hosts that an earlier finding explains are left out by the later rules.

    ``place``: where kubernetes.version stands.
    """
    facts, found = examined.facts, list(before)
    stacked = site.kubernetes.etcd == "stacked"
    view = examined.view()
    known = etcd.remembered(view) | _with_node(site, examined)
    found += list(hosts.unfinished(site, examined.traces))
    if gone := hosts.gone(site, _left(facts, found)):
        return [*found[len(before) :], gone]
    found += hosts.outside(_left(facts, found), known, standing(view) if stacked else "")
    found += hosts.certificates(_left(facts, found))
    found += hosts.units(_left(facts, found))
    reached = _left(examined.traces, found)
    found += hosts.unreachable_ports(site, reached, etcd.unwell(view) if stacked else ())
    if stacked:
        found += etcd.alarms(view)
        found += etcd.split(view, explained(found))
        empty = [host for host, seen in facts.items() if not seen.joined]
        found += etcd.quorum(view, found, empty=empty, busy=overload.busy(examined.loads))
        found += etcd.members(view, explained(found))
        found += etcd.care(view, examined.metrics)
    found += pair.api_servers(_joined(examined), explained(found))
    out = list(pair.taken_out(examined.balancers, explained(found)))
    found += out
    found += pair.servers(site, examined.balancers, facts, health.unlisted_masters(site, examined.seen.cluster))
    found += pair.strangers(site, examined.endpoints)
    found += _rest(site, examined, found)
    versions = _versions(site, examined, place)
    upgrading = any(each.topic == verify_versions.UPGRADE for each in versions)
    found += [*versions, *leftovers.findings(examined.traces, upgrading=upgrading)]
    return upgrades.one(found[len(before) :], examined.traces, out)


def _versions(site: Site, examined: Examination, place: str) -> list[Finding]:
    """Return what the versions say, of all hosts: also those that another finding explains count for how far an upgrade has come."""
    cluster = examined.seen.cluster
    if isinstance(cluster, str):
        return []
    return at_least("note", verify_versions.findings(site, cluster, place))


def _joined(examined: Examination) -> dict[Host, Any]:
    facts = examined.facts
    return {host: answers for host, answers in examined.seen.of("health").items() if host in facts and facts[host].joined}


def _left(seen: Mapping[Host, Any], found: list[Finding]) -> dict[Host, Any]:
    """Return ``seen`` without the hosts that a finding explains."""
    done = explained(found)
    return {host: each for host, each in seen.items() if host not in done}


def _with_node(site: Site, examined: Examination) -> set[Host]:
    cluster = examined.seen.cluster
    return set() if isinstance(cluster, str) else {host for host in site.hosts if verify.node_of(cluster.nodes, host)}


def _rest(site: Site, examined: Examination, found: list[Finding]) -> list[Finding]:
    """Return what `cluster.verify` would report for a site without the explained hosts."""
    out = explained(found)
    if not any(host not in out for host in site.control_plane):
        return []  # no control plane host is left that could report on the cluster
    unexplained = tuple(host for host in site.hosts if host not in out)
    balancers = {host: pair.without_servers(each, out) for host, each in examined.balancers.items() if host not in out}
    said: dict[Host, dict[str, Any] | RunbookError] = {}
    for host in unexplained:
        parts = examined.seen.hosts.get(host)
        if isinstance(parts, dict):
            said[host] = {kind: each for kind, each in parts.items() if kind != "load"} | (
                {"lb": balancers[host][0], "backends": balancers[host][1]} if host in balancers else {}
            )
    smaller = msgspec.structs.replace(site, hosts=tuple(said))
    seen = replace(examined.seen, hosts=said, cluster=pair.without(examined.seen.cluster, out))
    rows = [
        row
        for row in health.judge(smaller, ClusterReadings(said, seen.reader, seen.cluster, seen.namespaces))
        if row.topic != "certificates" or "serves" in row.seen
    ]
    return pair.remaining(rows, out)


# ---- this machine


def _backups(session: Session) -> list[Finding]:
    try:
        problems, fix, scheduled = status.trouble_with(session)
    except InventoryError as error:
        return [Finding("warn", topic="backup", seen=str(error), why="nothing could be restored", fix=error.hint)]
    why = "without a good backup, lost data cannot be restored"
    found = [Finding("warn", topic="backup", seen=each, why=why, fix=fix) for each in problems]
    if not scheduled:
        seen = "no backup is scheduled on this machine"
        found.append(Finding("note", topic="backup", seen=seen, fix='inv backup.schedule --at "17 2 * * *"'))
    return found


def _runs(session: Session, held: Held | None) -> list[Finding]:
    """Return which commands failed or were interrupted on this machine, but for those that are at work now."""
    found: list[Finding] = []
    latest: dict[str, history.RunRecord] = {}
    for each in history.newest(session.state / "runs", RUNS):
        latest.setdefault(each.procedure, each)
    for each in latest.values():
        if each.outcome not in {"ok", history.RUNNING} and not (held and held.holder.run == each.run):
            seen = f"inv {each.procedure} did not end well ({each.outcome}): {each.detail}"
            fix = f"{each.command} again, or with --resume {each.run}; inv runs.show {each.run} tells what it did"
            found.append(Finding("note", topic="runs", seen=seen, fix=fix))
    return found
