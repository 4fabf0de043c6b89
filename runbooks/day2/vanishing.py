"""Lines of manifests that somebody has written by hand: they would vanish when kubeadm writes the manifests anew."""

from __future__ import annotations

from runbooks.cluster import patches
from runbooks.commands import kubeadm_config, reconfigure, rendered, settings_look
from runbooks.day2.control_plane import Changes, manifest
from runbooks.engine.steps import Run
from runbooks.inventory.model import Host
from runbooks.rules import host_patches
from runbooks.rules.kubeadm_documents import one
from runbooks.upgrade.rules import customised


def by_hand_lines(all_: Changes, run: Run, host: Host) -> list[str]:
    """Return the lines of manifests on ``host`` that kubeadm makes neither of the configuration in the cluster nor of the new one.

    Somebody has written them by hand. On a host in work the files, patches for kubeadm too, count as they were before the work began.
    """
    note = run.read(host, reconfigure.read("control-plane"))
    before = note.before if note and not note.proved else {}
    stacked = all_.site.kubernetes.etcd == "stacked"
    there = run.read(host, settings_look.look())
    lying = host_patches.on_host({**there.files, **before})
    was = {name: text for name, text in lying.items() if text and host_patches.is_ours(name)}
    made = ((all_.before, was), (all_.configuration, patches.wanted(all_.site, host).files))
    old, new = (run.read(host, rendered.look(host, etcd=stacked, config=text, patches=own)) for text, own in made)
    found = []
    for name, wanted in new.manifests.items():
        have = before.get(manifest(name), there.files.get(manifest(name)))
        if have is None:
            continue
        # Where kubeadm makes nothing of the old configuration, or no longer of its patches, only the new one counts: rather a line too much.
        kept = {line for text in (old.manifests.get(name, wanted), wanted) for line in customised.meaning(text)}
        named = _flags_of(name, all_.before) | _flags_of(name, all_.configuration)
        lines = [line for line in customised.meaning(have) if line not in kept]
        found += [f"{name}: {line}" for line in lines if line.removeprefix("--").partition("=")[0] not in named]
    if found and old.error:
        return [f"(not told apart from what is in force, since kubeadm says: {old.error})", *found]
    return found


def _flags_of(component: str, configuration: str) -> set[str]:
    """Return the flags of ``component`` that a ClusterConfiguration names: another value of one is not of somebody's hand, or not for long."""
    part = next((part for part, name in kubeadm_config.PARTS.items() if name == component), "")
    return {flag for flag, _ in kubeadm_config.args_of(one(configuration), part)} if part else set()
