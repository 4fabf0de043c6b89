"""`inv cluster.preflight`, and the same checks as the first step of an installation."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING

from runbooks.cluster.rules import preflight as rules
from runbooks.cluster.rules import preflight_resources as resources
from runbooks.commands import node
from runbooks.commands import preflight as commands
from runbooks.commands.clock import Clock, timed
from runbooks.commands.preflight_facts import Facts
from runbooks.engine.by_hand import by_hand
from runbooks.engine.steps import Run, Step
from runbooks.errors import HostErrors, OutcomeError, PrecheckError, RunbookError
from runbooks.inventory.model import Host, Site
from runbooks.rules.finding import SCALE, Finding, at_least, for_machines, shown, told, word
from runbooks.text import counted, listed, table

if TYPE_CHECKING:
    from runbooks.engine.session import Session


def examine(run: Run, hosts: Sequence[Host] | None = None) -> tuple[Finding, ...]:
    """Return the findings about ``hosts``, all nodes by default. The other nodes are read too, since hosts are compared with each other.

    A host that does not answer is a finding, not an error.
    """
    return rules.judge(run.site, *_look(run), asked=hosts)


def show(session: Session, verbose: bool = False) -> None:
    """Print the findings by host, those that are ok only when ``verbose``.

    Raises OutcomeError when a check fails, HostErrors when no host answers.
    """
    facts, clocks = _look(session.run)
    unreachable = {str(host): each for host, each in facts.items() if isinstance(each, RunbookError)}
    if len(unreachable) == len(facts):
        raise HostErrors(unreachable, len(facts))
    findings = rules.judge(session.site, facts, clocks)
    if session.options.json:
        print(json.dumps({"ok": not at_least("fail", findings), "findings": [for_machines(each) for each in findings]}))
    else:
        _people(session.site, list(facts), findings, verbose=verbose)
    if failed := at_least("fail", findings):
        raise OutcomeError(
            f"{counted(len(failed), 'check')} failed on {listed(dict.fromkeys(each.host or each.topic for each in failed))}",
            hint="fix these, then: inv cluster.preflight",
        )


def preflight(site: Site, hosts: Sequence[Host]) -> Step:
    """Return the step that checks those of ``hosts`` that are not in the cluster yet, before anything is installed.

    Raises PrecheckError with every failure and its fix, UnreachableError or HostErrors when a host does not answer.
    """

    def check(run: Run) -> None:
        new = not_joined(run, hosts)
        findings = examine(run, new) if new else ()
        by_name = {host.name: host for host in new}
        for found in findings:
            if found.severity == "warn":
                run.note(by_name[found.host], f"{told(found)} -> {found.fix}")
        if failed := at_least("fail", findings):
            lines = "\n       ".join(rules.sentences(failed))
            raise PrecheckError(
                f"not fit for Kubernetes; nothing was changed:\n       {lines}",
                hint="fix these, then run the same command again (inv cluster.preflight only checks)",
            )

    return Step(
        "preflight: the hosts are fit for Kubernetes",
        check=check,
        by_hand=by_hand("cluster", "preflight", endpoint=site.endpoint),
    )


def not_joined(run: Run, hosts: Sequence[Host]) -> list[Host]:
    """Return those of ``hosts`` that are not nodes of this cluster. Raises UnreachableError or HostErrors when a host does not answer."""
    states = run.read_all({host: node.look(host) for host in hosts})
    return [
        host for host, state in states.items() if not (state.joined and resources.uses_this_cluster(run.site, host, state.server))
    ]


def _look(run: Run) -> tuple[dict[Host, Facts | RunbookError], dict[Host, Clock]]:
    """Read every node, with its clock. With --plan the test of etcd's disk is left out, since it writes."""
    site = run.site
    said = run.read_each({host: timed(commands.look(site, host, disk=not run.plan)) for host in site.nodes})
    facts = {host: each if isinstance(each, RunbookError) else each[0] for host, each in said.items()}
    return facts, {host: each[1] for host, each in said.items() if not isinstance(each, RunbookError)}


def _people(site: Site, hosts: Sequence[Host], findings: Sequence[Finding], *, verbose: bool) -> None:
    print(f"{site.name}: Kubernetes {site.kubernetes.version}, etcd {site.kubernetes.etcd}\n")
    severities = [each for each in SCALE if each != "note"]
    rows = []
    for host in hosts:
        mine = [each.severity for each in findings if each.host == host.name]
        rows.append([host.name, str(host.address), *(str(mine.count(each) or "") for each in severities)])
    print(table(["host", "address", *map(word, severities)], rows))
    if some := at_least("ok" if verbose else "note", findings):
        print("\n" + shown(some))
