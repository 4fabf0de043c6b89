"""Whether a host's container runtime may be replaced: which kubelet a containerd serves, which configuration it takes. Pure."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from runbooks.commands.containerd import Config
from runbooks.commands.upgrade_kubeadm import Progress
from runbooks.errors import RunbookError
from runbooks.inventory.model import Host
from runbooks.rules.finding import Finding, unread
from runbooks.rules.upgrade_seen import Version, text
from runbooks.rules.upgrade_standing import NOT_READ, Standing
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


# ---- not now


def unrepaired(found: Sequence[Finding], begun: Collection[str]) -> list[Finding]:
    """Return the findings without those that going on repairs on a host of ``begun``: containerd does not run, and its kubelet waits for it.

    A kubelet that was stopped is not started by this command.
    """
    return [
        each
        for each in found
        if not (each.topic == "host" and each.host in begun and re.match(r"containerd is |kubelet is activating", each.seen))
    ]


def unfinished(state: Standing, progress: Mapping[Host, Progress | RunbookError], begun: Collection[str]) -> Iterator[Finding]:
    """Yield a failure for each reason to finish an upgrade of Kubernetes first, or to read what could not be read.

    Nodes whose kubelets are older than the control plane are none, as long as no node is in the middle. ``begun``: the hosts on which
    an earlier run of this command has begun; their kubelets may not run.
    """
    for host, each in progress.items():
        if isinstance(each, RunbookError):
            yield unread("upgrade", host, each)
        elif each.running or each.attempt:
            how = "is at work" if each.running else "was begun and has not ended well"
            yield _unfinished(state, f"kubeadm upgrade {each.attempt or each.word} {how}", host.name)
        elif each.lost:
            yield _unfinished(state, f"no manifest of {listed(each.lost)}", host.name)
    if state.state == "control plane" or state.begun:
        words = {"done": state.done, "in the middle": state.begun, "to go": state.left}
        told = "; ".join(f"{name}: {listed(hosts)}" for name, hosts in words.items() if hosts)
        yield _unfinished(state, f"an upgrade of Kubernetes to {text(state.to)} is half done; {told}")
    elif state.state not in {"whole", "nodes"} and not _expected(state, begun):
        yield Finding("fail", topic="upgrade", seen=state.why, fix="inv upgrade.status")


def _unfinished(state: Standing, seen: str, host: str = "") -> Finding:
    return Finding("fail", topic="upgrade", host=host, seen=seen, fix=f"finish it first: inv upgrade.run --to {text(state.to)}")


def _expected(state: Standing, begun: Collection[str]) -> bool:
    """Return whether all that is not known of the versions is on hosts on which this command has begun."""
    hosts = {each.partition(" on ")[2] for each in state.missing}
    return state.state == "unknown" and state.why.startswith(NOT_READ) and bool(hosts) and hosts <= set(begun)
