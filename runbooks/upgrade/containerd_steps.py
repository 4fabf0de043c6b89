"""The steps of `inv upgrade.containerd` on one node: try, install, restart, prove, and go back to the old packages when that fails."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from runbooks.cluster.files import node_files
from runbooks.commands import containerd, files, packages, prepare
from runbooks.commands import service_packages as commands
from runbooks.commands.containerd import Config
from runbooks.commands.files import File, Found
from runbooks.commands.prepare import CONTAINERD_CONFIG, Runtime
from runbooks.commands.service_packages import Services
from runbooks.engine.by_hand import by_hand
from runbooks.engine.packages import install
from runbooks.engine.retry import cause, until
from runbooks.engine.steps import Run, Step, Unmet
from runbooks.errors import CommandError, NotServing, OutcomeError, PrecheckError, RunbookError
from runbooks.inventory.model import Host, Site
from runbooks.lb import traffic
from runbooks.rules import cluster as cluster_rules
from runbooks.text import listed
from runbooks.upgrade import control_plane, gate, node
from runbooks.upgrade.context import Upgrade
from runbooks.upgrade.procedure import made
from runbooks.upgrade.rules import runtimes as rules
from runbooks.upgrade.rules import services

KIND: Final = "runtime"
NAMES: Final = ("containerd", "containerd.io", "runc")  # containerd.io, of another repository, brings its own runc
UNITS: Final = ("containerd",)
READY_WITHIN_S, POD_WITHIN_S = 120, 60


@dataclass(frozen=True, slots=True)
class Runtimes:
    """The versions that the packages of each node are to have. ``one``: what a drain and a gate need to know; nothing of it is upgraded."""

    one: Upgrade
    versions: Mapping[Host, Mapping[str, str]]

    @property
    def site(self) -> Site:
        """The site."""
        return self.one.site

    def told(self, host: Host) -> str:
        """Return the versions of ``host`` in words."""
        return listed(f"{name} {version}" for name, version in self.versions[host].items())

    def current(self, run: Run, host: Host) -> bool | Unmet:
        """Return whether ``host`` has its versions, and its containerd runs them with its configuration and answers."""
        return Unmet.of(services.not_current(services_of(run, host), self.versions[host], UNITS) or not_ready(runtime(run, host)))

    def arrived(self, run: Run, host: Host) -> bool | Unmet:
        """Return whether nothing is left to do on ``host``: as `current`, our file has that version's format, and its node is Ready."""
        current = self.current(run, host)
        if not current:
            return current
        if self.file_for(run, host, self.versions[host], runtime(run, host).config.sandbox):
            return Unmet("its configuration has the format of another version")
        return is_ready(self.one, run, host)

    def file_for(self, run: Run, host: Host, versions: Mapping[str, str], pause: str) -> File | None:
        """Return containerd's file as it is to be with the packages ``versions``, None when it stays as it is."""
        there = run.read(host, files.found([CONTAINERD_CONFIG]))
        return wanted_file(self.site, host, there, pause, containerd.major(versions) or 1)


def services_of(run: Run, host: Host) -> Services:
    """Return the packages of ``host``, and which of them runs."""
    return run.read(host, commands.look(KIND, NAMES, UNITS))


def runtime(run: Run, host: Host) -> Runtime:
    """Return the state of containerd on ``host``."""
    return run.read(host, prepare.runtime())


def is_ready(one: Upgrade, run: Run, host: Host) -> bool | Unmet:
    """Return whether the node of ``host`` is Ready. Raises NotServing when no API server says so."""
    known = one.node_object(run, host)
    return True if known and known.ready else Unmet(f"its node is not Ready: {known.reason if known else 'there is none'}")


def not_ready(state: Runtime) -> str:
    """Say why containerd is not ready, with the pause image that its own configuration names."""
    if state.config.ignored:
        return f"containerd ignores the pause image of its file, {state.config.ignored}"
    return cluster_rules.runtime_not_ready(state, state.config.sandbox)


def wanted_file(site: Site, host: Host, there: Mapping[str, Found], pause: str, major: int) -> File | None:
    """Return containerd's file as it is to be for containerd ``major``, None when it stays as it is.

    Only a file that cluster.prepare wrote, in the format of another version, is written anew: an operator's own stays.
    """
    mine = {
        number: next(file for file in node_files(site, host, pause, number) if file.path == CONTAINERD_CONFIG)
        for number in (1, 2)
    }
    present = there.get(CONTAINERD_CONFIG)
    wanted = mine[min(major, 2)]
    ours = present and any(present.content == each.content for each in mine.values())
    return wanted if present and ours and present.content != wanted.content else None


# ---- before anything is drained


def try_new(all_: Runtimes, host: Host) -> Step:
    """Have the new containerd read the configuration of ``host``, before anything is drained."""
    versions = all_.versions[host]

    def done(run: Run) -> bool:
        seen = services_of(run, host)
        return seen.tried == versions or all(seen.packages.get(name) == version for name, version in versions.items())

    def do(run: Run) -> None:
        before = runtime(run, host).config
        file = all_.file_for(run, host, versions, before.sandbox)
        _takes_its_file(run, host, versions, file)
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


def _takes_its_file(run: Run, host: Host, versions: Mapping[str, str], file: File | None) -> None:
    """Raise PrecheckError for a file in containerd 2's format before 2: 1.6 drops its sections without a word (findings/)."""
    present = run.read(host, files.found([CONTAINERD_CONFIG])).get(CONTAINERD_CONFIG)
    number = rules.config_version(present.content) if present and not file else 1
    if number >= 3 and containerd.major(versions) == 1:
        raise _refused(host, f"{CONTAINERD_CONFIG} is of version {number}, which containerd before 2.0 does not take")


