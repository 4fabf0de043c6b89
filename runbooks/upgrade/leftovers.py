"""Removes what kubeadm has left of our earlier upgrades: with each run on a control plane host a copy of etcd's data, which it never removes.

Never removes what the newest verified upgrade has left, what a kubeadm by hand has left, or anything before the upgrade is verified: to go
back needs it (`inv upgrade.rollback`).
"""

from __future__ import annotations

from runbooks.commands import upgrade_leftovers
from runbooks.engine.by_hand import by_hand
from runbooks.engine.steps import Run, Step, Unmet
from runbooks.inventory.model import Host
from runbooks.text import counted, size_text


def tidy(host: Host) -> Step:
    """Return the step that removes, from ``host``, the folders of the verified upgrade before this one. Only after this one is verified."""

    def done(run: Run) -> bool | Unmet:
        return Unmet.of("what this upgrade has left is not set down as verified" if _pending(run) else "")

    def _pending(run: Run) -> bool:
        return run.read(host, upgrade_leftovers.look()).pending

    def do(run: Run) -> None:
        older = run.read(host, upgrade_leftovers.look()).older
        if older:
            size = size_text(sum(each.size for each in older))
            run.note(
                host, f"{counted(len(older), 'folder')} of the upgrade before this one in /etc/kubernetes/tmp, {size}: removed"
            )
        run.change(host, upgrade_leftovers.tidy())

    text = by_hand("upgrade", "tidy", host=host)
    return Step("remove what kubeadm left of the upgrade before", host, done=done, do=do, within=10, by_hand=text)
