"""What a rehearsal cannot show, said in every report. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from rehearse.rules.choices import target
from rehearse.rules.drained import if_needed
from rehearse.rules.procedures import DRAINS
from runbooks.engine.tasks import Given
from runbooks.text import counted, first_few, listed

ALWAYS = (
    "hardware, disks, firewalls, kernels, the real network and its switches: the twin's hosts are on one machine and share its kernel",
    "members of etcd that linger (zombies) and what etcd's v2 store holds: a restore writes the membership anew; upgrade.plan reads both",
    "what the set does not have: objects written after it, files that it lacks, data in volumes",
    "people and programs: load, leases, controllers of your own, admission by webhooks whose Pods run in the cluster",
    "packages from the site's own repositories, images from its registries: the twin has its own",
)

OWN_FLAGS: Final = "flags of kubelets in files of your own on workers: a set has files of control plane hosts only; upgrade.plan reads all of them"
# Of procedures that drain only the nodes that need it.
WHICH: Final = {
    "cluster.reboot": "which hosts need a reboot: those of the twin have just booted. The drain of each is computed alone; with --host NAMES instead of --if-needed it is rehearsed, in its order",
    "cluster.reconfigure": "what on single hosts is not as hosts.yaml says: the twin's hosts were set up from it. The drains that this may need are computed, each alone, and are warnings",
}


def limits(
    given: Given, *, supplied: Sequence[str], gone: Sequence[str], absent: Sequence[str], missing: Iterable[str]
) -> list[str]:
    """Return the limits of a rehearsal of ``given``.

    supplied  versions of programs that came from the lab, in words. gone: Node objects without a host. absent: kinds of the set that the
              twin never served. missing: what the set lacks.
    """
    rows = list(ALWAYS)
    if given.name in DRAINS:
        rows.insert(
            0,
            "drains of the real workloads: no Pod of theirs runs here. They are computed from the set's Pods and budgets instead",
        )
    if target(given):
        rows.insert(1, OWN_FLAGS)
    if if_needed(given):
        rows.insert(1, WHICH[given.name])
    if gone:
        rows.append(
            f"{counted(len(gone), 'host')} without a twin ({listed(first_few(gone, 5))}): their steps are missing in the times"
        )
    if absent:
        rows.append(f"{counted(len(absent), 'kind')} that only a Service of the cluster serves: {listed(first_few(absent, 5))}")
    rows += [f"not in the set: {each}" for each in missing]
    return [*rows, *(f"supplied by the lab: {each}" for each in supplied)]
