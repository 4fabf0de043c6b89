"""What comes before an upgrade, or before it is gone on with: hosts that answer, no kubeadm at work, and what was just started well again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from time import monotonic

from runbooks.commands import upgrade_kubeadm
from runbooks.commands.upgrade_kubeadm import Progress
from runbooks.engine.retry import until
from runbooks.engine.steps import Run
from runbooks.errors import OutcomeError, PrecheckError, RunbookError, UnreachableError
from runbooks.inventory.model import Host
from runbooks.rules import next_command
from runbooks.rules.finding import Finding, told, unread
from runbooks.rules.verify import node_of
from runbooks.text import indented, listed
from runbooks.upgrade import kubeadm, left
from runbooks.upgrade.rules import starting
from runbooks.upgrade.rules.going_on import refusals
from runbooks.view import health
from runbooks.view.health import ClusterReadings

SURE_S = 8  # a host that is busy may give a wrong answer once


def look(run: Run, version: str) -> dict[Host, Progress]:
    """Return how far an upgrade has come on each host that can be read.

    Raises PrecheckError when a host does not answer: nothing can be upgraded then, and waiting does not bring it back.
    """
    said = run.read_each(dict.fromkeys(run.site.nodes, upgrade_kubeadm.look()))
    found = {host: each for host, each in said.items() if not isinstance(each, RunbookError)}
    silent = {host: each for host, each in said.items() if isinstance(each, UnreachableError)}
    if silent:
        rows = dict.fromkeys(unread("host", host, each) for host, each in silent.items())
        fixes = dict.fromkeys(next_command.unreachable(host, each) for host, each in silent.items())
        error = PrecheckError(
            f"no upgrade to {version} now, and nothing was changed:{indented(map(told, rows))}",
            hint=f"{next(iter(fixes))}; then the same command goes on",
        )
        if begun(found):
            left.add_notes(run, error, ours(found))
        raise error
    return found


def begun(progress: Mapping[Host, Progress]) -> bool:
    """Return whether an upgrade has begun and is not verified, as the manifests that are kept on the hosts say."""
    return any(each.kept for each in progress.values())


def unfinished(progress: Mapping[Host, Progress]) -> bool:
    """Return whether this goes on with an upgrade that has begun."""
    return any(each.kept or each.attempt for each in progress.values())


def ours(progress: Mapping[Host, Progress]) -> set[Host]:
    """Return the control plane hosts that an upgrade has begun with: it has taken them out of the load balancers, if they are out."""
    return {host for host, each in progress.items() if each.kept}


def in_work(run: Run, progress: Mapping[Host, Progress]) -> set[Host]:
    """Return the hosts that an earlier run has left in the middle: they are finished, whatever the time is."""
    out = left.taken_out(run) if begun(progress) else {}
    return {host for host, each in progress.items() if each.attempt or (each.kept and host in out)}


def finish_kubeadm(run: Run, progress: Mapping[Host, Progress]) -> dict[Host, Progress]:
    """Return ``progress`` once every kubeadm of an interrupted upgrade that still runs has ended."""
    found = dict(progress)
    for host, each in progress.items():
        if each.running and not run.plan:
            run.listener.say(f"{host}: `kubeadm upgrade {each.attempt}` of an earlier run is at work; waiting for it")
            found[host] = kubeadm.follow(run, host)
    return found


def settle(run: Run, progress: Mapping[Host, Progress]) -> None:
    """After an interruption, `wait`: it leaves behind what looks broken."""
    if not run.plan and unfinished(progress):
        wait(run, progress)


def may_pass(run: Run, found: Sequence[Finding]) -> bool:
    """Return whether all of these failures may pass by themselves, since something has just been started."""
    return not run.plan and not starting.hopeless(found, _ages(run, health.look(run)))


def wait(run: Run, progress: Mapping[Host, Progress]) -> None:
    """Wait while all that is wrong may still be starting, and say what that is. What is wrong then is a reason to refuse."""
    kept = {host.name for host, each in progress.items() if each.kept}
    work = {host.name for host, each in progress.items() if each.attempt}
    said: set[str] = set()
    since = 0.0

    def over() -> bool:
        nonlocal since
        seen = health.look(run)
        # Certificates are judged by the forecast, with other limits.
        wrong = [each for each in refusals(health.wrong(run.site, seen), work, kept) if each.topic != "certificates"]
        if not wrong:
            return True
        if starting.hopeless(wrong, _ages(run, seen)):
            since = since or monotonic()
            return monotonic() - since > SURE_S
        since = 0.0
        if (words := listed(map(told, wrong))) not in said:
            said.add(words)
            run.listener.say(f"waiting for what may still be starting: {words}")
        return False

    with suppress(OutcomeError):
        until(over, within=starting.YOUNG_S, poll=2)


def _ages(run: Run, seen: ClusterReadings) -> dict[str, int]:
    said = run.read_each(dict.fromkeys(run.site.nodes, upgrade_kubeadm.look()), fresh=True)
    progress = {host.name: each for host, each in said.items() if not isinstance(each, RunbookError)}
    known = () if isinstance(seen.cluster, str) else seen.cluster.nodes
    nodes = {node.name: host.name for host in run.site.nodes if (node := node_of(known, host))}
    servers = [server for table in seen.of("backends").values() for server in table or ()]
    return starting.ages(progress, seen.cluster, nodes, servers)
