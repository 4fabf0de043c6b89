"""The forecast of an upgrade: everything that is read is judged, every drain simulated, every step put into a schedule. Changes nothing.

`inv upgrade.plan` prints it; `inv upgrade.run` begins with it, and is let through when nothing in it fails.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from runbooks.commands.drain_objects import Cluster
from runbooks.commands.versions import HostVersions
from runbooks.engine.past import past
from runbooks.errors import OutcomeError, RunbookError
from runbooks.inventory.model import Host, Site
from runbooks.rules.etcd import View
from runbooks.rules.etcd_leader import leader_of
from runbooks.rules.finding import Finding, at_least, ordered
from runbooks.rules.upgrade_seen import Seen, Version, text
from runbooks.rules.upgrade_standing import Standing, standing
from runbooks.upgrade import judge
from runbooks.upgrade.observe import Observed, begin, observe
from runbooks.upgrade.rules import backups, drain_findings, drains, path, schedule, status
from runbooks.upgrade.rules.choices import Choices
from runbooks.upgrade.rules.customised import Change
from runbooks.upgrade.rules.going_on import softened
from runbooks.upgrade.rules.packages import HostPackages, newest_between
from runbooks.upgrade.rules.path import Hop
from runbooks.upgrade.rules.remaining import Remaining, remaining
from runbooks.upgrade.rules.schedule import DRAIN, Part, Schedule, Spread, span

if TYPE_CHECKING:
    from runbooks.engine.session import Session

RUN, BACKUP_RUN = "upgrade.run", "backup.run"
TYPICAL = (
    0.3  # of the time between the least and the most that a drain may take: most Pods end long before their grace period does
)


@dataclass(frozen=True, slots=True)
class Stop:
    """A drain that is blocked: of which node, when it begins, by which budgets or Pods, and whether that is certain."""

    host: Host
    begins: Spread
    by: tuple[str, ...]
    certain: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Forecast:
    """What is foreseen.

    since, target  the versions; since is None when it is not known.
    state          how far an upgrade has come already; versions: what was seen; in_work: hosts that an interrupted one has left in the middle.
    way            the hops; left: the hosts in their order, what is done being left out; leader: etcd's, None when it is not known.
    findings       all, the most severe first.
    schedule       of the hop to ``target``, None when there is no way; stops: the drains that are blocked, in their order.
    switches       by host, the changes of its package repositories as a diff; changes: what would vanish of what was changed by hand.
    cluster        what the drains were simulated with, None when it could not be read.
    """

    since: Version | None
    target: Version
    state: Standing
    versions: Seen
    in_work: frozenset[str] = frozenset()
    way: tuple[Hop, ...] = ()
    left: Remaining = field(default_factory=lambda: Remaining((), (), applied=False))
    leader: Host | None = None
    findings: tuple[Finding, ...] = ()
    schedule: Schedule | None = None
    stops: tuple[Stop, ...] = ()
    drains: drains.Forecast | None = None
    switches: Mapping[Host, str] = field(default_factory=dict)
    changes: Mapping[Change, tuple[Host, ...]] = field(default_factory=dict)
    cluster: Cluster | None = None

    @property
    def refusals(self) -> list[Finding]:
        """The findings that stop `upgrade.run` before it begins."""
        return at_least("fail", self.findings)


def forecast(session: Session, target: Version, choices: Choices) -> Forecast:
    """Read everything and judge an upgrade to ``target``: with ``choices.several`` through every minor version on the way.

    Where there is no way to ``target`` (a downgrade, minor versions skipped), nothing else is read. Raises OutcomeError when there is no cluster.
    """
    site, seen = session.site, begin(session.run)
    joined = [each.joined for each in seen.versions.hosts.values() if isinstance(each, HostVersions)]
    if joined and not any(joined):
        raise OutcomeError(f"{site.name}: no cluster yet", hint="inv cluster.init builds it")
    versions = status.seen(site, seen.versions.hosts, seen.versions.cluster)
    state = standing(versions)
    now = state.since or state.to
    found = judge.first(site, seen, versions, state, target, choices)
    leader = leading(seen.view)
    work, kept = judge.in_work(seen, state), judge.kept(seen)
    told = tuple(ordered(softened(found, work, kept, text(target))))
    whole = Forecast(
        since=now, target=target, state=state, versions=versions, leader=leader, in_work=frozenset(work), findings=told
    )
    if not now or path.refused(now, target, several=choices.several) or path.other_target(state, target):
        return whole
    observed = observe(session.run, seen, now, target)
    way = path.hops(now, target, newest_between(observed.between))
    more, changed = judge.everything(session, observed, versions, now, way, choices)
    whole = replace(
        whole,
        way=way,
        left=remaining(site.nodes, versions, target, leader, choices),
        switches={host: each.diff for host, each in observed.packages.items() if isinstance(each, HostPackages) and each.diff},
        changes=changed.changes,
    )
    return _in_time(session, observed, whole, [*found, *more], choices)


def leading(view: View) -> Host | None:
    """Return the host of etcd's leader, None when it is not known."""
    leader = leader_of(view)
    return next((host for host, each in view.statuses.items() if each.member == leader), None)


