"""`inv cluster.verify`: does the whole cluster hold what it promises? One table, and the last step of `cluster.init`."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from textwrap import shorten
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from runbooks.commands import etcd, kubectl, lb, objects, yaml_text
from runbooks.commands import verify as commands
from runbooks.commands.base import Probe, named_batch
from runbooks.commands.objects import Cluster
from runbooks.commands.verify import Health, HostFacts
from runbooks.engine.by_hand import by_hand
from runbooks.engine.steps import Run, Step, Unmet
from runbooks.errors import OutcomeError, RunbookError
from runbooks.inventory.model import Host, Site
from runbooks.rules import verify as rules
from runbooks.rules import verify_etcd, verify_hosts, verify_pods
from runbooks.rules.etcd import View
from runbooks.rules.finding import Finding, at_least, for_machines, shown, told
from runbooks.text import first_few

if TYPE_CHECKING:
    from runbooks.engine.session import Session

WAITING_FOR = 70  # characters of each thing that is waited for
WITHIN_S = 180  # for pods of a cluster that was just built to become ready


@dataclass(slots=True)
class Seen:
    """Everything that was looked at. ``hosts`` has each host's readings by kind, or the error that it gave instead."""

    hosts: dict[Host, dict[str, Any] | RunbookError]
    reader: Host | None = None
    cluster: Cluster | str = "no API server answers"
    namespaces: tuple[str, ...] = field(default=())

    def of(self, kind: str) -> dict[Host, Any]:
        """Return one kind of reading of every host that answered and has it."""
        return {host: said[kind] for host, said in self.hosts.items() if not isinstance(said, RunbookError) and kind in said}


def verify(session: Session) -> None:
    """Print the verdict on everything. Raises OutcomeError when something is not as it must be; warnings are no failure."""
    run = session.run
    seen = look(run)
    if rules.no_cluster(_facts(run.site, seen)):
        raise OutcomeError(f"{run.site.name}: no cluster yet", hint="inv cluster.init builds it")
    found = [*judge(run.site, seen), *_write(run, seen)]
    failing = at_least("fail", found)
    if session.options.json:
        print(json.dumps({"ok": not failing, "findings": [for_machines(each) for each in found]}))
    else:
        print(f"{run.site.name}: Kubernetes {run.site.kubernetes.version} behind {kubectl.through_vip(run.site)}\n")
        print(shown(found))
        if not failing:
            print(f"\n{_summary(found, failing)}")
    if failing:
        raise OutcomeError(_summary(found, failing), hint="the lines marked -> say what to do, or what looks closer")


def wrong(run: Run) -> list[Finding]:
    """Return what must not be so, the write through the VIP left out: only looks."""
    return at_least("fail", judge(run.site, look(run)))


def step(site: Site) -> Step:
    """Return the step that waits until everything holds, and then writes through the VIP and reads it back."""

    def done(run: Run) -> bool | Unmet:
        found = wrong(run)
        lines = [shorten(told(each), WAITING_FOR, placeholder=" ...") for each in found]
        return Unmet("; ".join(first_few(lines, 3))) if found else True

    def prove(run: Run) -> None:
        if failing := at_least("fail", _write(run, look(run))):
            raise OutcomeError("; ".join(map(told, failing)), hint=failing[0].fix)

    return Step("verify the cluster", done=done, verify=prove, within=WITHIN_S, by_hand=by_hand("cluster", "verify", site=site))


# ---- looking


def look(run: Run) -> Seen:
    """See everything: first each host for itself, all at the same time; then the cluster's objects by one of the API servers."""
    site = run.site
    probes = {host: named_batch(parts) for host in site.hosts if (parts := _parts(site, host))}
    seen = Seen(run.read_each(probes, fresh=True), namespaces=_namespaces(site))
    for host in rules.readers(seen.of("health")):
        found = run.read_each({host: objects.cluster(host, seen.namespaces)}, fresh=True)[host]
        if isinstance(found, RunbookError):
            seen.cluster = f"{host}: {rules.reason(host, found)}"
            continue
        if objects.NODES not in found.errors:
            seen.reader, seen.cluster = host, found
            break
        seen.cluster = found.errors[objects.NODES]
    return seen


def _parts(site: Site, host: Host) -> dict[str, Probe[Any]]:
    """Return what is to be asked of one host, by kind, in one round trip."""
    parts: dict[str, Probe[Any]] = {}
    if host.is_node:
        parts["facts"] = commands.host_facts(host)
    if host.is_control_plane:
        parts["health"] = commands.health([kubectl.url(host.address), kubectl.through_vip(site)])
        if site.kubernetes.etcd == "stacked":
            parts["etcd"] = etcd.look()
    if host.is_lb:
        parts |= {"lb": lb.state(site, host), "backends": lb.backends()}
    return parts


