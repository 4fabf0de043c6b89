"""Preflight checks of what kubeadm's own preflight asks of a host, by version: kernel, its options, cgroups, programs. Pure.

Here they come before any host is prepared; kubeadm would say the same only afterwards.
"""

from __future__ import annotations

import re

from runbooks.commands.preflight_facts import PROGRAMS, Facts
from runbooks.inventory.model import Host, Site
from runbooks.rules import kubeadm_checks as kubeadm
from runbooks.rules.finding import Finding
from runbooks.rules.kubeadm import minor_of
from runbooks.rules.preflight_finding import fail, good, warn
from runbooks.text import listed

LISTED = {(5, 4), (5, 10), (5, 15)}  # with every kernel from 6.0 on: those that kubeadm 1.34 and newer does not warn about


def kernel(site: Site, host: Host, facts: Facts) -> Finding:
    """Fails below the kernel that kubeadm's SystemVerification asks for: 3.10, in 1.32 and 1.33 4.19. From 1.34 on kubeadm only warns."""
    parts, minor, version = re.match(r"(\d+)\.(\d+)", facts.kernel), minor_of(site), site.kubernetes.version
    if not parts:
        return warn(f"kernel {facts.kernel}", "this version cannot be parsed; kubeadm checks it again")
    found, oldest = (int(parts[1]), int(parts[2])), kubeadm.oldest_kernel(minor)
    text = f"{oldest[0]}.{oldest[1]} or newer"
    if found < oldest and minor < 34:
        return fail(f"kernel {facts.kernel}", f"Kubernetes {version} needs {text}: upgrade the host")
    if found < oldest:
        return warn(
            f"kernel {facts.kernel}, and kubeadm {version} knows {text}", "upgrade the host; kubeadm warns too, and goes on"
        )
    if minor >= 34 and found < (6, 0) and found not in LISTED:
        return Finding(
            "note", seen=f"kernel {facts.kernel}; kubeadm {version} warns about it, and goes on: it knows 5.4, 5.10, 5.15 and 6"
        )
    return good(facts.kernel)


def kernel_options(site: Site, host: Host, facts: Facts) -> Finding:
    """Fails when the kernel lacks an option that kubeadm's SystemVerification asks for, or when no file tells its options."""
    if facts.kernel_config == "configs":
        return warn("only the module `configs` tells the kernel's options", "modprobe configs, then inv cluster.preflight again")
    if not facts.kernel_config:
        release = facts.kernel
        return fail(
            "no file tells the kernel's options, and kubeadm stops without one",
            f"make /boot/config-{release} available (in a container: copy or mount it from the machine below)",
        )
    missing = kubeadm.lacking(kubeadm.options(minor_of(site), facts.cgroup), facts.kernel_options)
    if missing:
        return fail(
            f"the kernel lacks {listed(f'CONFIG_{name}' for name in missing)} (says {facts.kernel_config})",
            "use a kernel of the distribution, or build one with these options: kubeadm stops without them",
        )
    return good(f"as kubeadm wants them ({facts.kernel_config})")


def cgroup(site: Site, host: Host, facts: Facts) -> Finding:
    """Warns about cgroup v1 from Kubernetes 1.31 on; fails when the kubelet does not start on it: by default from 1.35 on.

    Official source: https://kubernetes.io/docs/concepts/architecture/cgroups/ and KEP 5573.
    """
    minor = minor_of(site)
    missing = kubeadm.controllers(minor, facts.cgroup) - facts.controllers
    unified = "boot with systemd.unified_cgroup_hierarchy=1"
    if missing == {"freezer"} and facts.cgroup == "v2":
        return fail(f"cgroup v2 that cannot freeze (kernel {facts.kernel})", "upgrade the kernel: Linux 5.2 and newer can")
    if missing:
        return fail(
            f"cgroup {facts.cgroup} without {listed(sorted(missing))}",
            "switch these controllers on (kernel command line, or delegation)",
        )
    if facts.cgroup == "v2" or minor < 31:
        return good(facts.cgroup)
    if not kubeadm.kubelet_takes_cgroup_v1(site, minor):
        given = site.kubernetes.kubelet.get("failCgroupV1")
        why = "with failCgroupV1: true" if given else f"of {site.kubernetes.version}"
        return fail(
            f"cgroup v1, on which the kubelet {why} does not start",
            f"{unified}, or set kubernetes.kubelet.failCgroupV1: false",
        )
    if minor < kubeadm.NO_V1:
        return warn("cgroup v1, which is no longer developed", unified)
    return warn(
        "cgroup v1, which the kubelet accepts only because of failCgroupV1: false; kubeadm is told to accept it, too",
        f"{unified}: a later version drops cgroup v1",
    )


def programs(site: Site, host: Host, facts: Facts) -> Finding:
    """Fails when a program that kubeadm asks for is missing, and no package that cluster.prepare could install is on offer."""
    offered = {name for name, _ in facts.packages.offered}
    missing = [name for name in kubeadm.programs(minor_of(site)) if name not in facts.programs]
    lost = [name for name in missing if not offered & {*PROGRAMS[name]}]
    if lost:
        packages = listed(dict.fromkeys(" or ".join(dict.fromkeys(PROGRAMS[name])) for name in lost))
        return fail(
            f"no {listed(lost)}, and no repository offers the package",
            f"add a repository that has {packages}: kubeadm stops without it",
        )
    return good(f"cluster.prepare installs {listed(missing)}" if missing else "those that kubeadm asks for are there")
