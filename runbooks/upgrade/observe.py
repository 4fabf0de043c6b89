"""Reads everything that the forecast of an upgrade judges: all hosts at the same time, and each of them several things at a time."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from runbooks.certs import look as certs
from runbooks.certs.rules.renewal import CertsByHost
from runbooks.commands import api_use, doctor, drain_look, rendered, upgrade_kubeadm, upgrade_room
from runbooks.commands.api_use import ApiUse, Objects
from runbooks.commands.base import Probe
from runbooks.commands.doctor import Traces
from runbooks.commands.drain_objects import Cluster
from runbooks.commands.etcd_v2 import V2Check
from runbooks.commands.rendered import Rendered
from runbooks.commands.upgrade_kubeadm import Progress
from runbooks.commands.upgrade_room import HostRoom
from runbooks.commands.versions import KUBE_PROXY, HostVersions
from runbooks.engine.retry import until
from runbooks.engine.steps import Run
from runbooks.engine.together import together
from runbooks.errors import NotServing, OutcomeError, RunbookError
from runbooks.inventory.model import Host
from runbooks.rules.etcd import View
from runbooks.rules.finding import Finding
from runbooks.rules.upgrade_seen import SERVER, Version, text
from runbooks.upgrade import etcd, look, packages, settings
from runbooks.upgrade.look import Readings
from runbooks.upgrade.rules import apis, etcd_brought, room
from runbooks.upgrade.rules.accepted import Facts
from runbooks.upgrade.rules.etcd_brought import Brought
from runbooks.upgrade.rules.packages import HostPackages
from runbooks.view import admission, health
from runbooks.view.cluster import Survey
from runbooks.view.health import ClusterReadings


@dataclass(slots=True, kw_only=True)
class First:
    """What is read before the target is judged: the cluster's health, all versions, certificates, what earlier commands and kubeadm left."""

    health: ClusterReadings
    versions: Readings
    certificates: CertsByHost
    traces: Mapping[Host, Traces | RunbookError]
    kubeadm: Mapping[Host, Progress | RunbookError]
    survey: Survey

    @property
    def view(self) -> View:
        """Return etcd as every control plane host that answers sees it."""
        return View(self.health.of("etcd"))


@dataclass(slots=True, kw_only=True)
class Observed:
    """Everything. What could not be read is its error; what was not asked for is empty."""

    first: First
    settings: Facts
    packages: Mapping[Host, HostPackages | RunbookError]
    between: Mapping[Version, Mapping[Host, HostPackages | RunbookError]]
    rooms: Mapping[Host, HostRoom | RunbookError]
    rendered: Mapping[Host, Rendered | RunbookError]
    drains: Cluster | RunbookError
    admission: list[Finding]
    servers: Mapping[Host, ApiUse | RunbookError] = field(default_factory=dict)
    objects: tuple[Objects, ...] | RunbookError = ()
    v2: Mapping[Host, V2Check] = field(default_factory=dict)


def begin(run: Run) -> First:
    """Read what does not depend on the target."""
    site, survey = run.site, Survey()
    traces = {host: doctor.look(site, host) for host in site.nodes}
    found = together(
        run,
        health=lambda: health.look(run),
        versions=lambda: look.look(run),
        certificates=lambda: certs.all_hosts(run, survey, site.hosts),
        traces=lambda: run.read_each(traces, fresh=True),
        kubeadm=lambda: run.read_each(dict.fromkeys(site.nodes, upgrade_kubeadm.look()), fresh=True),
    )
    health.once_more(run, found["health"])
    return First(survey=survey, **found)


def settled(run: Run, wrong: Callable[[ClusterReadings], Sequence[Finding]], within: float) -> First:
    """Return what `begin` reads, as soon as nothing is ``wrong`` with the cluster's health; after ``within`` seconds what is there then.

    Only what `begin` read counts: on a host that is busy, a look after the one that was good may be bad again. A plan does not wait.
    """
    first = begin(run)

    def passed() -> bool:
        nonlocal first
        if wrong(health.look(run)):
            return False
        first = begin(run)
        return not wrong(first.health)

    if wrong(first.health) and not run.plan:
        try:
            until(passed, within=within, poll=2)
        except OutcomeError:
            first = begin(run)
    return first


def observe(run: Run, first: First, now: Version, target: Version) -> Observed:
    """Read the rest for an upgrade from ``now`` to ``target``."""
    joined = {host: each for host, each in first.versions.hosts.items() if isinstance(each, HostVersions) and each.joined}
    masters = [host for host in run.site.control_plane if host in joined]
    api_host = first.health.reader or first.survey.api_host(run)
    stacked = run.site.kubernetes.etcd == "stacked"
    tasks: dict[str, Callable[[], Any]] = {
        "settings": lambda: settings.look(run, first.survey, run.site.nodes, now[1]),
        "packages": lambda: packages.look(run, target, first.versions.hosts),
        "between": lambda: packages.between(run, now, target, first.versions.hosts),
        "rooms": lambda: run.read_each(_rooms(run, first, joined, target), fresh=True),
        "rendered": lambda: run.read_each({host: rendered.look(host, etcd=stacked) for host in masters}, fresh=True),
        "drains": lambda: _from(run, api_host, drain_look.look),
        "admission": lambda: admission.asked(run, api_host) if api_host else [],
    }
    if now[:2] != target[:2]:
        wanted = apis.wanted(now[:2], target[:2])
        tasks["servers"] = lambda: run.read_each({host: api_use.look(host) for host in masters}, fresh=True)
        tasks["objects"] = lambda: _from(run, api_host, lambda host: api_use.objects(host, wanted)) if wanted else ()
        if stacked and run.site.backup:
            base = str(run.site.backup.host_directory)
            tasks["v2"] = lambda: etcd.v2_checks(run, first.view, brought(first, target), base)
    return Observed(first=first, **together(run, **tasks))


def brought(first: First, target: Version) -> Brought:
    """Return the etcd that kubeadm ``target`` brings this cluster."""
    cluster = first.versions.cluster
    return etcd_brought.brought(target, "" if isinstance(cluster, str) else cluster.etcd_tag)


def _from(run: Run, api_host: Host | None, probe: Callable[[Host], Probe[Any]]) -> Any:
    if not api_host:
        return NotServing("no API server is ready", hint="inv cluster.status")
    return run.read_each({api_host: probe(api_host)}, fresh=True)[api_host]


def _rooms(run: Run, first: First, joined: Mapping[Host, HostVersions], target: Version) -> dict[Host, Probe[HostRoom]]:
    repository = _repository(first)
    proxy = not isinstance(first.versions.cluster, str) and bool(first.versions.cluster.proxy)
    return {
        host: upgrade_room.look(
            room.images(repository, text(target), control_plane=host.is_control_plane, proxy=proxy) if repository else ()
        )
        for host in joined
    }


def images_unknown(first: First) -> str:
    """Return why it is not known which images the target needs on the hosts, or ""."""
    if not _repository(first):
        return "no host says which image of kube-apiserver it has"
    cluster = first.versions.cluster
    why = cluster if isinstance(cluster, str) else cluster.errors.get(KUBE_PROXY, "")
    absent = why.endswith('"kube-proxy" not found')  # the cluster does without it
    return f"whether kube-proxy runs: {why}" if why and not absent else ""


def _repository(first: First) -> str:
    images = (
        each.images.get(SERVER, "") for each in first.versions.hosts.values() if isinstance(each, HostVersions) and each.joined
    )
    return next((image.rpartition("/")[0] for image in images if image), "")
