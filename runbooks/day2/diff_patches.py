"""How patches for kubeadm, and the kubelet's own flags, on a node differ from hosts.yaml. For `inv cluster.diff`."""

from __future__ import annotations

from runbooks.cluster import patches
from runbooks.cluster.patches import Part
from runbooks.commands import files
from runbooks.commands.files import File, Found
from runbooks.commands.settings_look import HostSettings
from runbooks.day2.rules import difference as rules
from runbooks.day2.rules.difference import Difference
from runbooks.inventory.model import Host, Site

PARTS: tuple[Part, ...] = ("control-plane", "kubelet")


def of_host(site: Site, host: Host, have: HostSettings) -> list[Difference]:
    """Return how ``host`` differs. Files that hosts.yaml has not given are none of it. Raises RunbookError when hosts.yaml names no patch."""
    found = []
    for part in PARTS:
        change = patches.differing(site, host, have, part)
        for file in change.place:
            there = "different" if file.path in have.files else "missing"
            found.append(_one(part, host, file, there, change.now[file.path], wanted="as hosts.yaml says"))
        for path in change.gone:
            found.append(_one(part, host, File(path, "", mode=patches.MODE), "there", change.now[path]))
    return found


def _one(part: Part, host: Host, file: File, there: str, text: str, wanted: str | None = None) -> Difference:
    now = Found(text, file.mode, file.owner) if text else None
    return Difference(
        part,
        host=host.name,
        key=file.path,
        there=there,
        wanted=wanted,
        fix=f"inv cluster.reconfigure --only {part} --host {host}",
        why="" if wanted else "it was deleted from hosts.yaml",
        diff=rules.masked(f"{host}:\n{files.diff(file, now)}"),
    )
