"""Collect everything that `inv doctor` judges, in two round trips: everything, then the objects. The load of some hosts is read once more."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from runbooks.commands import doctor, load, lock
from runbooks.commands.base import Answer, Probe, optional
from runbooks.commands.clock import Clock, timed
from runbooks.commands.doctor import Traces
from runbooks.commands.etcd import Look
from runbooks.commands.etcd_metrics import Metrics
from runbooks.commands.load import Load
from runbooks.commands.lock import Held
from runbooks.commands.verify import HostFacts
from runbooks.engine.steps import Run
from runbooks.errors import RunbookError, reason
from runbooks.inventory.model import Host
from runbooks.rules.etcd import View
from runbooks.rules.finding import Finding, at_least
from runbooks.rules.verify_hosts import LbReading
from runbooks.view import admission, health
from runbooks.view.health import ClusterReadings, More


@dataclass(slots=True)
class Examination:
    """What was seen on all hosts.

    errors  the hosts that could not be asked.
    loads   the last reading, and the one before.
    unread  the hosts that answer, and that did not tell their ``traces``.
    """

    seen: ClusterReadings
    errors: dict[Host, RunbookError]
    traces: dict[Host, Traces] = field(default_factory=dict)
    metrics: dict[Host, Metrics] = field(default_factory=dict)
    loads: dict[Host, tuple[Load, Load | None]] = field(default_factory=dict)
    held: dict[Host, Held] = field(default_factory=dict)
    clocks: dict[Host, Clock] = field(default_factory=dict)
    endpoints: tuple[str, ...] = ()
    admission: tuple[Finding, ...] = ()
    unread: tuple[Host, ...] = ()

    @property
    def facts(self) -> dict[Host, HostFacts]:
        """What each control plane host or worker that answers reports about itself."""
        return self.seen.of("facts")

    @property
    def balancers(self) -> dict[Host, LbReading]:
        """What each LB that answers reports about itself, and the servers behind it."""
        backends = self.seen.of("backends")
        return {host: (state, backends[host]) for host, state in self.seen.of("lb").items()}

    def view(self) -> View:
        """Return etcd as every control plane host sees it."""
        looks: dict[Host, Look] = self.seen.of("etcd")
        said = {host: error for host, error in self.errors.items() if host.is_control_plane}
        silent: dict[Host, Look | str] = {host: reason(host, error) for host, error in said.items()}
        return View(silent | looks)


def look(run: Run) -> Examination:
    """Look at every host. A host that does not answer raises nothing: it becomes a finding."""
    began = time.monotonic()
    seen = health.look(
        run,
        More(
            hosts=lambda host: {kind: optional(probe) for kind, probe in _parts(run, host).items()},
            around=_timed,
            reader=lambda host: {"endpoints": optional(doctor.endpoints(host)), "admission": admission.probe(host)},
        ),
    )
    errors = {host: said for host, said in seen.hosts.items() if isinstance(said, RunbookError)}
    examined = Examination(seen, errors, _told(seen, "traces"), _told(seen, "metrics"), held=_told(seen, "held"))
    examined.unread = tuple(host for host in seen.there if host not in examined.traces)
    health.once_more(run, seen, began)
    if seen.reader:
        examined.endpoints = seen.extra.get("endpoints") or ()
        tried = admission.findings(run, seen.reader, seen.extra.get("admission"))
        examined.admission = tuple(at_least("note", tried))
    examined.clocks = seen.of("clock")
    examined.loads = _loads(run, seen.of("load"))
    return examined


def _timed(everything: Probe[dict[str, Any]]) -> Probe[dict[str, Any]]:
    """Return the probe with the host's clock."""
    both = timed(everything)

    def parse(answer: Answer) -> dict[str, Any]:
        said, clock = both.parse(answer)
        return {**said, "clock": clock}

    return Probe(both.command, parse)


def _told(seen: ClusterReadings, kind: str) -> dict[Host, Any]:
    return {host: each for host, each in seen.of(kind).items() if each}


def _loads(run: Run, first: Mapping[Host, Load]) -> dict[Host, tuple[Load, Load | None]]:
    """Return the last reading of each host, and the one before. Where nothing is counted that grows with time, there is one only."""
    growing = [host for host, each in first.items() if each.limits or each.stolen]
    again = run.read_each(dict.fromkeys(growing, load.look(run.site)), fresh=True)
    second = {host: each for host, each in again.items() if isinstance(each, Load)}
    return {host: (second[host], each) if host in second else (each, None) for host, each in first.items()}


def _parts(run: Run, host: Host) -> dict[str, Probe[Any]]:
    parts: dict[str, Probe[Any]] = {
        "traces": doctor.look(run.site, host),
        "held": lock.show(run.site.name),
    }
    if host.is_control_plane and run.site.kubernetes.etcd == "stacked":
        parts["metrics"] = doctor.metrics()
    return parts
