"""The step that ends the work of `inv cluster.reconfigure` on a host."""

from __future__ import annotations

from runbooks.commands import reconfigure
from runbooks.commands.reconfigure import Kind
from runbooks.engine.by_hand import by_hand
from runbooks.engine.steps import Step
from runbooks.inventory.model import Host


def end(host: Host, kind: Kind, name: str) -> Step:
    """Take the note away, as the step ``name``: the old files are not needed any more."""
    return Step(
        name,
        host,
        done=lambda run: run.read(host, reconfigure.read(kind)) is None,
        do=lambda run: run.change(host, reconfigure.forget(kind)),
        by_hand=by_hand("day2", "reboot_end"),
    )
