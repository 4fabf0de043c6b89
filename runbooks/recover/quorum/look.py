"""Read what is left of etcd from every host that answers: members, data, static pods, and signs of life of the other hosts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from runbooks.commands import etcd_restore, node, static_pods
from runbooks.commands.base import batch
from runbooks.commands.etcd_restore import ALIVE_PORTS, HostData, Newer
from runbooks.commands.node import NodeState
from runbooks.commands.static_pods import StaticPod
from runbooks.engine.steps import Run
from runbooks.errors import PrecheckError, RunbookError, UnreachableError
from runbooks.inventory.model import Host
from runbooks.recover.rules.quorum import EtcdSurvey, refusal
from runbooks.recover.rules.restore import Source
from runbooks.view import etcd


def survey_etcd(run: Run) -> EtcdSurvey:
    """Ask every host of the site. Raises UnreachableError when no control plane host answers."""
    control_plane = run.site.control_plane
    answers = etcd.answers(run)
    probe = batch(etcd_restore.look(), static_pods.look())
    # A host that could not be reached is not asked again: each try costs a timeout.
    lost = {host: each for host, each in answers.items() if isinstance(each, UnreachableError)}
    said = run.read_each(dict.fromkeys((host for host in control_plane if host not in lost), probe), fresh=True) | lost
    hosts: dict[Host, HostData] = {}
    pods: dict[Host, Mapping[str, StaticPod]] = {}
    for host, each in said.items():
        if not isinstance(each, RunbookError):
            hosts[host], pods[host] = each
    silent = {host: _brief(host, each) for host, each in said.items() if isinstance(each, RunbookError)}
    if not hosts:
        text = "".join(f"\n  {host}: {why}" for host, why in silent.items())
        raise UnreachableError(
            f"no control plane host can be read:{text}",
            hint="switch one on, then run this again",
        )
    others = [host for host in run.site.hosts if host not in control_plane]
    peers = [(host.address, port) for host in silent for port in ALIVE_PORTS]
    reached = run.read_each(dict.fromkeys([*hosts, *others], etcd_restore.reach(peers)), fresh=True)
    nodes = [host for host in others if host.is_worker]
    states = run.read_each({host: node.look(host) for host in nodes if not isinstance(reached[host], RunbookError)}, fresh=True)
    outside = tuple(host for host, state in states.items() if isinstance(state, NodeState) and not state.joined)
    return EtcdSurvey(
        view=etcd.view_of(answers),
        hosts=hosts,
        pods=pods,
        silent=silent,
        alive={host: _reached_from(host, reached) for host in silent},
        nodes=tuple(host for host in nodes if not isinstance(reached[host], RunbookError) and host not in outside),
        missed=tuple(host for host in nodes if isinstance(reached[host], RunbookError)),
        outside=outside,
    )


def _brief(host: Host, error: RunbookError) -> str:
    return (str(error).splitlines() or [""])[0].removeprefix(f"{host} ({host.address}): ").removeprefix(f"{host}: ")


def _reached_from(host: Host, reached: Mapping[Host, frozenset[tuple[str, int]] | RunbookError]) -> tuple[str, ...]:
    return tuple(
        f"{asker} on port {port}"
        for asker, found in reached.items()
        if not isinstance(found, RunbookError)
        for address, port in sorted(found)
        if address == str(host.address)
    )[:3]


def require_gone(run: Run, token: str, *, insist: bool) -> EtcdSurvey:
    """Return a new survey. Raises PrecheckError unless `refusal` finds no reason, or ``insist`` overrules it."""
    survey = survey_etcd(run)
    reason = refusal(survey, token)
    if reason and not (insist and not reason.final):
        raise PrecheckError(f"nothing is restored: {reason.why}", hint=reason.instead)
    return survey


def host_data(run: Run, host: Host) -> HostData:
    """Return what ``host`` has for the restore now."""
    return run.read(host, etcd_restore.look())


def hosts_data(run: Run, hosts: Iterable[Host]) -> dict[Host, HostData]:
    """Return what each of ``hosts`` has for the restore now."""
    return run.read_all(dict.fromkeys(hosts, etcd_restore.look()))


def newer_than(run: Run, survey: EtcdSurvey, source: Source) -> Newer | None:
    """Return what the running member with the highest revision has and ``source`` has not; None when no such member can be asked."""
    ahead = {host: status for host, status in survey.view.statuses.items() if status.revision > source.revision}
    related = {host: each for host, each in ahead.items() if not source.cluster or each.cluster == source.cluster}
    if not related:
        return None
    host = max(related, key=lambda each: related[each].revision)
    found = run.read_each({host: etcd_restore.newer(source.revision)}, fresh=True)[host]
    return None if isinstance(found, RunbookError) else found
