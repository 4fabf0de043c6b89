"""What the rules of one site need to know: its name, jobs, limits, and how long things may take. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Final, get_args

from runbooks.inventory.model import Host, Site
from runbooks.inventory.settings import Job, Monitoring
from runbooks.inventory.words import literal
from runbooks.monitor.rules.alert import span

JOBS: Final[tuple[Job, ...]] = get_args(Job)
PREFIX: Final = "ha_runbooks_"  # of the metrics that this tool writes for node_exporter
SCRAPES: Final = 4  # in the shortest range of a rate: two samples are still there when one scrape failed
Selector = Callable[..., str]


@dataclass(frozen=True)
class Scope:
    """The site whose rules are built. ``faster`` divides every duration: only for rehearsals, in which nobody can wait for hours."""

    site: Site
    faster: int = 1

    @cached_property
    def settings(self) -> Monitoring:
        """The section ``monitoring``, or its defaults when hosts.yaml has none."""
        return self.site.monitoring or Monitoring()

    @cached_property
    def jobs(self) -> tuple[Job, ...]:
        """The jobs that this tool sets up: those of hosts.yaml, else all. An external etcd is scraped where it is managed."""
        if self.settings.jobs is not None:
            return self.settings.jobs
        return tuple(job for job in JOBS if job != "etcd" or self.site.kubernetes.etcd == "stacked")

    @property
    def own(self) -> str:
        """The matcher of what belongs to this site."""
        return f'site="{self.site.name}"'

    def of(self, job: Job) -> Selector:
        """Return a function that selects a metric of ``job``: ``of("etcd")("up", 'a="b"')``.

        Jobs that this tool sets up have the label ``site``, which keeps several sites in one Prometheus apart.
        """
        return self.across(job)

    def across(self, *jobs: Job) -> Selector:
        """As `of`, for several jobs."""
        which = f'job="{jobs[0]}"' if len(jobs) == 1 else 'job=~"' + "|".join(jobs) + '"'
        both = [which, *([self.own] if set(jobs) <= set(self.jobs) else [])]
        return lambda metric, *more: f"{metric}{{{','.join([*both, *more])}}}"

    def textfile(self, metric: str, *more: str) -> str:
        """Select a metric of our own, which node_exporter reads from a file, such as ``ha_runbooks_backup_sets``.

        Only from our own job where there is one: a host whose node_exporter another job scrapes, too, would count twice.
        """
        which = ['job="node-exporter"'] if "node-exporter" in self.jobs else []
        return f"{PREFIX}{metric}{{{','.join([*which, self.own, *more])}}}"

    def on(self, *hosts: Host) -> str:
        """Return the matcher of the label ``instance`` of these hosts: their names, or their addresses and a port where a job is not ours."""
        words = [word for host in hosts for word in (host.name, literal(host.address))]
        either = "|".join(re.sub(r"[.[\]]", r"[\g<0>]", word) for word in words)
        return f'instance=~"({either})(:[0-9]+)?"'

    def wait(self, seconds: int) -> int:
        """Return how long a condition has to hold, in seconds."""
        return -(-seconds // self.faster)

    def range(self, seconds: int) -> str:
        """Return the range of a rate, as text. Never less than four scrapes."""
        return span(max(-(-seconds // self.faster), SCRAPES * self.settings.interval_s))
