"""Find out which files of a control plane host belong in the set beside those that every host has."""

from __future__ import annotations

from runbooks.backup.run.new_set import NewSet
from runbooks.commands import backup
from runbooks.engine.steps import Run
from runbooks.errors import RunbookError
from runbooks.inventory.model import Host
from runbooks.rules.named import Selection
from runbooks.view import named


def find(run: Run, new_set: NewSet, host: Host) -> Selection:
    """Find the files elsewhere on ``host`` that its static pods and its kubelet name; what cannot be saved is noted as missing."""
    if not host.is_control_plane:
        return Selection()
    try:
        found = named.look(run, host, backup.saved(host))
    except RunbookError as error:
        found = Selection(missing={"files that its static pods name": str(error)})
    for text in found.notes:
        run.note(host, text)
    for what, why in found.missing.items():
        run.note(host, f"missing: {what}: {why}")
        new_set.note_missing(f"{host}: {what}", why)
    return found
