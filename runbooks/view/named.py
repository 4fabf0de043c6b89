"""Which files a control plane host needs beside those that kubeadm makes: read from its manifests, kubelet and configuration files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from runbooks.commands import named_files
from runbooks.commands.named_files import Seen
from runbooks.engine.steps import Run
from runbooks.inventory.model import Host
from runbooks.rules import named
from runbooks.rules.named import Selection

ROUNDS = 8  # a manifest names a configuration file, which names a kubeconfig, which names a certificate: that is four


def look(run: Run, host: Host, known: Sequence[str], *, directories: bool = True) -> Selection:
    """Return what to save or copy of the files that the static pods and the kubelet of ``host`` name. Raises RunbookError.

    What is below ``known`` is left out. Without ``directories``, for another host, so are the directories that are mounted, and what only
    the kubelet of ``host`` names: its own server certificate, for one.
    """
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
    found = found if directories else tuple(each for each in found if not each.for_kubelet)
    return named.select(found, seen, named.unreadable(seen, kubelet), known, directories=directories)
