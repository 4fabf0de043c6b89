"""How the kubelet of one node differs from hosts.yaml. For `inv cluster.diff`."""

from __future__ import annotations

from collections.abc import Collection

from runbooks.commands import kubelet_line
from runbooks.commands.kubeadm_config import ClusterSettings
from runbooks.commands.kubelet_line import Flag
from runbooks.commands.settings_look import HostSettings
from runbooks.day2 import wanted_kubelet
from runbooks.day2.rules import cgroup_driver
from runbooks.day2.rules import difference as rules
from runbooks.day2.rules.difference import Difference
from runbooks.inventory.model import Host, Site
from runbooks.rules import kubelet_env
from runbooks.rules.kubelet_flags import FLAGS
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
            if not fixed and (flag := _owners_flag(have, key)):
                why = f"the kubelet is started with --{flag.name}={flag.value} from {flag.file}, which is not from hosts.yaml: it wins over the kubelet's file"
                fix = f"write {key.partition('.')[0]} below `kubelet` of {host} in hosts.yaml; or take --{flag.name} out of {flag.file} on {host}, and restart the kubelet"
            found.append(
                Difference("kubelet", host=host.name, key=f"running: {key}", there=there, wanted=wanted, fix=fix, why=why)
            )
    for each in wanted_kubelet.overridden(site, host, kept, have):
        files = listed(each.files)
        why = f"{files} on the host sets it, and is not from hosts.yaml: kubeadm applies it too"
        fix = f"write its value into hosts.yaml; or take it out of {files} on {host}, then {only}"
        found.append(Difference("kubelet", host=host.name, key=each.key, there=each.there, wanted=each.wanted, fix=fix, why=why))
    return found


def _owners_flag(have: HostSettings, key: str) -> Flag | None:
    """Return the flag that sets the field ``key`` of the kubelet's configuration, and that somebody else has given; None when there is none."""
    name = FLAGS.get(key.partition(".")[0])
    try:
        flags = kubelet_line.line(have.unit, have.files).flags
    except ValueError:  # a unit that cannot be read
        return None
    own = {flag for path in kubelet_env.PATHS for flag in kubelet_env.ours(have.files.get(path, ""))}
    return next((each for each in reversed(flags) if each.name == name and name not in own), None)
