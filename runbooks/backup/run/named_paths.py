"""Find out which files of a control plane host belong in the set beside those that every host has."""

from __future__ import annotations

from collections.abc import Mapping

from runbooks.backup.rules import named
from runbooks.backup.rules.named import Selection
from runbooks.backup.run.new_set import NewSet
from runbooks.commands import backup, named_files
from runbooks.commands.named_files import Seen
from runbooks.engine.steps import Run
from runbooks.errors import RunbookError
from runbooks.inventory.model import Host

ROUNDS = 8  # a manifest names a configuration file, which names a kubeconfig, which names a certificate: that is four


def find(run: Run, new_set: NewSet, host: Host) -> Selection:
    """Find the files elsewhere on ``host`` that its static pods and its kubelet name; what cannot be saved is noted as missing."""
    if not host.is_control_plane:
        return Selection()
    try:
        found = look(run, host)
    except RunbookError as error:
        found = Selection(missing={"files that its static pods name": str(error)})
    for text in found.notes:
        run.note(host, text)
    for what, why in found.missing.items():
        run.note(host, f"missing: {what}: {why}")
        new_set.note_missing(f"{host}: {what}", why)
    return found


def look(run: Run, host: Host) -> Selection:
    """Return what is saved of the files that the static pods and the kubelet of ``host`` name. Raises RunbookError."""
    seen: Mapping[str, Seen] = {}
    kubelet = ""
    folders = named.folders(seen, kubelet)
    found = named.paths_named(seen, kubelet)
    for _ in range(ROUNDS):
        answer = run.read(host, named_files.look([each.path for each in found if each.path not in seen], folders))
        seen, kubelet = {**seen, **answer.seen}, answer.kubelet
        found, before = named.paths_named(seen, kubelet), folders
        folders = named.folders(seen, kubelet)
        if folders == before and all(each.path in seen for each in found):
            break
    return named.select(found, seen, named.unreadable(seen, kubelet), backup.saved(host))
