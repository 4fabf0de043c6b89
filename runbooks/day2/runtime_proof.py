"""Whether a node works with its new runtime settings, and the way back to the old ones when it does not.

What another host does wrong meanwhile (an API server that does not answer) proves nothing about the runtime: then nothing goes back.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from runbooks.cluster import runtime
from runbooks.commands import files, prepare, reconfigure, runtime_dump
from runbooks.commands import runtime_files as commands
from runbooks.commands.containerd import Config
from runbooks.commands.files import File
from runbooks.commands.prepare import CONTAINERD_CONFIG
from runbooks.commands.reconfigure import Note
from runbooks.day2.rules import runtime as rules
from runbooks.engine.retry import cause, until
from runbooks.engine.steps import Run, Unmet
from runbooks.errors import CommandError, OutcomeError, RunbookError, reason
from runbooks.inventory.model import Host
from runbooks.lb import traffic
from runbooks.text import first_few
from runbooks.upgrade import containerd_proof, node
from runbooks.upgrade.containerd_state import Runtimes
from runbooks.upgrade.context import Upgrade
from runbooks.upgrade.procedure import made

WITHIN_S: Final = containerd_proof.READY_WITHIN_S
PROXY_WITHIN_S: Final = 30  # a kubelet that was restarted needs a moment until it has a process


def prove(one: Upgrade, run: Run, host: Host, wanted: Sequence[File]) -> None:
    """Raise OutcomeError unless containerd has taken the files ``wanted`` over, answers, and its node is Ready and starts a Pod.

    Raises NotServing when no API server answers: that says nothing about containerd.
    """
    if run.plan:
        return
    texts = _read_by_containerd(wanted)

    def taken() -> bool | Unmet:
        run.look_anew()
        try:
            dump = run.read(host, runtime_dump.look())
        except CommandError as error:  # a busy host may not say it at once
            return Unmet(f"what containerd runs with cannot be read: {reason(host, error)}")
        if lost := rules.not_taken(texts, dump):
            said = "; ".join(first_few(lost, 6))
            raise OutcomeError(f"containerd does not take these settings, by `containerd config dump`: {said}")
        return True

    until(taken, within=containerd_proof.LOOK_WITHIN_S, poll=run.poll)

    def proxied() -> bool | Unmet:
        run.look_anew()
        return Unmet.of(runtime.other_proxy(run, one.site, host))

    until(proxied, within=PROXY_WITHIN_S, poll=run.poll)
    containerd_proof.prove(Runtimes(one, {}), run, host, Config())


def _read_by_containerd(wanted: Sequence[File]) -> list[str]:
    """Return the texts of containerd's file and of the parts that it imports."""
    config = next(file.content for file in wanted if file.path == CONTAINERD_CONFIG)
    imported = [file.content for file in wanted if f'"{file.path.rpartition("/")[0]}/*.toml"' in config]
    return [config, *imported]


def go_back(one: Upgrade, run: Run, host: Host, there: Note, why: RunbookError, *, alone: bool) -> None:
    """Put the files of the note back, prove them, let the host in again, and raise OutcomeError: why, and how that went.

    ``alone``: no other node has got the new settings.
    """
    run.note(host, f"it does not run with the new settings; the old files are put back: {cause(why)}")
    failed = f"{host}: its runtime does not work with these settings: {why}"
    try:
        put_back(run, host, there)
        containerd_proof.prove(Runtimes(one, {}), run, host, Config())
    except (CommandError, OutcomeError) as error:
        raise OutcomeError(
            f"{failed}\nThe old files do not bring it back either: {error}\nThe node is drained, and stays so. No host after it was touched.",
            hint=f"on {host}: journalctl -u containerd -u kubelet; then inv cluster.reconfigure --only containerd again",
        ) from None
    others = "No other host was touched." if alone else "No host after it was touched; those before it have the new settings."
    raise OutcomeError(
        f"{failed}\nIts old files are back, and containerd runs as before; {_in_service(one, run, host)}.\n{others}",
        hint="correct kubernetes.containerd (or baseline.proxy) in hosts.yaml, then inv cluster.reconfigure --only containerd again",
    )


def put_back(run: Run, host: Host, there: Note) -> None:
    """Write the files as the note has them, take those away that were not there, and restart what reads them."""
    old = []
    for path, content in there.before.items():
        if content or path in there.modes:  # an empty file was there, too
            mode, _, owner = there.modes.get(path, "0600 root:root").partition(" ")
            old.append(File(path, content, mode=mode, owner=owner))
    if old:
        run.change(host, files.place(old))
    if gone := [path for path, content in there.before.items() if not content and path not in there.modes]:
        run.change(host, commands.remove(gone))
    run.change(host, prepare.run_runtime())
    if runtime.KUBELET_PROXY in there.before:
        run.change(host, reconfigure.restart_kubelet())


def _in_service(one: Upgrade, run: Run, host: Host) -> str:
    """Let the load balancers and the scheduler use a host again on which nothing new is left. Returns how that went, in words."""
    steps = [*([traffic.let_in(host)] if host.is_control_plane else []), node.uncordon(one, host)]
    try:
        for step in steps:
            if step.done and not step.done(run):
                made(run, step)
        run.change(host, reconfigure.forget("containerd"))
        known = one.node_object(run, host)
    except RunbookError as error:
        return f"it is not back in service: {error}"
    return "its node is cordoned, as it was found" if known and known.cordoned else "it takes Pods again"
