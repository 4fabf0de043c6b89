"""Are the hosts fit for Kubernetes? What `inv cluster.preflight` shows, and the gate before an installation."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING

from runbooks import clock_view
from runbooks.commands import node
from runbooks.commands import preflight as commands
from runbooks.commands.preflight_facts import Facts
from runbooks.engine.by_hand import by_hand
from runbooks.engine.steps import Run, Step
from runbooks.errors import HostErrors, OutcomeError, PrecheckError, RunbookError
from runbooks.inventory.model import Host, Site
from runbooks.rules import preflight as rules
from runbooks.rules import preflight_room as room
from runbooks.rules.preflight import Clock, Finding
from runbooks.text import counted, listed, table

if TYPE_CHECKING:
    from runbooks.engine.session import Session


def examine(run: Run, hosts: Sequence[Host] | None = None) -> tuple[Finding, ...]:
    """Return what is found about ``hosts`` (every host of the cluster by default); the others are only compared with.

    Two round trips: everything at once, then the clocks, which have to be asked while nothing else takes time. Raises nothing for
    a host that does not answer: that is a finding.
    """
    return rules.judge(run.site, *_look(run), asked=hosts)


def show(session: Session, verbose: bool = False) -> None:
    """Print what is found, host by host; what is as it should be only when ``verbose``. Raises OutcomeError when anything fails."""
    facts, clocks = _look(session.run)
    unreachable = {str(host): each for host, each in facts.items() if isinstance(each, RunbookError)}
    if len(unreachable) == len(facts):
        raise HostErrors(unreachable, len(facts))
    findings = rules.judge(session.site, facts, clocks)
    if session.options.json:
        print(json.dumps(_machine(findings)))
    else:
        _people(session.site, findings, verbose=verbose)
    if failed := rules.failures(findings):
        raise OutcomeError(
            f"{counted(len(failed), 'check')} failed on {listed(dict.fromkeys(each.host for each in failed))}",
            hint="mend these, then: inv cluster.preflight",
        )


def preflight(site: Site, hosts: Sequence[Host]) -> Step:
    """Gate: nothing is installed unless those of ``hosts`` that are not in the cluster yet are fit.

    Raises PrecheckError with every failure and its cure, UnreachableError or HostErrors when a host does not answer.
    """

    def check(run: Run) -> None:
        states = run.read_all({host: node.look(host) for host in hosts})
        new = [host for host, state in states.items() if not (state.joined and room.asks_us(site, host, state.server))]
        findings = examine(run, new) if new else ()
        for found in findings:
            if found.level == "warn":
                run.note(found.host, f"{found.host}: {found.topic}: {found.seen} -> {found.cure}")
        if failed := rules.failures(findings):
            lines = "\n       ".join(rules.sentences(failed))
            raise PrecheckError(
                f"not fit for Kubernetes; nothing was changed:\n       {lines}",
                hint="mend these, then repeat this (inv cluster.preflight only looks)",
            )

    return Step(
        "preflight: the hosts are fit for Kubernetes",
        check=check,
        by_hand=by_hand("cluster", "preflight", endpoint=site.endpoint),
    )


def _look(run: Run) -> tuple[dict[Host, Facts | RunbookError], dict[Host, Clock]]:
    """Ask every host of the cluster. A plan touches nothing, so it does not try etcd's disk either."""
    site = run.site
    probes = {host: commands.look(site, host, disk=not run.plan) for host in site.nodes}
    facts = run.read_each(probes)
    return facts, clock_view.clocks(run, [host for host, each in facts.items() if not isinstance(each, RunbookError)])


def _people(site: Site, findings: Sequence[Finding], *, verbose: bool) -> None:
    print(f"{site.name}: Kubernetes {site.kubernetes.version}, etcd {site.kubernetes.etcd}\n")
    hosts = list(dict.fromkeys(each.host for each in findings))
    rows = []
    for host in hosts:
        mine = [each for each in findings if each.host == host]
        count = {level: sum(each.level == level for each in mine) for level in ("pass", "warn", "fail")}
        rows.append([host.name, str(host.address), *(str(number or "") for number in count.values())])
    print(table(["host", "address", "passed", "warnings", "failed"], rows))
    for host in hosts:
        told = [each for each in findings if each.host == host and (verbose or each.level != "pass")]
        if told:
            print(f"\n{host}")
            width = max(len(each.topic) for each in told)
            for each in told:
                print(f"  {each.level}  {each.topic.ljust(width)}  {each.seen}")
                if each.cure:
                    print(f"        {'':{width}}  -> {each.cure}")


def _machine(findings: Sequence[Finding]) -> dict[str, object]:
    return {
        "ok": not rules.failures(findings),
        "findings": [
            {"host": each.host.name, "topic": each.topic, "level": each.level, "seen": each.seen, "cure": each.cure}
            for each in findings
        ],
    }
