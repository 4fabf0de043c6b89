"""What is left of etcd, seen from every host that answers: members, data, static pods, and who else reaches the silent ones."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from runbooks.commands import etcd_restore, static_pods
from runbooks.commands.base import batch
from runbooks.commands.etcd_restore import ALIVE_PORTS, HostData, Newer
from runbooks.commands.static_pods import StaticPod
from runbooks.engine.steps import Run
from runbooks.errors import PrecheckError, RunbookError, UnreachableError
from runbooks.inventory.model import Host
from runbooks.recover.rules.quorum import EtcdSurvey, Restore, Source, read, refusal
from runbooks.view import etcd


def survey_etcd(run: Run) -> EtcdSurvey:
    """See everything. Raises UnreachableError when no control plane host answers."""
    masters = run.site.control_plane
    answers = etcd.answers(run)
    probe = batch(etcd_restore.look(), static_pods.look())
    # Who cannot be reached is waited for once.
    lost = {host: each for host, each in answers.items() if isinstance(each, UnreachableError)}
    said = run.read_each(dict.fromkeys((host for host in masters if host not in lost), probe), fresh=True) | lost
    hosts: dict[Host, HostData] = {}
    pods: dict[Host, Mapping[str, StaticPod]] = {}
    for host, each in said.items():
        if not isinstance(each, RunbookError):
            hosts[host], pods[host] = each
    silent = {host: _brief(host, each) for host, each in said.items() if isinstance(each, RunbookError)}
    if not hosts:
        text = "".join(f"\n  {host}: {why}" for host, why in silent.items())
        raise UnreachableError(
            f"no control plane host can be looked at:{text}", hint="switch one on; inv recover.node needs a cluster"
        )
    others = [host for host in run.site.hosts if host not in masters]
    peers = [(host.address, port) for host in silent for port in ALIVE_PORTS]
    reached = run.read_each(dict.fromkeys([*hosts, *others], etcd_restore.reach(peers)), fresh=True)
    nodes = [host for host in others if host.is_worker]
    return EtcdSurvey(
        view=etcd.view_of(answers),
        hosts=hosts,
        pods=pods,
        silent=silent,
        alive={host: _from(host, reached) for host in silent},
        nodes=tuple(host for host in nodes if not isinstance(reached[host], RunbookError)),
        missed=tuple(host for host in nodes if isinstance(reached[host], RunbookError)),
    )


def _brief(host: Host, error: RunbookError) -> str:
    return (str(error).splitlines() or [""])[0].removeprefix(f"{host} ({host.address}): ").removeprefix(f"{host}: ")


def _from(host: Host, reached: Mapping[Host, frozenset[tuple[str, int]] | RunbookError]) -> tuple[str, ...]:
    return tuple(
        f"{asker} on port {port}"
        for asker, found in reached.items()
        if not isinstance(found, RunbookError)
        for address, port in sorted(found)
        if address == str(host.address)
    )[:3]


def require_gone(run: Run, token: str, *, insist: bool) -> EtcdSurvey:
    """Look, and raise PrecheckError unless the quorum is gone. ``insist``: although a quorum or a majority is there."""
    survey = survey_etcd(run)
    reason = refusal(survey, token)
    if reason and not (insist and not reason.final):
        raise PrecheckError(f"nothing is restored: {reason.why}", hint=reason.instead)
    return survey


def host_data(run: Run, host: Host) -> HostData:
    """What ``host`` has for the restore now."""
    return run.read(host, etcd_restore.look())


def hosts_data(run: Run, hosts: Iterable[Host]) -> dict[Host, HostData]:
    """As `ground`, of several hosts at the same time."""
    return run.read_all(dict.fromkeys(hosts, etcd_restore.look()))


def newer_than(run: Run, survey: EtcdSurvey, source: Source) -> Newer | None:
    """What the survivor that is furthest holds and ``source`` does not; None when nobody can be asked."""
    ahead = {host: status for host, status in survey.view.statuses.items() if status.revision > source.revision}
    related = {host: each for host, each in ahead.items() if not source.cluster or each.cluster == source.cluster}
    if not related:
        return None
    host = max(related, key=lambda each: related[each].revision)
    found = run.read_each({host: etcd_restore.newer(source.revision)}, fresh=True)[host]
    return None if isinstance(found, RunbookError) else found


def noted(survey: EtcdSurvey, host: Host) -> Restore | None:
    """The restore that was begun on ``host``."""
    return read(survey.hosts[host].plan) if host in survey.hosts else None
