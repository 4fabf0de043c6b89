"""Show a restore before it is confirmed: what each host has, what is restored from where, and what will be lost."""

from __future__ import annotations

from datetime import UTC, datetime

from runbooks.commands.etcd_restore import Newer
from runbooks.inventory.model import Site
from runbooks.recover.rules.quorum import EtcdSurvey
from runbooks.recover.rules.restore import Restore
from runbooks.rules import etcd as rules
from runbooks.text import age_text, counted, listed, size_text, table


def describe(site: Site, survey: EtcdSurvey, plan: Restore, why: str, lost: Newer | None) -> str:
    """Return two tables: the control plane hosts, and the restore with what is lost by it."""
    source = plan.source
    hosts = [[host.name, *_state(survey, plan, host.name)] for host in site.control_plane]
    made = f", of {source.made.replace('T', ' ').replace('+00:00', ' UTC')}" if source.made else ""
    age = f" ({age_text((datetime.now(UTC) - datetime.fromisoformat(source.made)).total_seconds())} ago)" if source.made else ""
    rows = [
        ["restore", f"{source}: revision {source.revision}{made}{age}, {size_text(source.size)}"],
        ["because", why],
        ["onto", f"{listed(plan.members)} (a new etcd cluster for the same Kubernetes cluster)"],
        *(["without", f"{host}: {reason}"] for host, reason in plan.left.items()),
        *(["not joined", f"{name} is in hosts.yaml and in no cluster: it is not waited for"] for name in plan.outside),
        ["lost", _lost(plan, lost)],
        *([["", listed(name.removeprefix("/registry/") for name in lost.names)]] if lost and lost.names else []),
        ["old data", "is kept on each host, in a new directory beside etcd's own or in it"],
    ]
    served = any(look.serves for look in survey.view.looks.values())
    title = "etcd has a quorum, which is given up (--insist)" if served and plan.insist else "etcd has no quorum"
    return f"{site.name}: {title}\n\n{table(('host', 'etcd', 'database'), hosts)}\n{table(('', ''), rows)}\n"


def _state(survey: EtcdSurvey, plan: Restore, name: str) -> list[str]:
    """Return the columns "etcd" and "database" of a host."""
    host = next(each for each in survey.view.said if each.name == name)
    data, status = survey.hosts.get(host), survey.view.statuses.get(host)
    if not data:
        return [survey.silent.get(host, "not asked"), "?"]
    if survey.is_in_place(host, plan.token):
        return ["restored", "new"]
    said = rules.why_unhealthy(survey.view, host) or "serves"
    if status and not status.leader:
        said = f"revision {status.revision}, no leader"
    if not data.database:
        return [said, "none"]
    revision = f", revision {data.database.revision}" if data.database.revision else ""
    written = f"{datetime.fromtimestamp(data.database.written, UTC):%m-%d %H:%M:%S} UTC"
    return [said, f"{size_text(data.database.size)}{revision}, written {written}"]


def _lost(plan: Restore, lost: Newer | None) -> str:
    behind = plan.before - plan.source.revision
    if behind <= 0:
        moment = ", except for the last moment before its etcd ended" if plan.source.kind == "member" else ""
        return f"what was written after that; no host has anything newer{moment}"
    text = f"{counted(behind, 'revision')} that a survivor has (up to {plan.before})"
    if not lost:
        return text
    return f"{text}; {counted(lost.count, 'key')} of Kubernetes written since (leases and events left out), among them:"
