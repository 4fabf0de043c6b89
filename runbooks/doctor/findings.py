"""From all that was seen to its causes: what has a cause already is not told again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import msgspec

from runbooks.backup import status
from runbooks.doctor.look import Looked
from runbooks.doctor.rules import etcd, pair
from runbooks.doctor.rules import hosts as rules_hosts
from runbooks.engine.journal import summaries
from runbooks.engine.lock import describe
from runbooks.errors import InventoryError, RunbookError
from runbooks.inventory.model import Host, Site
from runbooks.rules import verify
from runbooks.rules.finding import Finding, explained, ordered
from runbooks.view import health
from runbooks.view.health import Seen

if TYPE_CHECKING:
    from runbooks.engine.session import Session

RUNS = 50


def findings(session: Session, looked: Looked) -> list[Finding]:
    """Return everything that is wrong or worth knowing, the gravest first."""
    site = session.site
    found = list(rules_hosts.silent(site, looked.errors))
    found += pair.pair({host: state for host, (state, _) in looked.balancers.items() if host not in looked.errors})
    everyone: Mapping[Host, Any] = looked.facts | {host: each for host, each in looked.errors.items() if host.is_node}
    if verify.no_cluster(everyone):
        yet = pair.nobody([host for host in site.control_plane if host in looked.facts])
        return ordered([*found, *([yet] if yet else []), *rules_hosts.disks(looked.traces), *rules_hosts.clocks(looked.clocks)])
    found += of_cluster(site, looked, found)
    found += rules_hosts.disks(looked.traces)
    found += rules_hosts.clocks(looked.clocks)
    found += _backups(session)
    found += _at_work(session, looked)
    return ordered(found)


def of_cluster(site: Site, looked: Looked, before: list[Finding]) -> list[Finding]:
    """Return what is wrong with the cluster. Each kind of cause explains hosts, of which the next ones then say nothing more."""
    facts, found = looked.facts, list(before)
    stacked = site.kubernetes.etcd == "stacked"
    view = looked.view()
    known = etcd.remembered(view) | _with_node(site, looked)
    found += list(rules_hosts.unfinished(site, looked.traces))
    if gone := rules_hosts.gone(site, _left(facts, found)):
        return [*found[len(before) :], gone]
    found += rules_hosts.outside(_left(facts, found), known)
    found += rules_hosts.certificates(_left(facts, found))
    found += rules_hosts.units(_left(facts, found))
    reached = _left(looked.traces, found)
    found += rules_hosts.unreachable_ports(site, reached, etcd.unwell(view) if stacked else ())
    if stacked:
        found += etcd.alarms(view)
        found += etcd.split(view, explained(found))
        found += etcd.quorum(view, explained(found))
        found += etcd.members(view, explained(found))
        found += etcd.care(view, looked.metrics)
    found += pair.api_servers(_joined(looked), explained(found))
    found += pair.taken_out(looked.balancers, explained(found))
    found += pair.strangers(site, looked.endpoints)
    found += _rest(site, looked, found)
    return found[len(before) :]


def _joined(looked: Looked) -> dict[Host, Any]:
    facts = looked.facts
    return {host: answers for host, answers in looked.seen.of("health").items() if host in facts and facts[host].joined}


def _left(seen: Mapping[Host, Any], found: list[Finding]) -> dict[Host, Any]:
    """Return what was seen of hosts whose trouble has no cause yet."""
    done = explained(found)
    return {host: each for host, each in seen.items() if host not in done}


def _with_node(site: Site, looked: Looked) -> set[Host]:
    cluster = looked.seen.cluster
    return set() if isinstance(cluster, str) else {host for host in site.hosts if verify.node_of(cluster.nodes, host)}


def _rest(site: Site, looked: Looked, found: list[Finding]) -> list[Finding]:
    """Judge what is left as `cluster.verify` does, as though the hosts that are explained were none of the site's."""
    out = explained(found)
    if not any(host not in out for host in site.control_plane):
        return []  # nobody is left who could tell about the cluster
    hosts = tuple(host for host in site.hosts if host not in out)
    balancers = {host: pair.without_servers(each, out) for host, each in looked.balancers.items() if host not in out}
    said: dict[Host, dict[str, Any] | RunbookError] = {}
    for host in hosts:
        parts = looked.seen.hosts.get(host)
        if isinstance(parts, dict):
            said[host] = parts | ({"lb": balancers[host][0], "backends": balancers[host][1]} if host in balancers else {})
    smaller = msgspec.structs.replace(site, hosts=tuple(said))
    seen = replace(looked.seen, hosts=said, cluster=pair.without(looked.seen.cluster, out))
    rows = [
        row
        for row in health.judge(smaller, Seen(said, seen.reader, seen.cluster, seen.namespaces))
        if row.topic != "certificates" or "serves" in row.seen
    ]
    return pair.remaining(rows, out)


# ---- this machine


def _backups(session: Session) -> list[Finding]:
    try:
        trouble, way_out, scheduled = status.trouble_with(session)
    except InventoryError as error:
        return [Finding("warn", topic="backup", seen=str(error), why="nothing could be restored", fix=error.hint)]
    why = "what is lost then cannot be restored"
    found = [Finding("warn", topic="backup", seen=each, why=why, fix=way_out) for each in trouble]
    if not scheduled:
        seen = "no backup is made by itself from this machine"
        found.append(Finding("note", topic="backup", seen=seen, fix='inv backup.schedule --at "17 2 * * *"'))
    return found


def _at_work(session: Session, looked: Looked) -> list[Finding]:
    """Return who is changing the site just now, and which commands were not finished."""
    held = next(iter(looked.held.values()), None)
    why = "what looks wrong may be on its way"
    found = [Finding("note", topic="lock", seen=describe(session.site.name, held), why=why, fix="inv site.lock")] if held else []
    newest: dict[str, dict[str, str]] = {}
    for each in summaries(session.state / "runs", RUNS):
        newest.setdefault(each["procedure"], each)
    for each in newest.values():
        if each["outcome"] != "ok" and not (held and held.holder.run == each["run"]):
            seen = f"inv {each['procedure']} did not end well ({each['outcome']}): {each['detail']}"
            found.append(
                Finding("note", topic="runs", seen=seen, fix=f"inv {each['procedure']} again, or with --resume {each['run']}")
            )
    return found
