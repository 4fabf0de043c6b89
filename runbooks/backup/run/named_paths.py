"""Find out which files of a control plane host belong in the set beside those that every host has."""

from __future__ import annotations

from collections.abc import Mapping

from runbooks.backup.rules import named
from runbooks.backup.rules.named import Selection
from runbooks.commands import backup, named_files
from runbooks.commands.named_files import Seen
from runbooks.engine.steps import Run
from runbooks.inventory.model import Host

ROUNDS = 8  # a manifest names a configuration file, which names a kubeconfig, which names a certificate: that is four


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
