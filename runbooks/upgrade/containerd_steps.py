"""The steps of `inv upgrade.containerd` on one node: try, install, restart, prove, and go back to the old packages when that fails."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from runbooks.cluster.files import node_files
from runbooks.commands import containerd, files, prepare
from runbooks.commands import service_packages as commands
from runbooks.commands.containerd import Config
from runbooks.commands.files import File, Found
from runbooks.commands.prepare import CONTAINERD_CONFIG, Runtime
from runbooks.engine.by_hand import by_hand
from runbooks.engine.packages import install
from runbooks.engine.steps import Run, Step, Unmet
from runbooks.errors import CommandError, OutcomeError, PrecheckError, RunbookError
from runbooks.inventory.model import Host, Site
from runbooks.lb import traffic
from runbooks.rules import cluster as cluster_rules
from runbooks.text import listed
from runbooks.upgrade import node
from runbooks.upgrade.context import Upgrade
from runbooks.upgrade.rules import services as rules

KIND: Final = "runtime"
NAMES: Final = ("containerd", "containerd.io", "runc")  # containerd.io, of another repository, brings its own runc
UNITS: Final = ("containerd",)
READY_WITHIN_S = 120


@dataclass(frozen=True, slots=True)
class Runtimes:
    """The nodes to work on, the versions that their packages are to have, and what a drain and a gate need to know of each."""

    site: Site
    versions: Mapping[Host, Mapping[str, str]]
    upgrades: Mapping[Host, Upgrade] = field(repr=False)

    def told(self, host: Host) -> str:
        """Return the versions of ``host`` in words."""
        return listed(f"{name} {version}" for name, version in self.versions[host].items())

    def arrived(self, run: Run, host: Host) -> bool | Unmet:
        """Return whether ``host`` has its versions, and its containerd runs them with its configuration and answers."""
        seen = run.read(host, commands.look(KIND, NAMES, UNITS))
        runtime = run.read(host, prepare.runtime())
        reason = rules.not_current(seen, self.versions[host], UNITS) or _not_ready(runtime)
        if reason:
            return Unmet(reason)
        major = containerd.major(seen.packages) or 1
        there = run.read(host, files.found([CONTAINERD_CONFIG]))
        other = wanted_file(self.site, host, there, runtime.config.sandbox, major)
        return Unmet("its configuration is in the format of another version") if other else True


def wanted_file(site: Site, host: Host, there: Mapping[str, Found], pause: str, major: int) -> File | None:
    """Return containerd's file as it is to be for containerd ``major``, None when it stays as it is.

    Only a file that cluster.prepare wrote, in the format of another version, is written anew: an operator's own stays.
    """
    mine = {number: _file(site, host, pause, number) for number in (1, 2)}
    present = there.get(CONTAINERD_CONFIG)
    wanted = mine[min(major, 2)]
    ours = present and any(present.content == each.content for each in mine.values())
    return wanted if present and ours and present.content != wanted.content else None


def _file(site: Site, host: Host, pause: str, major: int) -> File:
    return next(file for file in node_files(site, host, pause, major) if file.path == CONTAINERD_CONFIG)


def _not_ready(runtime: Runtime) -> str:
    """Say why containerd is not ready, with the pause image that its own configuration names."""
    if runtime.config.ignored:
        return f"containerd ignores the pause image of its file, {runtime.config.ignored}"
    return cluster_rules.runtime_not_ready(runtime, runtime.config.sandbox)


def try_new(all_: Runtimes, host: Host) -> Step:
    """Have the new containerd read the configuration of ``host``, before anything is drained."""
    versions = all_.versions[host]

    def done(run: Run) -> bool:
        seen = run.read(host, commands.look(KIND, NAMES, UNITS))
        return seen.tried == versions or all(seen.packages.get(name) == version for name, version in versions.items())

    def do(run: Run) -> None:
        before = run.read(host, prepare.runtime()).config
        file = wanted_file(
            all_.site,
            host,
            run.read(host, files.found([CONTAINERD_CONFIG])),
            before.sandbox,
            containerd.major(versions) or 1,
        )
        try:
            answer = run.change(host, commands.try_runtime(KIND, versions, CONTAINERD_CONFIG, file))
        except CommandError as error:
            if error.exited in {commands.REFUSED, commands.CANNOT_RUN}:
                raise _refused(host, "\n".join(str(error).splitlines()[1:])) from None
            raise
        if answer and (reason := rules.other_config(before, commands.parse_tried(answer))):
            raise _refused(host, f"with the new version, {reason}")
        for each in commands.unkept(answer):
            run.note(host, f"no repository offers {each} any more: if the new one does not work there, it cannot be put back")
        run.change(host, commands.accept(KIND))

    text = by_hand("upgrade", "runtime_try", versions=versions, config=CONTAINERD_CONFIG)
    return Step("fetch the packages; the new containerd reads its configuration", host, done=done, do=do, by_hand=text)


def _refused(host: Host, said: str) -> PrecheckError:
    return PrecheckError(
        f"{host}: the new version does not go there; nothing was changed, and the old version runs\n{said}",
        hint=f"on {host}: correct {CONTAINERD_CONFIG}, or upgrade what is missing; or name another version: --to-containerd, --to-runc",
    )


def take_out(all_: Runtimes, host: Host) -> Step:
    """Take a control plane host out of the load balancers, unless its runtime has arrived."""
    step = traffic.take_out(host)

    def done(run: Run) -> bool | Unmet:
        return True if all_.arrived(run, host) or not step.done else step.done(run)

    return replace(step, done=done)


def upgrade(all_: Runtimes, host: Host) -> Step:
    """Install the packages, restart containerd, and prove that it answers with its configuration in force and that the node is Ready.

    Otherwise the old packages and the old file are put back. Containers that run (static pods, DaemonSets) keep running.
    """
    one = all_.upgrades[host]

    def done(run: Run) -> bool | Unmet:
        arrived = all_.arrived(run, host)
        if not arrived:
            return arrived
        known = one.node_object(run, host)
        return True if known and known.ready else Unmet(f"its node is not Ready: {known.reason if known else 'there is none'}")

    def do(run: Run) -> None:
        there = run.read(host, files.found([CONTAINERD_CONFIG]))
        before = run.read(host, prepare.runtime()).config
        installed = containerd.major(run.read(host, commands.look(KIND, NAMES, UNITS)).packages) or 1
        new = containerd.major(all_.versions[host]) or installed
        file = wanted_file(all_.site, host, there, before.sandbox, new)
        # containerd 2 takes the older format over, but not the other way round.
        if file and new < installed:
            _place(run, host, file, there)
        install(run, host, commands.put(KIND, all_.versions[host], ()))
        try:
            if file and new >= installed:
                _place(run, host, file, there)
            run.change(host, prepare.run_runtime())
            _prove(run, host, before)
        except (CommandError, OutcomeError) as error:
            _go_back(all_, run, host, there if file else {}, error)

    text = by_hand("upgrade", "runtime_install", host=host, versions=all_.versions[host], config=CONTAINERD_CONFIG)
    return Step(
        f"install {all_.told(host)}, restart containerd, prove", host, done=done, do=do, within=READY_WITHIN_S, by_hand=text
    )


def _place(run: Run, host: Host, file: File, there: Mapping[str, Found]) -> None:
    run.place(host, [file], there, files.place([file]))


def _prove(run: Run, host: Host, before: Config) -> None:
    """Raise OutcomeError when containerd does not run with its configuration, or with another pause image or cgroup driver than before."""
    if run.plan:
        return
    runtime = run.read(host, prepare.runtime())
    if reason := _not_ready(runtime) or rules.other_config(before, runtime.config):
        raise OutcomeError(reason)


def _go_back(all_: Runtimes, run: Run, host: Host, there: Mapping[str, Found], why: Exception) -> None:
    """Put the old packages back, and containerd's file where it was changed (``there``). Raises OutcomeError: why, and how that went."""
    failed = f"{host}: {all_.told(host)} does not work there: {why}"
    run.note(host, f"the new packages do not work; the old ones are put back: {str(why).splitlines()[0]}")
    try:
        run.change(host, commands.put_back(KIND, all_.versions[host], ()))
        for path, found in there.items():
            _place(run, host, File(path, found.content, mode=found.mode, owner=found.owner), {})
        run.change(host, prepare.run_runtime())
    except CommandError as error:
        raise OutcomeError(
            f"{failed}\nThe old packages could not be put back: {error}\nThe node is drained, and stays so.",
            hint=f"on {host}: journalctl -u containerd; then inv upgrade.containerd again",
        ) from None
    now = run.read(host, commands.look(KIND, NAMES, UNITS)).packages
    old = listed(f"{name} {now.get(name, '?')}" for name in all_.versions[host])
    raise OutcomeError(
        f"{failed}\nThe old packages are back ({old}), and containerd runs as before; {_back_in_service(all_, run, host)}.",
        hint="name another version: --to-containerd, --to-runc; or correct what it says, then inv upgrade.containerd again",
    )


def _back_in_service(all_: Runtimes, run: Run, host: Host) -> str:
    """Let the load balancers and the scheduler use a host again whose old packages are back. Returns how that went."""
    steps = [*([traffic.let_in(host)] if host.is_control_plane else []), node.uncordon(all_.upgrades[host], host)]
    try:
        for step in steps:
            if step.do and step.done and not step.done(run):
                step.do(run)
    except RunbookError as error:
        return f"it is not back in service: {error}"
    return "it takes Pods again"
