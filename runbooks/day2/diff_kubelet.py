"""How the kubelet of one node differs from hosts.yaml. For `inv cluster.diff`."""

from __future__ import annotations

from collections.abc import Collection

from runbooks.commands.kubeadm_config import ClusterSettings
from runbooks.commands.settings_look import HostSettings
from runbooks.day2 import wanted_kubelet
from runbooks.day2.rules import cgroup_driver
from runbooks.day2.rules import difference as rules
from runbooks.day2.rules.difference import Difference
from runbooks.inventory.model import Host, Site
from runbooks.text import listed


def of_host(
    site: Site, host: Host, cluster: ClusterSettings, have: HostSettings, said: object, known: Collection[str]
) -> list[Difference]:
    """Return which values of hosts.yaml the kubelet does not run with, and which ones a patch of somebody else replaces there.

    ``cluster``: what it keeps for kubeadm; ``said``: what the kubelet says that it runs with; ``known``: what differs in the ConfigMap
    already. Raises InventoryError or PrecheckError for a patch that does not apply.
    """
    kept, only, found = cluster.kubelet, f"inv cluster.reconfigure --only kubelet --host {host}", []
    for key, there, wanted in rules.of_kubelet(wanted_kubelet.on(site, host, kept, have), said):
        if key not in known:
            fixed = key == cgroup_driver.FIELD and there is not None
            why = cgroup_driver.WHY if fixed else ""
            fix = cgroup_driver.way(str(there), wanted, cluster.kubelet_map, host.name) if fixed else only
            found.append(
                Difference("kubelet", host=host.name, key=f"running: {key}", there=there, wanted=wanted, fix=fix, why=why)
            )
    for each in wanted_kubelet.overridden(site, host, kept, have):
        files = listed(each.files)
        why = f"{files} on the host sets it, and is not from hosts.yaml: kubeadm applies it too"
        fix = f"write its value into hosts.yaml; or take it out of {files} on {host}, then {only}"
        found.append(Difference("kubelet", host=host.name, key=each.key, there=each.there, wanted=each.wanted, fix=fix, why=why))
    return found