# ---- drains, and the time


def _in_time(session: Session, observed: Observed, whole: Forecast, found: list[Finding], choices: Choices) -> Forecast:
    """Return the forecast with its drains and its schedule, and with when each of them would stop the run."""
    site, read = session.site, observed.drains
    cluster = read if isinstance(read, Cluster) else None
    names = nodes_of(site, cluster)
    order = [[names[host] for host in group] for group in whole.left.kubelets]
    simulated = drains.simulate(cluster, order, choices.named) if cluster else None
    plan = _schedule(session, whole, simulated, _backs_up(found, choices))
    hosts = {node: host for host, node in names.items()}
    if cluster and simulated:
        stops = _stops(simulated, plan, hosts)
        told = drain_findings.findings(cluster, order, choices.named, simulated) if order else []
        found += [*(_when(each, stops) for each in told), *drain_findings.too_long(simulated, choices.drain_s)]
        whole = replace(whole, drains=simulated, stops=stops, cluster=cluster)
    elif isinstance(read, RunbookError):
        seen = f"not simulated: {str(read).partition(chr(10))[0]}"
        found.append(Finding("fail", topic=drain_findings.TOPIC, seen=seen, fix=read.hint or "inv cluster.status"))
    marked = {hosts[name].name for name, node in cluster.nodes.items() if node.marked and name in hosts} if cluster else set()
    work = whole.in_work | marked
    found = softened(found, work, judge.kept(observed.first), text(whole.target))
    return replace(whole, in_work=work, findings=tuple(ordered(found)), schedule=plan)


def nodes_of(site: Site, cluster: Cluster | None) -> dict[Host, str]:
    """Return the names of the hosts' Node objects: the host's own, or that with a domain."""
    there = cluster.nodes if cluster else {}
    return {host: next((node for node in there if host.is_called(node)), host.name) for host in site.nodes}


def _schedule(session: Session, whole: Forecast, simulated: drains.Forecast | None, backup: bool) -> Schedule:
    groups = [[host.name for host in group] for group in whole.left.kubelets]
    masters = [host.name for host in session.site.control_plane]
    kubeadm = [host.name for host in whole.left.control_plane]
    stages = schedule.stages_left(
        kubeadm, groups, masters=masters, backup=backup and bool(kubeadm or groups), applied=whole.left.applied
    )
    foreseen = {}
    for group, drain in zip(groups, simulated.drains if simulated else (), strict=False):
        least, most = drain.seconds()
        takes = Spread(least, least + TYPICAL * (most - least), most, "no past run; foreseen from its Pods")
        foreseen.update({Part(DRAIN, name).title: takes for name in group})
    runs = session.state / "runs"
    took = {**past(runs, RUN).steps, schedule.BACKUP: past(runs, BACKUP_RUN).totals}
    return schedule.schedule(stages, took, foreseen)


def _backs_up(found: Sequence[Finding], choices: Choices) -> bool:
    return choices.backup and not any(each.topic == backups.TOPIC and each.severity == "ok" for each in found)


def _stops(simulated: drains.Forecast, plan: Schedule, hosts: Mapping[str, Host]) -> tuple[Stop, ...]:
    found = []
    for drain in simulated.drains:
        for node in drain.nodes:
            blocks = [block for block in drain.blocks if block.node == node]
            begins = plan.begins(hosts[node].name, DRAIN)
            if blocks and begins:
                by = dict.fromkeys(name for block in blocks for name in (block.budgets or (block.pod.key,)))
                found.append(Stop(hosts[node], begins, tuple(by), any(block.certain for block in blocks)))
    return tuple(found)


def _when(finding: Finding, stops: Sequence[Stop]) -> Finding:
    """Return a finding about a drain that is blocked with the minute at which the run would stop there."""
    stop = next((each for each in stops if each.host.name in finding.host.split(", ")), None)
    if not stop or not finding.why.startswith(drain_findings.STOPS):
        return finding
    rest = finding.why.removeprefix(drain_findings.STOPS)
    return replace(finding, why=f"the run stops there {minute(stop.begins)}, before anything else is done on the node{rest}")


def minute(begins: Spread) -> str:
    """Return when something begins, after the start of the run.

    >>> minute(Spread(300, 540, 1200))
    'about 9 min after its start (5 to 20 min, most likely 9 min)'
    """
    about = f"{begins.typical / 60:.0f} min" if begins.typical >= 60 else f"{begins.typical:.0f} s"
    return f"about {about} after its start ({span(begins)})"
