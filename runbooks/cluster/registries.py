"""What `cluster.remove` and `cluster.reset` take away of the container runtime: logins of registries, and their files.

The rest of containerd's configuration stays, and its proxy, which is the host's (`baseline`): containerd goes on to run, and images can be pulled.
`inv cluster.prepare`, `cluster.init` and `cluster.join` write all of it anew.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from runbooks.cluster import containerd_toml
from runbooks.cluster.runtime import WRITTEN, is_quiet
from runbooks.commands import files, prepare, runtime_files
from runbooks.commands.files import File, Found
from runbooks.commands.prepare import CONTAINERD_CONFIG
from runbooks.engine.by_hand import by_hand
from runbooks.engine.steps import Run, Step
from runbooks.errors import RunbookError
from runbooks.inventory.model import Host
from runbooks.view.cluster import Survey


@dataclass(frozen=True, slots=True)
class Left:
    """What is left on a host. ``config``: containerd's file as it is to be, without logins, or None; ``remove``: files of registries that we wrote."""

    config: File | None = None
    remove: Sequence[str] = ()
    there: Found | None = None


def left(there: dict[str, Found]) -> Left:
    """Return what is left of registries among the files that are ``there``. Never takes anything out of a file that somebody else has written."""
    mine = files.regular(there)
    found, config = mine.get(CONTAINERD_CONFIG), None
    if found and found.content.startswith(WRITTEN):
        text = containerd_toml.without_logins(found.content)
        config = File(CONTAINERD_CONFIG, text, mode=found.mode, owner=found.owner) if text != found.content else None
    return Left(config, [path for path in mine if is_quiet(path)], found)


def forget(host: Host, survey: Survey | None = None) -> Step:
    """Return the step that takes them away from ``host``. ``survey``: a host that it could not reach is left as it is."""
    probe = runtime_files.look([CONTAINERD_CONFIG])

    def seen(run: Run) -> Left:
        said = survey.each(run, {host: probe})[host] if survey else run.read(host, probe)
        return Left() if isinstance(said, RunbookError) else left(said)

    def do(run: Run) -> None:
        there = seen(run)
        if there.remove:
            run.change(host, runtime_files.remove(there.remove))
        # Last, and with containerd's restart in one command: what is interrupted before is done again.
        if there.config and there.there:
            run.place(host, [there.config], {CONTAINERD_CONFIG: there.there}, prepare.place_and_restart(there.config))

    return Step(
        "remove registries' logins and files",
        host,
        done=lambda run: not (there := seen(run)).config and not there.remove,
        do=do,
        by_hand=by_hand("cluster", "forget_registries", host=host, config=CONTAINERD_CONFIG, certs=runtime_files.CERTS),
    )
