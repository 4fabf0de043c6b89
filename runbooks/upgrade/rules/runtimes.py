"""Whether a host's container runtime may be replaced: which kubelet a containerd serves, which configuration it takes. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from runbooks.commands.containerd import Config
from runbooks.rules.upgrade_seen import Version, text
from runbooks.text import listed

TOPIC: Final = "containerd"


@dataclass(frozen=True, slots=True)
class Interface:
    """A version of the CRI: the versions of containerd and the minor versions of the kubelet that speak it. ``until``: the first without it."""

    name: str
    containerd: tuple[int, int]
    containerd_until: tuple[int, int]
    kubelet: tuple[int, int]
    kubelet_until: tuple[int, int]


ENDLESS: Final = (1 << 30, 0)
# https://kubernetes.io/blog/2022/11/18/upcoming-changes-in-kubernetes-1-26/ : the kubelet of 1.26 asks for v1 only; v1 came with kubelet 1.23
# (https://github.com/kubernetes/kubernetes/pull/106006) and containerd 1.6.
# https://github.com/containerd/containerd/blob/main/docs/containerd-2.0.md : no v1alpha2 from containerd 2.0 on.
INTERFACES: Final = (
    Interface("v1alpha2", (0, 0), (2, 0), (0, 0), (1, 26)),
    Interface("v1", (1, 6), ENDLESS, (1, 23), ENDLESS),
)


def not_served(containerd: str, kubelet: Version) -> str:
    """Say why a package ``containerd`` of that version does not serve that ``kubelet``, "" when it does.

    >>> not_served("1.7.24~ds1-6", (1, 20, 2)), not_served("2.1.4-3.1.el9", (1, 23, 0))
    ('', '')
    >>> not_served("1:2.1.4-1", (1, 22, 17))
    'kubelet 1.22.17 speaks CRI v1alpha2, which containerd 2.1 does not serve'
    >>> not_served("1.5.18-1", (1, 26, 0))
    'kubelet 1.26.0 speaks CRI v1, which containerd 1.5 does not serve'
    """
    found = re.match(r"(?:\d+:)?(\d+)\.(\d+)", containerd)
    if not found:
        return f"which version of containerd the package {containerd} has is not known"
    version = (int(found[1]), int(found[2]))
    spoken = [each for each in INTERFACES if each.kubelet <= kubelet[:2] < each.kubelet_until]
    if any(each.containerd <= version < each.containerd_until for each in spoken):
        return ""
    names = listed(each.name for each in spoken)
    return f"kubelet {text(kubelet)} speaks CRI {names}, which containerd {version[0]}.{version[1]} does not serve"


def config_version(content: str) -> int:
    """Return the version of a configuration file of containerd; 1 when the file does not say.

    >>> config_version('version = 2'), config_version('# version = 3')
    (2, 1)
    """
    found = re.search(r"(?m)^\s*version\s*=\s*(\d+)", content)
    return int(found[1]) if found else 1


def unfit(config: Config, driver: str) -> str:
    """Say why no node works with this configuration, "" when one can. ``driver``: the cgroup driver of the kubelet."""
    reasons = (
        (config.invalid, f"containerd cannot read its configuration: {config.invalid}"),
        (config.disabled, f"containerd has the plugins {config.disabled} switched off, which the kubelet needs"),
        (not config.sandbox, "containerd does not say what its configuration is"),
        (config.ignored, f"containerd ignores the pause image of its file, {config.ignored}, and takes {config.sandbox}"),
        (config.cgroups != driver, f"containerd has the cgroup driver {config.cgroups}, and the kubelet has {driver}"),
    )
    return next((words for wrong, words in reasons if wrong), "")


def other_config(before: Config, after: Config) -> str:
    """Say what containerd makes of its configuration otherwise than ``before``: pause image, the pod network's programs and configuration.

    What a file does not say differs by package: Debian's containerd looks for these in /opt/cni/bin (1.6.20), /usr/lib/cni (1.7.24), or both (2.1.9).
    Nothing is compared when it is not known what it was before (no pause image). `unfit` says what is wrong in any case.
    """
    reasons = (
        (
            after.sandbox != before.sandbox,
            f"containerd takes the pause image {after.sandbox}, and not {before.sandbox} as before",
        ),
        (
            not {*before.cni} <= {*after.cni},
            f"containerd looks for the programs of the pod network (bin_dir) in {listed(after.cni) or 'no directory'}, and not in {listed(before.cni)} as before",
        ),
        (
            after.networks != before.networks,
            f"containerd looks for the pod network (conf_dir) in {after.networks or 'no directory'}, and not in {before.networks} as before",
        ),
    )
    return next((words for wrong, words in reasons if wrong and before.sandbox), "")
