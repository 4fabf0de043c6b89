"""`inv cluster.verify`: every check of the cluster in one table."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING

from runbooks.commands import kubectl
from runbooks.errors import OutcomeError
from runbooks.inventory.model import Site
from runbooks.rules import verify as rules
from runbooks.rules.finding import Finding, at_least, for_machines, shown, told
from runbooks.text import first_few
from runbooks.view import admission, upgrading
from runbooks.view.health import ClusterReadings, More, host_facts, judge, look, write_through_vip

if TYPE_CHECKING:
    from runbooks.engine.session import Session


def verify(session: Session) -> None:
    """Print all findings. Raises OutcomeError when a check fails; warnings are not failures."""
    run = session.run
    seen = look(run, More(reader=lambda host: {"admission": admission.probe(host)}))
    if rules.no_cluster(host_facts(run.site, seen)):
        raise OutcomeError(f"{run.site.name}: no cluster yet", hint="inv cluster.init builds it")
    found = upgrading.told(run, judge(run.site, seen, session.place("kubernetes.version")))
    if seen.reader:
        tried = seen.extra.get("admission")
        found += [*admission.findings(run, seen.reader, tried), write_through_vip(run, seen.reader)]
    failing = at_least("fail", found)
    if session.options.json:
        print(json.dumps({"ok": not failing, "findings": [for_machines(each) for each in found]}))
    else:
        print(f"{run.site.name}: Kubernetes {_version(run.site, seen)} behind {kubectl.through_vip(run.site)}\n")
        print(shown(found))
        if not failing:
            print(f"\n{_summary(found, failing)}")
    if failing:
        raise OutcomeError(_summary(found, failing), hint="the lines marked -> say what to do next")


def _version(site: Site, seen: ClusterReadings) -> str:
    """Return the version of the cluster by its own record; that of hosts.yaml when it cannot be read."""
    said = "" if isinstance(seen.cluster, str) else seen.cluster.config.get("kubernetesVersion", "")
    return said.removeprefix("v") or site.kubernetes.version


def _summary(found: Sequence[Finding], failing: Sequence[Finding]) -> str:
    warned = len(at_least("warn", found)) - len(failing)
    counted = f"{len(failing)} of {len(found)} checks failed" if failing else f"all {len(found)} checks passed"
    counted += f", {warned} with a warning" if warned else ""
    return "\n       ".join([counted, *first_few([told(each) for each in failing], 5)])