def _refused(host: Host, said: str) -> PrecheckError:
    return PrecheckError(
        f"{host}: the new version does not go there; nothing was changed, and the old version runs\n{said}",
        hint=f"on {host}: correct {CONTAINERD_CONFIG}, or upgrade what is missing; or name another version: --to-containerd, --to-runc",
    )


# ---- the node in work


def begin(all_: Runtimes, host: Host) -> Step:
    """Note on ``host`` that it is being worked on: a run that goes on knows what to finish there, and that it was out for this."""
    return Step(
        "note that it is being worked on",
        host,
        done=lambda run: run.read(host, commands.begun(KIND)) or bool(all_.arrived(run, host)),
        do=lambda run: run.change(host, commands.begin(KIND)),
        by_hand=by_hand("upgrade", "runtime_begin", host=host),
    )


def end(host: Host) -> Step:
    """Take that note away."""
    return Step(
        "take that note away",
        host,
        done=lambda run: not run.read(host, commands.begun(KIND)),
        do=lambda run: run.change(host, commands.end(KIND)),
        by_hand=by_hand("upgrade", "runtime_end"),
    )


def upgrade(all_: Runtimes, host: Host) -> Step:
    """Install the packages, restart containerd, and prove that it answers, its node is Ready and starts a Pod.

    Otherwise the old packages and the old file are put back. Containers that run (static pods, DaemonSets) keep running.
    """

    def done(run: Run) -> bool | Unmet:
        return all_.arrived(run, host)

    def check(run: Run) -> None:
        if host.is_control_plane and len(all_.site.control_plane) > 1 and not done(run):
            control_plane.may_be_away(all_.one, run, host)

    def do(run: Run) -> None:
        before = runtime(run, host).config
        try:
            _replace(all_, run, host, before)
            prove(all_, run, host, before)
        except CommandError as error:
            if error.exited == packages.BUSY:  # nothing was installed
                raise CommandError(f"{error}\n{_in_service(all_, run, host)}.", exited=error.exited, hint=error.hint) from None
            _go_back(all_, run, host, before, error)
        except OutcomeError as error:
            _go_back(all_, run, host, before, error)

    name = f"install {all_.told(host)}, restart containerd, prove"
    text = by_hand("upgrade", "runtime_install", host=host, versions=all_.versions[host], config=CONTAINERD_CONFIG)
    return Step(name, host, check=check, done=done, do=do, within=READY_WITHIN_S, by_hand=text)


def _replace(all_: Runtimes, run: Run, host: Host, before: Config) -> None:
    """Install the packages that were tried, and restart containerd with its file in their format."""
    versions, seen = all_.versions[host], services_of(run, host)
    missing = any(seen.packages.get(name) != version for name, version in versions.items())
    if missing and not run.plan and seen.tried != versions:
        raise PrecheckError(f"{host}: the packages that were tried are not there any more", hint="the same command fetches them")
    file = all_.file_for(run, host, versions, before.sandbox)
    # containerd 2 takes the older format over, but not the other way round.
    first = file if file and (containerd.major(versions) or 1) == 1 else None
    if first:
        _place(run, host, first)
    install(run, host, commands.put(KIND, versions, ()))
    if file and not first:
        _place(run, host, file)
    run.change(host, prepare.run_runtime())


def _place(run: Run, host: Host, file: File) -> None:
    run.place(host, [file], run.read(host, files.found([file.path])), files.place([file]))


def prove(all_: Runtimes, run: Run, host: Host, before: Config) -> None:
    """Raise OutcomeError unless containerd answers with its configuration as ``before``, and its node is Ready and starts a Pod.

    That the node is Ready is no proof alone: the cluster notices a kubelet without a runtime only after a while. Raises NotServing
    when no API server answers: that says nothing about containerd.
    """
    if run.plan:
        return
    run.look_anew()
    state = runtime(run, host)
    if reason := not_ready(state) or rules.other_config(before, state.config):
        raise OutcomeError(reason)

    def ready() -> bool | Unmet:
        run.look_anew()
        try:
            return is_ready(all_.one, run, host)
        except NotServing as error:
            return Unmet(str(error))

    try:
        until(ready, within=READY_WITHIN_S, poll=run.poll)
    except OutcomeError:
        all_.one.survey.serving(run)
        raise
    gate.starts_a_pod(all_.one, run, host, state.config.sandbox, POD_WITHIN_S)


def _go_back(all_: Runtimes, run: Run, host: Host, before: Config, why: Exception) -> None:
    """Put the old packages back, and containerd's file in their format. Raises OutcomeError: why, and how that went."""
    failed = f"{host}: {all_.told(host)} does not work there: {why}"
    run.note(host, f"the new packages do not work; the old ones are put back: {cause(why)}")
    try:
        run.change(host, commands.put_back(KIND, all_.versions[host], ()))
        if file := all_.file_for(run, host, services_of(run, host).packages, before.sandbox):
            _place(run, host, file)
        run.change(host, prepare.run_runtime())
        prove(all_, run, host, before)
    except (CommandError, OutcomeError) as error:
        out = ", and out of the load balancers" if host.is_control_plane else ""
        raise OutcomeError(
            f"{failed}\nThe old packages do not bring it back either: {error}\nThe node is drained{out}, and stays so.",
            hint=f"on {host}: journalctl -u containerd -u kubelet; then inv upgrade.containerd again",
        ) from None
    now = services_of(run, host).packages
    old = listed(f"{name} {now.get(name, '?')}" for name in all_.versions[host])
    raise OutcomeError(
        f"{failed}\nThe old packages are back ({old}), and containerd runs as before; {_in_service(all_, run, host)}.",
        hint="name another version: --to-containerd, --to-runc; or correct what it says, then inv upgrade.containerd again",
    )


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
