"""A kubelet with settings of its own, over the upgrade to 1.25: until then they are flags, from then on a patch for kubeadm.

The patch is there before kubeadm writes the kubelet's file, and the flags go before the new kubelet starts: it has its settings all the time.
https://kubernetes.io/docs/setup/production-environment/tools/kubeadm/control-plane-flags/#patches
"""

from __future__ import annotations

from dataclasses import replace

from runbooks.cluster import patches
from runbooks.cluster.patches import Change
from runbooks.commands import settings_look
from runbooks.engine.steps import Run
from runbooks.inventory.model import Host
from runbooks.rules import kubelet_env
from runbooks.rules.kubelet_flags import PATCHED_SINCE
from runbooks.upgrade.context import Upgrade


def as_patch(upgrade: Upgrade, run: Run, host: Host) -> None:
    """Write the patch for the kubelet of ``host``, where it has flags of ours. Nothing anywhere else: what differs is for `cluster.reconfigure`."""
    change = _change(upgrade, run, host)
    patches.make(run, host, replace(change, place=tuple(each for each in change.place if each.path not in kubelet_env.PATHS)))


def without_flags(upgrade: Upgrade, run: Run, host: Host) -> None:
    """Take the flags away that the patch has taken the place of. The kubelet has to be restarted after it."""
    change = _change(upgrade, run, host)
    patches.make(
        run, host, replace(change, place=tuple(each for each in change.place if each.path in kubelet_env.PATHS), gone=())
    )


def _change(upgrade: Upgrade, run: Run, host: Host) -> Change:
    """Return what differs on a host whose kubelet has flags of ours, and is to have a patch; nothing for every other host."""
    minor, nothing = upgrade.to[1], Change((), (), {})
    if minor < PATCHED_SINCE or not upgrade.site.of_node(host).kubelet:
        return nothing
    have = run.read(host, settings_look.look())
    flags = kubelet_env.ours(have.files.get(kubelet_env.path_of(have.unit), ""))
    return patches.differing(upgrade.site, host, have, "kubelet", minor) if flags else nothing
