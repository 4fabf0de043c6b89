"""From what was read to the findings of a forecast. It decides nothing itself: each finding is one of a rule that others use too."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING

from runbooks.backup import status as backup
from runbooks.backup.sets.store import Store
from runbooks.certs.rules import report
from runbooks.commands.kubeadm_config import ClusterSettings
from runbooks.commands.upgrade_kubeadm import Progress
from runbooks.errors import InventoryError, RunbookError
from runbooks.inventory.model import Site
from runbooks.rules import verify_versions
from runbooks.rules.etcd import View
from runbooks.rules.finding import Finding
from runbooks.rules.upgrade_seen import Seen, Version, text, version_in
from runbooks.rules.upgrade_standing import Standing
from runbooks.text import listed
from runbooks.upgrade import etcd, fresh_set
from runbooks.upgrade.observe import First, Observed, brought, images_unknown
from runbooks.upgrade.rules import accepted, apis, backups, customised, etcd_gates, packages, path, room, status
from runbooks.upgrade.rules.choices import Choices
from runbooks.upgrade.rules.customised import Customised
from runbooks.upgrade.rules.path import Hop
from runbooks.view import health

if TYPE_CHECKING:
    from runbooks.engine.session import Session

DAYS = 7  # certificates that expire sooner are told; kubeadm renews its own in the upgrade
TOLD_BETTER = {
    "certificates",
    "etcd",
    *verify_versions.TOPICS,
}  # of the cluster's checks, those that others here look at more closely
UPGRADE = "upgrade"  # begins the attempt of kubeadm that upgrade.run goes on with


def first(site: Site, seen: First, versions: Seen, state: Standing, target: Version, choices: Choices) -> list[Finding]:
    """Return the findings about the way to ``target``, and about what runs now."""
    found = path.findings_for(versions, target, several=choices.several)
    found += status.findings(site, seen.versions.hosts, seen.versions.cluster, state)
    return [*dict.fromkeys(found)]


def everything(
    session: Session, seen: Observed, versions: Seen, now: Version, way: Sequence[Hop], choices: Choices
) -> tuple[list[Finding], Customised]:
    """Return the findings about all the rest but the drains, and what would vanish of what was changed by hand."""
    site, begun = session.site, seen.first
    target = way[-1].to if way and way[-1].to else now
    kept = seen.settings.cluster if isinstance(seen.settings.cluster, ClusterSettings) else None
    hosts = seen.settings.hosts
    changed = customised.judge(hosts, seen.rendered, kept, versions.config)
    found = [
        *(row for row in health.judge(site, begun.health) if row.topic not in TOLD_BETTER),
        *seen.admission,
        *leftovers(begun),
        *report.expiries(site, begun.certificates, DAYS),
        *(_etcd(session, seen, way) if site.kubernetes.etcd == "stacked" else ()),
        *accepted.findings(seen.settings, now[:2], target[:2]),
        *apis.findings(apis.Facts(seen.servers, seen.objects), now[:2], target[:2]),
        *changed.findings,
        *packages.findings(target, seen.packages),
        *_between(way),
        *alone(site),
        *room.findings(seen.rooms, max(1, len(way)), images_unknown(begun)),
        *_backups(session, choices),
    ]
    return found, changed


def alone(site: Site) -> Iterator[Finding]:
    """Return a warning when there is no second API server."""
    if len(site.control_plane) == 1:
        words = "it is the only control plane host: nobody serves the API while its API server is replaced"
        why = "clients see a gap; the load balancers have no other host, so it is not taken out of them"
        fix = "inv cluster.join adds control plane hosts; or choose the hour"
        yield Finding("warn", topic="API server", host=site.control_plane[0].name, seen=words, why=why, fix=fix)


def leftovers(seen: First) -> Iterator[Finding]:
    """Return what earlier commands have left half done. It is a failure, but for an upgrade: that one is gone on with.

    A host that could not be read is left out: the health of the cluster tells it.
    """
    for host, each in seen.traces.items():
        if isinstance(each, RunbookError):
            continue
        found = [f"its static pods are parked: {listed(each.parked)}"] if each.parked else []
        found += ["a restore of etcd was not finished"] if each.restoring else []
        if each.attempt and not each.attempt.startswith(UPGRADE):
            found.append(f"kubeadm {each.attempt} {'is running' if each.working else 'was not finished'}")
        for what in found:
            yield Finding("fail", topic="leftovers", host=host.name, seen=what, fix="inv doctor says how it is finished")
    for host, progress in seen.kubeadm.items():
        if isinstance(progress, RunbookError):
            continue
        if progress.other:
            fix = f"on {host}: wait until it has ended"
            yield Finding(
                "fail", topic="leftovers", host=host.name, seen=f"another kubeadm runs there: {progress.other}", fix=fix
            )
        elif progress.attempt:
            how = "is at work" if progress.running else "was begun and has not ended well"
            yield Finding("note", topic="leftovers", host=host.name, seen=f"kubeadm upgrade {progress.attempt} {how}")


def kept(seen: First) -> set[str]:
    """Return the hosts on which an upgrade has begun, as their kept manifests say."""
    return {host.name for host, each in seen.kubeadm.items() if isinstance(each, Progress) and each.kept}


def in_work(seen: First, state: Standing) -> set[str]:
    """Return the hosts that an interrupted upgrade has left in the middle, as far as they themselves and their versions say."""
    begun = {host.name for host, each in seen.kubeadm.items() if isinstance(each, Progress) and each.attempt}
    return begun | set(state.begun)


# ---- etcd


def _etcd(session: Session, seen: Observed, way: Sequence[Hop]) -> Iterator[Finding]:
    view = seen.first.view
    yield from etcd_gates.health(view, on_the_way=bool(kept(seen.first)))
    yield from _worst([etcd_gates.without(view, host) for host in view.said])
    at = view
    crosses = False
    for hop in way:
        target = brought(seen.first, hop.to or (hop.major, hop.minor, 0))
        for each in etcd_gates.versions(at, target):
            yield replace(each, seen=f"{hop}: {each.seen}") if len(way) > 1 else each
        crosses |= bool(target.version and target.version >= (3, 6, 0) and _any_before(view, (3, 6, 0)))
        at = _at(at, target.version) if target.version else at
    if crosses:
        yield from _stored(session, view)
        yield from etcd_gates.v2_data(brought(seen.first, way[-1].to or (1, way[-1].minor, 0)), view, seen.v2)


def _any_before(view: View, version: Version) -> bool:
    return any((version_in(each.version) or version) < version for each in view.statuses.values())


def _at(view: View, version: Version) -> View:
    """Return the view as it is once every member is at ``version``: for the hops after the first one."""
    newer = {
        host: replace(look, status=replace(look.status, version=text(max(version, version_in(look.status.version) or version))))
        for host, look in view.looks.items()
        if look.status
    }
    return View({**view.said, **newer})


def _stored(session: Session, view: View) -> list[Finding]:
    """Return the findings about the members in the databases of the newest set's snapshots."""
    hosts = {member.id: host.name for member in view.members if (host := view.host_of(member))}
    try:
        store = Store(session.site)
        newest = store.one()
        made, stored = newest.sound, etcd.stored_members(store, newest)
    except RunbookError:
        return etcd_gates.stored_members(view.members, {})
    old = etcd_gates.stale(made.etcd.members, view.members, made.started, datetime.now().astimezone())
    return etcd_gates.stored_members(view.members, stored, hosts, old=old)


