"""The container runtime of living nodes: containerd's configuration, its registries and runtimes, the proxy of containerd and the kubelet.

https://github.com/containerd/containerd/blob/main/docs/cri/config.md
https://kubernetes.io/docs/tasks/administer-cluster/safely-drain-node/

Containers outlive a restart of containerd; each node is drained for it all the same, because nobody knows whether the new settings let it start one.
The first node, a worker, proves them. When it does not run with them, its old files are put back, and no other node is touched.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from runbooks.cluster import runtime
from runbooks.cluster.runtime import Left
from runbooks.cluster.runtime_files import config_for, runtime_files
from runbooks.commands import containerd, node, prepare, reconfigure
from runbooks.commands import runtime_files as commands
from runbooks.commands.base import Secret
from runbooks.commands.files import File
from runbooks.commands.prepare import CONTAINERD_CONFIG
from runbooks.commands.reconfigure import Note
from runbooks.day2 import runtime_proof
from runbooks.day2.notes import end
from runbooks.day2.reboot_steps import gated
from runbooks.engine.by_hand import by_hand
from runbooks.engine.retry import transient
from runbooks.engine.steps import Run, Step, Unmet
from runbooks.errors import CommandError, NotServing, OutcomeError, PrecheckError, RunbookError, reason
from runbooks.inventory.model import Host, Site
from runbooks.lb import traffic
from runbooks.rules import runtime_settings
from runbooks.text import first_few, listed
from runbooks.upgrade import control_plane, nodes
from runbooks.upgrade import node as node_steps
from runbooks.upgrade.context import Upgrade


@dataclass(frozen=True, slots=True)
class Runtimes:
    """The change of one run. ``passwords``: of registries; ``canary``: the node that proves the settings before any other has them, or None."""

    one: Upgrade
    passwords: Mapping[str, Secret]
    canary: Host | None = None

    @property
    def site(self) -> Site:
        """The site."""
        return self.one.site


def note(run: Run, host: Host) -> Note | None:
    """Return the note on ``host``."""
    return run.read(host, reconfigure.read("containerd"))


def wanted(all_: Runtimes, run: Run, host: Host) -> tuple[File, ...]:
    """Return the files that ``host`` is to have. Raises PrecheckError when containerd there does not say what it runs with."""
    there, seen = note(run, host), run.read(host, prepare.runtime()).config
    pause = there.keys[0] if there and there.keys and not there.proved else seen.sandbox
    if not pause:
        raise PrecheckError(
            f"{host}: containerd does not say which pause image it uses{f': {seen.invalid}' if seen.invalid else ''}",
            hint=f"on {host}: containerd config dump",
        )
    major = containerd.major(run.read(host, node.look(host)).packages) or 1
    present = run.read(host, commands.look([CONTAINERD_CONFIG])).get(CONTAINERD_CONFIG)
    config = config_for(all_.site, present, pause, major, seen.cni, all_.passwords)
    others = runtime_files(all_.site, pause, major, all_.passwords)
    return (config, *(file for file in others if file.path != CONTAINERD_CONFIG))


def left(all_: Runtimes, run: Run, host: Host) -> Left:
    """Return what is left to do on ``host``."""
    return runtime.differing(run, host, wanted(all_, run, host))


def restarts(all_: Runtimes, run: Run, host: Host) -> list[str]:
    """Return the files for which containerd or the kubelet of ``host`` is restarted."""
    return left(all_, run, host).loud


def arrived(all_: Runtimes, run: Run, host: Host) -> bool | Unmet:
    """Return whether ``host`` runs with what hosts.yaml says; what nothing is restarted for does not count."""
    there = note(run, host)
    if there and not there.proved:
        return Unmet("its containerd has not proved that it runs with the new settings")
    paths = restarts(all_, run, host)
    return Unmet.of(f"other than hosts.yaml says: {listed(paths)}" if paths else runtime.other_proxy(run, all_.site, host))


def by_hand_lines(all_: Runtimes, run: Run, host: Host) -> list[str]:
    """Return the settings of containerd's file on ``host`` that somebody has written by hand, and that would vanish."""
    found = left(all_, run, host)
    config = next((file for file in found.place if file.path == CONTAINERD_CONFIG), None)
    there = note(run, host)
    if config is None or (there and not there.proved):
        return []
    present = found.there.get(CONTAINERD_CONFIG)
    return runtime_settings.by_hand(present.content, config.content) if present else []


def steps(all_: Runtimes, host: Host) -> list[Step]:
    """Return the steps of one node for which something is restarted. Its note goes last."""

    def spared(run: Run) -> bool:
        return bool(arrived(all_, run, host))

    out, back = [], []
    if host.is_control_plane:
        alone = len(all_.site.control_plane) == 1
        out = [] if alone else nodes.out_of_traffic(all_.one, host, spared)
        back = [control_plane.serves(all_.one, host), *([] if alone else [traffic.let_in(host)])]
    uncordon, last = node_steps.uncordon(all_.one, host), end(host, "containerd", "take containerd's note away")
    ahead = [begin(all_, host), *_named([drain(all_, host), *out])]
    return [*ahead, write(all_, host), *_named(back), gated(all_.one, host), *_named([uncordon]), last]


