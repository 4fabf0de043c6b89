"""What the real hosts start their components with, as the set has it, against the version that an upgrade goes to. Pure.

The twin's hosts are set up from hosts.yaml and from what the cluster itself keeps; the upgrade that runs there judges that. Flags in files of
the owner's (/etc/default/kubelet, drop-ins), patches and manifests of other people are on the real hosts alone: these are judged here, by the
tables of `upgrade.plan`. A set has such files of control plane hosts only.
"""

from __future__ import annotations

import posixpath
from collections.abc import Mapping
from typing import Final

from rehearse.rules.choices import target
from runbooks.commands.settings_look import MANIFESTS, PATCHES, HostSettings
from runbooks.engine.tasks import Given
from runbooks.inventory.model import Host
from runbooks.rules.finding import Finding, at_least
from runbooks.rules.kubeadm import parse
from runbooks.upgrade.rules import accepted
from runbooks.upgrade.rules.settings import KUBEADM_FLAGS, KUBELET_CONFIG

DROP_INS: Final = (  # the stronger ones last
    "/usr/lib/systemd/system/kubelet.service.d",
    "/lib/systemd/system/kubelet.service.d",
    "/etc/systemd/system/kubelet.service.d",
)
FILES: Final = frozenset({KUBEADM_FLAGS, KUBELET_CONFIG, "/etc/default/kubelet", "/etc/sysconfig/kubelet"})


def wanted(path: str) -> bool:
    """Return whether a file of a host says what its components are started with.

    >>> wanted("/etc/default/kubelet"), wanted("/etc/kubernetes/manifests/etcd.yaml"), wanted("/etc/kubernetes/admin.conf")
    (True, True, False)
    """
    return path in FILES or posixpath.dirname(path) in {MANIFESTS, *PATCHES, *DROP_INS}


def findings(given: Given, version: str, files: Mapping[Host, Mapping[str, str]]) -> list[Finding]:
    """Return what of the hosts' own settings the versions after ``version`` up to the target of an upgrade no longer take; [] for other procedures.

    ``files``: of each host of the set, by path. What kubeadm writes anew from the cluster's ConfigMaps is left to the twin.
    """
    if not (to := target(given)):
        return []
    now, last = parse(version)[:2], parse(to)[:2]
    found = []
    for host, there in files.items():
        own, _ = accepted.of_host(host, of_files(there), None)
        for each in own:
            if each.place != "rewritten" and (why := accepted.refusal(host.name, each, now, last, None)):
                found.append(why)
    return at_least("warn", dict.fromkeys(found))


def of_files(files: Mapping[str, str]) -> HostSettings:
    """Return what a host starts its components with, from its files. Of the kubelet's unit a set has the drop-ins, which have kubeadm's command line."""
    by_name: dict[str, str] = {}
    for folder in DROP_INS:
        by_name |= {posixpath.basename(path): path for path in files if posixpath.dirname(path) == folder}
    drop_ins = [path for _, path in sorted(by_name.items()) if path.endswith(".conf")]
    return HostSettings(
        unit="".join(f"# {path}\n{files[path].rstrip()}\n" for path in drop_ins),
        files={path: text for path, text in files.items() if posixpath.dirname(path) not in DROP_INS},
    )
