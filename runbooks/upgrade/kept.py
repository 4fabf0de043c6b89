"""Keeps the manifests of a control plane host from before an upgrade until the upgrade is verified: steps for `upgrade.run`.

kubeadm's own copies are not enough: they lack what it did not replace, a repeated run spreads them over several folders, and 1.20 makes none of the
kubelet's configuration. Nothing secret leaves its host; the directory is root's alone (0700).
"""

from __future__ import annotations

from runbooks.commands import upgrade_backups
from runbooks.commands.upgrade_backups import Backups, Folder
from runbooks.engine.by_hand import by_hand
from runbooks.engine.steps import Run, Step, Unmet
from runbooks.errors import PrecheckError
from runbooks.inventory.model import Host
from runbooks.rules.upgrade_seen import SERVER, Version, text, version_in
from runbooks.upgrade.rules.rollback import ORDER


def keep(host: Host, to: Version) -> Step:
    """Copy the manifests and the kubelet's configuration of ``host`` before kubeadm takes it to ``to``.

    Done when the copy is there, and also when a part of the host is at ``to`` already: then what is in force is no longer what was before.
    """

    def done(run: Run) -> bool | Unmet:
        found = run.read(host, upgrade_backups.look())
        return begun(found.now, to) or Unmet.of(_missing(found))

    def do(run: Run) -> None:
        version = _version(run.read(host, upgrade_backups.look()).now)
        if not version:
            raise PrecheckError(f"{host}: the version of its API server is not in the manifest", hint="inv upgrade.status")
        run.change(host, upgrade_backups.keep(text(version)))

    words = by_hand("upgrade", "keep", host=host)
    return Step("keep its manifests until the upgrade is verified", host, done=done, do=do, within=10, by_hand=words)


def forget(host: Host) -> Step:
    """Remove what `keep` has copied, of all versions: the upgrade is verified."""

    def done(run: Run) -> bool | Unmet:
        return Unmet.of("manifests are kept" if run.read(host, upgrade_backups.look()).kept else "")

    words = by_hand("upgrade", "forget", host=host)
    return Step(
        "remove the manifests of before",
        host,
        done=done,
        do=lambda run: run.change(host, upgrade_backups.drop()),
        within=10,
        by_hand=words,
    )


def begun(now: Folder, to: Version) -> bool:
    """Whether kubeadm has begun to take this host to ``to``: a part is there, or the API server's manifest is being replaced."""
    return SERVER not in now.pods or any(version_in(now.pods[part].image) == to for part in ORDER if part in now.pods)


def _version(now: Folder) -> Version | None:
    return version_in(now.pods[SERVER].image) if SERVER in now.pods else None


def _missing(found: Backups) -> str:
    """Return what is not kept as it is now, or "". etcd's manifest may be there only in a newer version: kubeadm replaces it first."""
    version = _version(found.now)
    kept = next((each for each in found.kept if _version(each) == version), None)
    if not kept:
        return f"nothing is kept of {text(version)}"
    other = [part for part, there in found.now.pods.items() if part in ORDER and kept.pods.get(part) != there]
    return f"{', '.join(other)}: the copy is another one" if other else ""
