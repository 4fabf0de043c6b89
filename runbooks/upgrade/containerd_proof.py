"""Whether a node works with its container runtime, and the way back to the old packages when it does not.

What another host does wrong meanwhile (an API server that does not answer) proves nothing about the runtime: then nothing goes back.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Final

from runbooks.commands import files, prepare, runtime_upgrade
from runbooks.commands import service_packages as commands
from runbooks.commands.containerd import Config
from runbooks.commands.files import File
from runbooks.commands.runtime_upgrade import KIND, Note
from runbooks.engine.by_hand import by_hand
from runbooks.engine.retry import cause, transient, until
from runbooks.engine.steps import Run, Step, Unmet
from runbooks.errors import CommandError, NotServing, OutcomeError, RunbookError, reason
from runbooks.inventory.model import Host
from runbooks.lb import traffic
from runbooks.rules.runtime_taken_over import Setting
from runbooks.text import listed
from runbooks.upgrade import containerd_kept, node, pod_proof
from runbooks.upgrade.containerd_state import UNITS, Runtimes, is_ready, note, replaced, runtime, services_of
from runbooks.upgrade.procedure import made
from runbooks.upgrade.rules import runtimes as rules
from runbooks.upgrade.rules import services

LOOK_WITHIN_S: Final = 20  # a busy host may not say at once what its configuration is
READY_WITHIN_S, POD_WITHIN_S = 120, 60
AGAIN: Final = "name another version: --to-containerd, --to-runc; or correct what it says, then inv upgrade.containerd again"


def prove(all_: Runtimes, run: Run, host: Host, before: Config, settings: Sequence[Setting] = ()) -> None:
    """Raise OutcomeError unless containerd answers with its configuration as ``before``, and its node is Ready and starts a Pod.

    ``settings``: what somebody had set for containerd before; has to be in force.

    That the node is Ready is no proof alone: the cluster notices a kubelet without a runtime only after a while. Raises NotServing
    when no API server answers: that says nothing about containerd.
    """
    if run.plan:
        return

    def same() -> str:
        try:
            return (
                all_.not_ready(run, host)
                or rules.other_config(before, runtime(run, host).config)
                or containerd_kept.missing(run, host, settings)
            )
        except CommandError as error:
            return f"what containerd runs with cannot be read: {reason(host, error)}"

    if said := _last(run, same, LOOK_WITHIN_S):
        raise OutcomeError(said)
    silent = False

    def ready() -> str:
        nonlocal silent
        try:
            met = is_ready(all_.one, run, host)
        except RunbookError as error:
            silent = True
            return str(error)
        silent = False
        return met.seen if isinstance(met, Unmet) else ""

    if said := _last(run, ready, READY_WITHIN_S):
        raise _not_asked(host, said) if silent else OutcomeError(said)
    pod_proof.starts_a_pod(all_.one, run, host, runtime(run, host).config.sandbox, POD_WITHIN_S)


def _last(run: Run, wrong: Callable[[], str], within: float) -> str:
    """Ask until nothing is ``wrong``, for up to ``within`` seconds; return what was wrong last, "" for nothing."""
    said = ""

    def met() -> bool:
        nonlocal said
        run.look_anew()
        said = wrong()
        return not said

    try:
        until(met, within=within, poll=run.poll)
    except OutcomeError:
        return said
    return ""


def _not_asked(host: Host, why: str) -> NotServing:
    return NotServing(
        f"{host}: whether its node is Ready is not known: {why}", hint="inv cluster.status; then the same command goes on"
    )


def go_back(all_: Runtimes, run: Run, host: Host, there: Note, why: Exception | None = None) -> None:
    """Put back the packages that the note on ``host`` has, and containerd's file in their format; prove them, and let the host in again.

    ``why``: what went wrong; without it the note has it. Raises OutcomeError: why, and how that went. NotServing or a lost connection leave
    the host as it is, with its note.
    """
    if why:
        there = replace(there, proved=False, failed=str(why))
        run.note(host, f"the new packages do not work; the old ones are put back: {cause(why)}")
        run.change(host, runtime_upgrade.write(there))
    failed = f"{host}: {all_.told(host)} does not work there: {there.failed}"
    hint = why.hint if isinstance(why, CommandError) and why.hint else AGAIN
    changed = bool(replaced(run, host, there.old))
    try:
        run.change(host, commands.put_back(KIND, all_.versions[host], (), there.old))
        if file := all_.file_for(run, host, services_of(run, host).packages):
            place(run, host, file)
        run.change(host, prepare.run_runtime())
        prove(all_, run, host, there.before, there.settings)
    except (CommandError, OutcomeError) as error:
        raise OutcomeError(
            f"{failed}\nThe old packages do not bring it back either: {error}\n{stays_out(all_, host)}",
            hint=f"on {host}: journalctl -u containerd -u kubelet; then inv upgrade.containerd again",
        ) from None
    now = services_of(run, host).packages
    old = listed(f"{name} {now.get(name, '?')}" for name in all_.versions[host])
    how = f"The old packages are back ({old})" if changed else f"No package was replaced ({old})"
    raise OutcomeError(f"{failed}\n{how}, and containerd runs as before; {_in_service(all_, run, host)}.", hint=hint)


def place(run: Run, host: Host, file: File) -> None:
    """Write containerd's file."""
    run.place(host, [file], run.read(host, files.found([file.path])), files.place([file]))


def stays_out(all_: Runtimes, host: Host) -> str:
    """Say where a host is that this command leaves as it is."""
    out = ", and out of the load balancers" if host.is_control_plane and len(all_.site.control_plane) > 1 else ""
    return f"The node is drained{out}, and stays so."


def _in_service(all_: Runtimes, run: Run, host: Host) -> str:
    """Let the load balancers and the scheduler use a host again on which nothing new is left. Returns how that went, in words."""
    steps = [*([traffic.let_in(host)] if host.is_control_plane else []), node.uncordon(all_.one, host), end(host)]
    try:
        for step in steps:
            if step.done and not step.done(run):
                made(run, step)
        known = all_.one.node_object(run, host)
    except RunbookError as error:
        return f"it is not back in service: {error}"
    return "its node is cordoned, as it was found" if known and known.cordoned else "it takes Pods again"


def end(host: Host) -> Step:
    """Take the note away, and what was kept for it."""
    return Step(
        "take that note away",
        host,
        done=lambda run: note(run, host) is None,
        do=lambda run: run.change(host, runtime_upgrade.forget()),
        by_hand=by_hand("upgrade", "runtime_end"),
    )


def release(all_: Runtimes, run: Run, host: Host, error: RunbookError) -> None:
    """After a drain that failed, take the note away from a host that is in service as before: nothing is left to finish there.

    Not from one whose packages were replaced or are proved, whose containerd does not run, that has our cordon, or that the load balancers
    do not use. What cannot be read counts as that.
    """
    if run.plan or transient(error):  # it is tried again
        return
    try:
        run.look_anew()
        there, known = note(run, host), all_.one.node_object(run, host)
        kept = there and (there.proved or services.not_current(services_of(run, host), there.old, UNITS))
        used = not host.is_control_plane or traffic.in_use(run, host) or bool(traffic.not_ours(run))
        if there and known and used and not (kept or known.marked):
            run.change(host, runtime_upgrade.forget())
    except RunbookError as other:
        error.add_note(f"the note on {host} that it is being worked on is still there: {reason(host, other)}")
