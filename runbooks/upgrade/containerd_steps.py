"""The steps of `inv upgrade.containerd` on one node: try, note, drain, install, restart, prove, and go back to the old packages when that fails."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

from runbooks.commands import containerd, files, prepare, runtime_dump, runtime_upgrade
from runbooks.commands import service_packages as commands
from runbooks.commands.base import Answer
from runbooks.commands.files import File
from runbooks.commands.prepare import CONTAINERD_CONFIG
from runbooks.commands.runtime_upgrade import KIND, Note
from runbooks.engine.by_hand import by_hand
from runbooks.engine.packages import install
from runbooks.engine.steps import Run, Step, Unmet
from runbooks.errors import CommandError, NotServing, OutcomeError, PrecheckError, RunbookError
from runbooks.inventory.model import Host
from runbooks.upgrade import containerd_kept, node, nodes
from runbooks.upgrade.containerd_proof import READY_WITHIN_S, go_back, place, prove, release, stays_out
from runbooks.upgrade.containerd_state import Runtimes, note, runtime, services_of
from runbooks.upgrade.rules import runtimes as rules

# ---- before anything is drained


def try_new(all_: Runtimes, host: Host) -> Step:
    """Have the new containerd read the configuration of ``host``, before anything is drained. The present one has to be good as well.

    Also where its packages are right already, and containerd only has to be restarted or proved.
    """
    versions, driver = all_.versions[host], all_.site.kubernetes.cgroup_driver

    def done(run: Run) -> bool | Unmet:
        whole, seen = all_.whole(run, host), services_of(run, host)
        old = all_.beginning(run, host).old
        kept = {name: version for name, version in old.items() if versions.get(name) != version}
        return True if whole or (seen.tried == versions and seen.kept == kept) else whole

    def check(run: Run) -> None:
        # What an interrupted run has left may be broken: the trial judges it with the new packages.
        if not done(run) and not note(run, host) and (why := rules.unfit(runtime(run, host).config, driver)):
            raise _refused(host, why)

    def do(run: Run) -> None:
        first = all_.beginning(run, host)
        file = all_.file_for(run, host, versions)
        _takes_its_file(run, host, versions, file)
        try:
            old = first.old if note(run, host) else {}
            answer = run.change(host, runtime_upgrade.try_new(versions, old, CONTAINERD_CONFIG, file))
        except CommandError as error:
            if error.exited in {commands.REFUSED, commands.CANNOT_RUN}:
                raise _refused(host, "\n".join(str(error).splitlines()[1:])) from None
            raise
        if answer:
            _judge(run, host, first, answer, driver)
        for each in commands.unkept(answer):
            run.note(host, f"no repository offers {each} any more: if the new one does not work there, it cannot be put back")
        run.change(host, runtime_upgrade.accept())

    text = by_hand("upgrade", "runtime_try", versions=versions, config=CONTAINERD_CONFIG)
    name = "fetch the packages; the new containerd reads its configuration"
    return Step(name, host, check=check, done=done, do=do, by_hand=text)


def _judge(run: Run, host: Host, first: Note, answer: Answer, driver: str) -> None:
    """Raise PrecheckError when no node works with what the new containerd makes of its configuration, or it is another one than at ``first``."""
    tried = runtime_upgrade.parse_tried(answer)
    if why := rules.unfit(tried, driver) or rules.other_config(first.before, tried):
        raise _refused(host, f"with the new version, {why}")
    containerd_kept.refuse_lost(run, host, first.settings, runtime_dump.parse_tried(answer))


def _takes_its_file(run: Run, host: Host, versions: Mapping[str, str], file: File | None) -> None:
    """Raise PrecheckError for a file in containerd 2's format before 2: 1.6 drops its sections without a word (findings/)."""
    present = run.read(host, files.found([CONTAINERD_CONFIG])).get(CONTAINERD_CONFIG)
    number = rules.config_version(present.content) if present and not file else 1
    if number >= 3 and containerd.major(versions) == 1:
        raise _refused(host, f"{CONTAINERD_CONFIG} is of version {number}, which containerd before 2.0 does not take")


