"""Which settings of the site's kubelets the twin's hosts cannot have, and the flags that are stronger. Pure.

A flag of the kubelet is stronger than its configuration file: https://kubernetes.io/docs/reference/command-line-tools-reference/kubelet/
"""

from __future__ import annotations

import re
from typing import Final

from runbooks.text import listed

START: Final = "/usr/bin/kubelet $KUBELET_KUBECONFIG_ARGS $KUBELET_CONFIG_ARGS $KUBELET_KUBEADM_ARGS $KUBELET_EXTRA_ARGS"
RESOLV_CONF: Final = "/etc/resolv.conf"
CGROUP_V1: Final = (1, 35)  # from this version on a kubelet does not start with cgroup v1 unless it is told to


def flags(config: str, version: str, *, cgroup_v1: bool) -> list[str]:
    r"""Return the flags that the twin's kubelets need. ``config``: the site's KubeletConfiguration; ``cgroup_v1``: what this machine has.

    >>> flags("cgroupDriver: systemd\nresolvConf: /run/systemd/resolve/resolv.conf\n", "1.36.2", cgroup_v1=True)
    ['--cgroup-driver=cgroupfs', '--resolv-conf=/etc/resolv.conf', '--fail-cgroupv1=false']
    >>> flags("cgroupDriver: cgroupfs\n", "1.20.2", cgroup_v1=True)
    []
    """
    found = []
    if value(config, "cgroupDriver") == "systemd":
        found.append("--cgroup-driver=cgroupfs")
    if value(config, "resolvConf") not in {"", RESOLV_CONF}:
        found.append(f"--resolv-conf={RESOLV_CONF}")
    minor = tuple(int(part) for part in version.split(".")[:2])
    if cgroup_v1 and minor >= CGROUP_V1 and value(config, "failCgroupV1") != "false":
        found.append("--fail-cgroupv1=false")
    return found


def value(config: str, key: str) -> str:
    """Return the value of a key at the top of the configuration, "" when it is not there."""
    found = re.search(rf"^{key}: *\"?([^\"\n]*)\"?$", config, re.MULTILINE)
    return found[1].strip() if found else ""


def drop_in(given: list[str]) -> str:
    """Return a drop-in for the kubelet's unit that adds the flags ``given`` behind all others.

    >>> drop_in(["--a"]).splitlines()[-1].endswith(" $KUBELET_EXTRA_ARGS --a")
    True
    """
    return f"[Service]\nExecStart=\nExecStart={START} {' '.join(given)}\n"


def told(given: list[str]) -> str:
    """Return what was changed, in words."""
    return f"the kubelets have {listed(given)}"
