"""Which of kubeadm's own checks an upgrade is told to ignore, each for a reason that is known beforehand. Pure. Never any other.

Official source: https://kubernetes.io/docs/reference/setup-tools/kubeadm/kubeadm-upgrade/ , and cmd/kubeadm/app in the source of 1.20.2 and of
1.31 to 1.36: phases/upgrade/preflight.go (CoreDNS), preflight/checks.go (RunUpgradeChecks, RunPullImagesCheck). `upgrade plan` and
`upgrade apply` look at CoreDNS; apply and `upgrade node` at the images, and from 1.33 on at the host (SystemVerification). A name that a
command does not know changes nothing there.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from runbooks.inventory.model import Site
from runbooks.rules.kubeadm_checks import accepts_cgroup_v1

Version = tuple[int, int, int]

COREDNS = ("CoreDNSUnsupportedPlugins", "CoreDNSMigration")


@dataclass(frozen=True, slots=True)
class Ignored:
    """One check of kubeadm's that is to be ignored. ``cgroup``: only on a host with these cgroups ("v1"); "" for every host."""

    check: str
    why: str
    cgroup: str = ""


def ignored(site: Site, target: Version, *, images_there: bool = False) -> tuple[Ignored, ...]:
    """Return the checks that kubeadm of the version ``target`` has to be told to ignore when the cluster of ``site`` is upgraded.

    - CoreDNS, where the addon is off: kubeadm looks at its version even where ``dns.disabled: true`` says that there is none.
    - SystemVerification, from 1.35 on where the site says ``failCgroupV1: false``, for hosts with cgroup v1: see
      `kubeadm_checks.accepts_cgroup_v1`. In an upgrade kubeadm asks it for the minor version after that of the kubelet on the host.
    - ImagePull, where an addon is off and ``images_there`` says that every image that the host needs was seen on it: kubeadm also wants
      the addon's (before 1.31, and later where its configuration does not say ``disabled``), which a registry of one's own may not have.
      Without ``images_there`` it is never ignored: the check is the only thing that notices that an image of the control plane is missing.
    """
    addons = site.kubernetes.addons
    found = (
        []
        if addons.coredns
        else [Ignored(name, "hosts.yaml says addons.coredns: false: there is none to be upgraded") for name in COREDNS]
    )
    if accepts_cgroup_v1(site, target):
        found.append(
            Ignored(
                "SystemVerification",
                "hosts.yaml says kubelet.failCgroupV1: false, and kubeadm refuses cgroup v1 all the same",
                "v1",
            )
        )
    off = [name for name, on in (("CoreDNS", addons.coredns), ("kube-proxy", addons.kube_proxy)) if not on]
    if off and images_there:
        found.append(
            Ignored(
                "ImagePull", f"kubeadm may also want the image of {' and '.join(off)}, which is off; all others are on the host"
            )
        )
    return tuple(found)


def flags(found: Sequence[Ignored], cgroup: str) -> tuple[str, ...]:
    """Return the flag for `kubeadm upgrade plan`, `apply` and `node` on a host with these cgroups ("v1" or "v2"), none for nothing.

    >>> flags([Ignored("A", "x"), Ignored("B", "y", "v1")], "v1"), flags([Ignored("B", "y", "v1")], "v2")
    (('--ignore-preflight-errors=A,B',), ())
    """
    names = [each.check for each in found if each.cgroup in {"", cgroup}]
    return (f"--ignore-preflight-errors={','.join(names)}",) if names else ()