def _namespaces(site: Site) -> tuple[str, ...]:
    """Return the namespaces whose pods make the cluster: kube-system, and the pod network's."""
    if site.kubernetes.cni == "flannel":
        return ("kube-system", "kube-flannel")
    named = _workloads(site.kubernetes.cni) if isinstance(site.kubernetes.cni, Path) else []
    return tuple(dict.fromkeys(["kube-system", *(named or verify_pods.NETWORK_NAMESPACES)]))


def _workloads(manifest: Path) -> list[str]:
    """Return the namespaces of what a manifest runs; none when it cannot be read, which is for `cluster.init` to tell."""
    try:
        documents = [each for each in yaml_text.documents(manifest.read_text(encoding="utf-8")) if isinstance(each, dict)]
    except (OSError, ValueError):
        return []
    running = [each.get("metadata") for each in documents if each.get("kind") in {"DaemonSet", "Deployment", "StatefulSet"}]
    spaces = [each.get("namespace") for each in running if isinstance(each, dict)]
    return [each for each in spaces if isinstance(each, str) and each]


# ---- judging


def judge(site: Site, seen: Seen) -> list[Finding]:
    """Return the rows of everything that was seen."""
    facts = _facts(site, seen)
    joined = [host for host, each in facts.items() if isinstance(each, HostFacts) and each.joined]
    health: dict[Host, Sequence[Health]] = {host: each for host, each in seen.of("health").items() if host in joined}
    rows = [*rules.hosts(facts), *rules.api_servers(site, health)]
    if site.kubernetes.etcd == "stacked":
        rows += verify_etcd.rows(_view(site, seen))
    if isinstance(seen.cluster, str):
        rows.append(Finding("fail", topic="objects", seen=seen.cluster, fix="inv cluster.status"))
    else:
        rows += rules.nodes(
            site, seen.cluster, [host for host, each in facts.items() if isinstance(each, HostFacts) and not each.joined]
        )
        rows += rules.leaders(site, seen.cluster)
        rows += verify_pods.pods(site, seen.cluster, seen.namespaces)
        rows.append(rules.config(site, seen.cluster))
    rows += [verify_hosts.certificates(site, host, facts_of) for host in joined if isinstance(facts_of := facts[host], HostFacts)]
    rows += verify_hosts.shared(site, facts)
    rows += verify_hosts.load_balancers(_balancers(site, seen))
    # What the API server still holds to be well on a host that does not answer is old news: it believes that for 40 s.
    silent = {host.name for host, said in seen.hosts.items() if isinstance(said, RunbookError)}
    return [row for row in rows if row.severity != "ok" or row.host not in silent]


def _facts(site: Site, seen: Seen) -> dict[Host, HostFacts | RunbookError]:
    said = {host: seen.hosts[host] for host in site.nodes}
    return {host: each if isinstance(each, RunbookError) else each["facts"] for host, each in said.items()}


def _view(site: Site, seen: Seen) -> View:
    said = {host: seen.hosts[host] for host in site.control_plane}
    return View(
        {host: rules.reason(host, each) if isinstance(each, RunbookError) else each["etcd"] for host, each in said.items()}
    )


def _balancers(site: Site, seen: Seen) -> dict[Host, verify_hosts.LbSeen | RunbookError]:
    said = {host: seen.hosts[host] for host in site.load_balancers}
    return {host: each if isinstance(each, RunbookError) else (each["lb"], each["backends"]) for host, each in said.items()}


def _write(run: Run, seen: Seen) -> list[Finding]:
    """Write through the VIP from the host by which the objects were read, and return the row of it."""
    if not seen.reader:
        return []
    probe = commands.write(run.site, f"ha-runbooks-verify-{uuid4().hex[:8]}")
    return [rules.written(seen.reader, run.read_each({seen.reader: probe}, fresh=True)[seen.reader])]


# ---- showing


def _summary(found: Sequence[Finding], failing: Sequence[Finding]) -> str:
    warned = len(at_least("warn", found)) - len(failing)
    counted = f"{len(failing)} of {len(found)} checks failed" if failing else f"all {len(found)} checks passed"
    counted += f", {warned} with a warning" if warned else ""
    return "\n       ".join([counted, *first_few([told(each) for each in failing], 5)])