def _worst(found: Sequence[Finding]) -> list[Finding]:
    """Return those that are not ok, or one for all that are."""
    wrong = [each for each in found if each.severity != "ok"]
    return wrong or [replace(found[0], host="", seen="whichever member restarts, the others keep the quorum")] if found else []


# ---- packages on the way, backups


def _between(way: Sequence[Hop]) -> Iterator[Finding]:
    for hop in way[:-1]:
        minor = f"{hop.major}.{hop.minor}"
        if hop.to:
            yield Finding("ok", topic=packages.TOPIC, seen=f"on the way: every host is offered {hop}")
        else:
            fix = f"add the package repository of {minor} on every host, or mirror it into yours"
            seen = f"on the way: no version of {minor} is offered to every host"
            yield Finding("fail", topic=packages.TOPIC, seen=seen, fix=fix)


def _backups(session: Session, choices: Choices) -> list[Finding]:
    now = datetime.now().astimezone()
    try:
        store = Store(session.site)
        problems, fix, _ = backup.trouble_with(session)
        _, good = backup.newest_sets(store)
    except InventoryError as error:
        return [backups.none(str(error), error.hint, makes=choices.backup)]
    fresh = fresh_set.newest_good(store, now) is not None
    return backups.findings(good, problems, fix, now, fresh=fresh, makes=choices.backup)