def _named(steps_: Sequence[Step]) -> list[Step]:
    """Return steps that other topics of the same run have as well, with names of their own."""
    return [replace(each, name=f"{each.name} (containerd)") for each in steps_]


def begin(all_: Runtimes, host: Host) -> Step:
    """Keep the files of ``host`` as they are, before they are changed."""

    def noted(run: Run) -> Note:
        """Return the note as it is to be: a proved one is over, an unproved one keeps what was there before the work began."""
        there, found = note(run, host), left(all_, run, host)
        now = {path: found.there.get(path) for path in found.paths}
        before = {path: each.content if each else "" for path, each in now.items()}
        modes = {path: f"{each.mode} {each.owner}" for path, each in now.items() if each}
        if there and not there.proved:
            return Note({**before, **there.before}, there.keys, modes={**modes, **there.modes})
        return Note(before, (run.read(host, prepare.runtime()).config.sandbox,), modes=modes)

    def done(run: Run) -> bool | Unmet:
        there = note(run, host)
        return True if there and not there.proved and there == noted(run) else arrived(all_, run, host)

    def do(run: Run) -> None:
        run.change(host, reconfigure.write(noted(run), "containerd"))

    text = by_hand("day2", "keep_runtime", host=host)
    return Step("keep its runtime's files as they are", host, done=done, do=do, by_hand=text)


def drain(all_: Runtimes, host: Host) -> Step:
    """Drain ``host``. When that fails, and nothing of it was changed, its note goes: it is no host that is being worked on."""
    step = node_steps.drain(all_.one, host, lambda run: bool(arrived(all_, run, host)), newer=False)

    def do(run: Run) -> object:
        try:
            return step.do(run) if step.do else None
        except RunbookError as error:
            _release(all_, run, host, error)
            raise

    return replace(step, do=do)


def _release(all_: Runtimes, run: Run, host: Host, error: RunbookError) -> None:
    """Take the note away from a host that is as it was: its files are those of the note, and its node has no cordon of ours."""
    if run.plan or transient(error):
        return
    try:
        run.look_anew()
        there, known = note(run, host), all_.one.node_object(run, host)
        found = run.read(host, commands.look(there.before)) if there else {}
        same = there and all((found[path].content if path in found else "") == text for path, text in there.before.items())
        if same and known and not known.marked:
            run.change(host, reconfigure.forget("containerd"))
    except RunbookError as other:
        error.add_note(f"the note on {host} that it is being worked on is still there: {reason(host, other)}")


def write(all_: Runtimes, host: Host) -> Step:
    """Put the files in place, restart what reads them, and prove that the node runs with them; else put the old ones back."""

    def check(run: Run) -> None:
        if host.is_control_plane and len(all_.site.control_plane) > 1 and not arrived(all_, run, host):
            nodes.may_be_away(all_.one, run, host)

    def do(run: Run) -> None:
        there, files_ = note(run, host), wanted(all_, run, host)
        try:
            done = runtime.place(run, host, files_)
            run.change(host, prepare.run_runtime())
            if runtime.KUBELET_PROXY in {*done.paths, *(there.before if there else ())}:
                run.change(host, reconfigure.restart_kubelet())
            runtime_proof.prove(all_.one, run, host, files_)
        except NotServing as error:
            error.add_note(f"The node is drained, and stays so. The same command goes on with {host}.")
            raise
        except (CommandError, OutcomeError) as error:
            if transient(error) or not there:  # it is tried again
                raise
            runtime_proof.go_back(all_.one, run, host, there, error, alone=host == all_.canary)
        if there:
            run.change(host, reconfigure.write(replace(there, proved=True), "containerd"))

    name = "write its runtime's files, restart it, prove it"
    text = by_hand("day2", "write_runtime", host=host)
    return Step(
        name, host, check=check, done=lambda run: arrived(all_, run, host), do=do, within=runtime_proof.WITHIN_S, by_hand=text
    )


def registries(all_: Runtimes, host: Host) -> Step:
    """Write what containerd reads at every pull, what it does not read, and modes: nothing is restarted for it, and nothing drained."""

    def done(run: Run) -> bool | Unmet:
        paths = left(all_, run, host).only_quiet().paths
        return Unmet.of(f"other than hosts.yaml says: {listed(first_few(paths, 4))}" if paths else "")

    def do(run: Run) -> None:
        runtime.place_quiet(run, host, wanted(all_, run, host))

    text = by_hand("day2", "write_registries", host=host)
    return Step("write what containerd is not restarted for", host, done=done, do=do, by_hand=text)