def _refused(host: Host, said: str) -> PrecheckError:
    return PrecheckError(
        f"{host}: the new version is not installed there; nothing was changed\n{said}",
        hint=f"on {host}: correct {CONTAINERD_CONFIG}, or upgrade what is missing; or name another version: --to-containerd, --to-runc",
    )


# ---- the node in work


def begin(all_: Runtimes, host: Host) -> Step:
    """Note on ``host`` that it is being worked on, and from what: a run that goes on knows what to finish there, and what to go back to."""

    def done(run: Run) -> bool | Unmet:
        there = note(run, host)
        if there and there == all_.beginning(run, host):
            return True
        return Unmet("another work is noted there") if there else all_.arrived(run, host)

    return Step(
        "note that it is being worked on",
        host,
        done=done,
        do=lambda run: run.change(host, runtime_upgrade.write(all_.beginning(run, host))),
        by_hand=by_hand("upgrade", "runtime_begin", host=host),
    )


def drain(all_: Runtimes, host: Host) -> Step:
    """Drain ``host``. When that fails and it is in service as before, its note goes: it is no host that is being worked on."""
    step = node.drain(all_.one, host, _arrived(all_, host), newer=False)

    def do(run: Run) -> object:
        try:
            return step.do(run) if step.do else None
        except RunbookError as error:
            release(all_, run, host, error)
            raise

    return replace(step, do=do)


def out_of_traffic(all_: Runtimes, host: Host) -> list[Step]:
    """Return the steps that send clients and etcd's leadership to other hosts, if there are any."""
    return nodes.out_of_traffic(all_.one, host, _arrived(all_, host))


def _arrived(all_: Runtimes, host: Host) -> Callable[[Run], bool]:
    return lambda run: bool(all_.arrived(run, host))


def upgrade(all_: Runtimes, host: Host) -> Step:
    """Install the packages, restart containerd, and prove that it answers, its node is Ready and starts a Pod. The note says that it is proved.

    Otherwise the packages that the note has, and the old file, are put back. Containers that run (static pods, DaemonSets) keep running.
    """

    def done(run: Run) -> bool | Unmet:
        return all_.arrived(run, host)

    def check(run: Run) -> None:
        if host.is_control_plane and len(all_.site.control_plane) > 1 and not done(run):
            nodes.may_be_away(all_.one, run, host)

    def do(run: Run) -> None:
        try:
            _carry_out(all_, run, host)
        except NotServing as error:
            error.add_note(f"{stays_out(all_, host)} The same command goes on.")
            raise

    name = f"install {all_.told(host)}, restart containerd, prove"
    text = by_hand("upgrade", "runtime_install", host=host, versions=all_.versions[host], config=CONTAINERD_CONFIG)
    return Step(name, host, check=check, done=done, do=do, within=READY_WITHIN_S, by_hand=text)


def _carry_out(all_: Runtimes, run: Run, host: Host) -> None:
    there = note(run, host) or all_.beginning(run, host)  # none in a plan
    if there.failed:  # an attempt that lost its connection was going back
        go_back(all_, run, host, there)
    try:
        _replace(all_, run, host)
        prove(all_, run, host, there.before, there.settings)
    except (CommandError, OutcomeError) as error:
        go_back(all_, run, host, there, error)
    run.change(host, runtime_upgrade.write(replace(there, proved=True)))


def _replace(all_: Runtimes, run: Run, host: Host) -> None:
    """Install the packages that were tried, and restart containerd with its file in their format."""
    versions, seen = all_.versions[host], services_of(run, host)
    missing = any(seen.packages.get(name) != version for name, version in versions.items())
    if missing and not run.plan and seen.tried != versions:
        raise OutcomeError(f"{host}: its configuration is not the one that was tried, or the packages are not there any more")
    file = all_.file_for(run, host, versions)
    # containerd 2 takes the older format over, but not the other way round.
    first = file if file and (containerd.major(versions) or 1) == 1 else None
    if first:
        place(run, host, first)
    install(run, host, commands.put(KIND, versions, ()))
    if file and not first:
        place(run, host, file)
    run.change(host, prepare.run_runtime())
