"""What is read from outside during a drill: before it, while the fault is there, and until the cluster has recovered."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from time import time
from typing import Any, Final

from runbooks.backup.sets.store import Store
from runbooks.commands import drill, etcd, etcd_metrics, haproxy, lb
from runbooks.commands.base import Probe, named_batch
from runbooks.commands.drill import Ready, Standing
from runbooks.commands.lb import LbState
from runbooks.commands.node_objects import nodes
from runbooks.drill.course import Course
from runbooks.drill.rules.facts import Sample
from runbooks.drill.rules.guard import Seen
from runbooks.engine.steps import Run
from runbooks.errors import RunbookError
from runbooks.inventory.model import Host, Site
from runbooks.lb.traffic import BACKEND
from runbooks.monitor.look import firing
from runbooks.rules.etcd import View
from runbooks.view import etcd as view_etcd
from runbooks.view import health

SKEW_S: Final = 5.0  # so far the clock of Prometheus may be behind this machine's


def before(run: Run, course: Course) -> Seen:
    """Read what decides whether this drill may be done now."""
    site, backup_wanted = run.site, course.backup_wanted
    stacked = site.kubernetes.etcd == "stacked"
    return replace(
        margins(run),
        drills=standings(run),
        wrong=health.wrong(site, health.look(run)),
        ready=ready(run, course) if course.scenario.rare and stacked else None,
        backup=newest_good(site) if backup_wanted else None,
        backup_wanted=backup_wanted,
    )


def margins(run: Run) -> Seen:
    """Read only what a drill takes from: etcd's members and the load balancers."""
    site = run.site
    lbs: dict[Host, LbState | RunbookError] = run.read_each(
        {host: lb.state(site, host) for host in site.load_balancers}, fresh=True
    )
    return Seen(etcd=view_etcd.view(run) if site.kubernetes.etcd == "stacked" else None, lbs=lbs)


def ready(run: Run, course: Course) -> Ready | RunbookError:
    """Ask the host whether the fault can be injected there."""
    return run.read_each({course.host: drill.ready(course.fault)}, fresh=True)[course.host]


def standings(run: Run) -> dict[Host, Standing | RunbookError]:
    """Ask every host whether a drill is at work there."""
    return run.read_each(dict.fromkeys(run.site.hosts, drill.look()), fresh=True)


def newest_good(site: Site) -> datetime | None:
    """Return when the newest good backup set was finished, None when there is none."""
    found = Store(site).newest_good() if site.backup else None
    return found.finished if found else None


def alerts(course: Course, since_s: float | None = None) -> tuple[str, ...] | None:
    """Return which of the scenario's alerts of this site fire that became active after ``since_s``; None when no objective asks for them, or Prometheus does not answer.

    Without ``since_s`` those that fire or are pending: what is there before the injection is not the drill's.
    """
    monitoring = course.site.monitoring
    if course.limits.alert_s is None or not monitoring or not monitoring.prometheus:
        return None
    try:
        found = firing(course.site, monitoring.prometheus)
    except RunbookError:
        return None
    ours = [each for each in found if each.labels.get("site") == course.site.name]
    if since_s is not None:
        ours = [each for each in ours if each.state == "firing" and each.active_s >= since_s - SKEW_S]
    names = {each.name for each in ours}
    return tuple(each for each in course.scenario.alerts if each in names)


def sample(run: Run, course: Course) -> Sample:
    """Ask the hosts once, and Prometheus where an objective needs it. What does not answer is not known; nothing is raised for it."""
    site, at_s = run.site, time()
    probes = {host: named_batch(parts) for host in site.hosts if (parts := _parts(site, course, host))}
    said = {host: each for host, each in run.read_each(probes, fresh=True).items() if not isinstance(each, RunbookError)}
    leader, term = _leader(said)
    return Sample(
        at_s=at_s,
        there=_there(said.get(course.host)),
        holders=_holders(site, said),
        leader=leader,
        term=term,
        not_ready=_not_ready(run, course),
        down=_down(said),
        alerts=alerts(course, course.times.get("injecting_s", at_s)),
        syncs=(said.get(course.host) or {}).get("syncs"),
    )


def _parts(site: Site, course: Course, host: Host) -> dict[str, Probe[Any]]:
    parts: dict[str, Probe[Any]] = {}
    if host == course.host:
        parts["drill"] = drill.look()
        if course.scenario.effect == "its etcd is slow to sync its log":
            parts["syncs"] = etcd_metrics.syncs()
    if host.is_lb:
        parts |= {"lb": lb.state(site, host), "backends": haproxy.backends()}
    # The member that is away would only cost the time until etcdctl gives up.
    away = course.scenario.member and host == course.host
    if host.is_control_plane and site.kubernetes.etcd == "stacked" and not away:
        parts["etcd"] = etcd.look()
    return parts


def _there(said: Mapping[str, Any] | None) -> bool | None:
    if said is None:
        return None
    standing: Standing = said["drill"]
    return standing.there if standing.armed else False


def _holders(site: Site, said: Mapping[Host, Mapping[str, Any]]) -> tuple[str, ...] | None:
    if not all(host in said for host in site.load_balancers):
        return None
    return tuple(host.name for host in site.load_balancers if said[host]["lb"].holds_vip)


def _leader(said: Mapping[Host, Mapping[str, Any]]) -> tuple[str, int]:
    """Return the host of etcd's leader and its term, as the member with the highest term says; "" for a leader that did not answer."""
    view = View({host: each["etcd"] for host, each in said.items() if "etcd" in each})
    newest = max(view.statuses.values(), key=lambda each: each.term, default=None)
    if not newest:
        return "", 0
    led = next((member for member in view.members if member.id == newest.leader), None)
    host = view.host_of(led) if led else None
    return (host.name if host else str(led) if led else ""), newest.term


def _not_ready(run: Run, course: Course) -> tuple[str, ...] | None:
    """Ask the API servers of the other control plane hosts, one after the other."""
    for host in run.site.control_plane:
        if host == course.host:
            continue
        found = run.read_each({host: nodes(host)}, fresh=True)[host]
        if not isinstance(found, RunbookError):
            return tuple(name for name, node in found.items() if not node.ready)
    return None


def _down(said: Mapping[Host, Mapping[str, Any]]) -> dict[str, tuple[str, ...]]:
    return {
        host.name: tuple(each.server for each in said[host]["backends"] or () if each.proxy == BACKEND and not each.up)
        for host in said
        if host.is_lb
    }
