"""From what was seen to the values of hosts.yaml, with a comment where something was guessed. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from fnmatch import fnmatchcase
from typing import Any, Final

from runbooks.commands import yaml_text
from runbooks.inventory.words import NAME
from runbooks.inventory.written import Noted
from runbooks.rules.kubeadm_args import KEPT
from runbooks.site.adopt.rules import balancers, hosts, pods, proxy
from runbooks.site.adopt.rules.seen import Seen
from runbooks.text import listed

GUESS: Final = "guessed:"
DEFAULT_IMAGES: Final = {"registry.k8s.io", "k8s.gcr.io"}  # kubeadm's own, by version
PROGRAMS: Final = {
    "kube-apiserver": "api_server",
    "kube-controller-manager": "controller_manager",
    "kube-scheduler": "scheduler",
    "etcd": "etcd",
}
LOGS: Final = {"max_age_days": "audit-log-maxage", "max_backups": "audit-log-maxbackup", "max_size_mb": "audit-log-maxsize"}
# What kubeadm adds by itself to its own ClusterConfiguration: it is in no hosts.yaml, and no difference.
OF_KUBEADM: Final = {"kube-apiserver": {"authorization-mode"}}


def draft(seen: Seen, ssh: Mapping[str, object], own: Mapping[str, Mapping[str, object]]) -> dict[str, object]:
    """Return the values of hosts.yaml for what was seen. ``ssh``: how everything was reached; ``own``: hosts that were reached otherwise.

    What cannot be known is left to the defaults of docs/site.md, or stands there without a value: then `inv site.check` names it.
    """
    where = seen.endpoint
    found = {
        "name": _name(str(seen.cluster.part("clusterName")) or "kubernetes"),
        "endpoint": {
            "vip": Noted(where.vip, f"{GUESS} what {where.name} is on {where.asked}") if where.name else where.vip,
            "port": where.port,
            "name": where.name or None,
        },
        "networks": {"management": hosts.management(seen), **_networks(seen)},
        "kubernetes": _kubernetes(seen),
        "baseline": proxy.settings(seen),
        "load_balancer": balancers.settings(seen),
        "ssh": ssh,
        "backup": {"directory": Noted("backup", f"{GUESS} beside this file; see docs/backup.md")},
        "hosts": [each | ({"ssh": own[name]} if (name := str(plain(each["name"]))) in own else {}) for each in hosts.hosts(seen)],
    }
    return {key: _known(each) for key, each in found.items()}


def _known(tree: Any) -> Any:
    """Return ``tree`` without the keys that have no value; one with a comment stays, so that somebody writes it."""
    if isinstance(tree, Mapping):
        return {key: _known(each) for key, each in tree.items() if each is not None}
    return [_known(each) for each in tree] if isinstance(tree, list) else tree


def _name(given: str) -> object:
    """Return the site's name: the cluster's, in the letters that hosts.yaml takes."""
    fitting = re.sub(r"[^a-z0-9]+", "-", given.lower()).strip("-")[:63].strip("-") or "kubernetes"
    return fitting if re.search(NAME, given) else Noted(fitting, f"the cluster is called {given}, which hosts.yaml does not take")


def _networks(seen: Seen) -> dict[str, object]:
    family = seen.endpoint.vip.version
    given, services = str(seen.cluster.part("networking.podSubnet")), str(seen.cluster.part("networking.serviceSubnet"))
    network: object = pods.first_of(given, family)
    if not network:
        around = pods.around(seen.cluster, family)
        said = (
            "kubeadm was not told one; the subnets of the nodes are in this one"
            if around
            else "kubeadm was not told one: write it here"
        )
        network = Noted(around, f"{GUESS} {said}" if around else said)
    elif "," in given:
        network = Noted(network, f"of {given}: this tool knows one family")
    chosen = pods.first_of(services, family)
    return {"pods": network, "services": Noted(chosen, f"of {services}") if "," in services else chosen}


def _kubernetes(seen: Seen) -> dict[str, object]:
    cluster, settings = seen.cluster, seen.cluster.settings
    images = str(cluster.part("imageRepository"))
    manager = pods.manager(cluster)
    kubelet = yaml_text.mapping(settings.kubelet) if settings.kubelet else {}
    driver = kubelet.get("cgroupDriver")
    looks = [each.look for each in seen.read().values()]
    roots = {each.containerd_root for each in looks if each.containerd_root} or {""}
    return {
        "version": str(cluster.part("kubernetesVersion")).removeprefix("v"),
        "domain": str(cluster.part("networking.dnsDomain")) or None,
        "etcd": "external" if settings.external_etcd else "stacked",
        **_data_dir(seen),
        "cni": Noted("none", f"{manager or 'the pod network'} is there already, and nothing installs it again"),
        "addons": {"coredns": "coredns" in cluster.deployments, "kube_proxy": bool(settings.proxy_words)},
        "image_repository": images if images and images not in DEFAULT_IMAGES else None,
        "cgroup_driver": driver or Noted("cgroupfs", f"{GUESS} the kubelet's own default; its configuration names none"),
        "swap": "keep" if kubelet.get("failSwapOn") == "false" else "off",
        "containerd": {
            "root": min(roots) or None,
            "restrict_oom_score_adj": any(each.oom_restricted for each in looks),
        },
        "audit": _audit(seen),
        "extra_args": _extra_args(seen),
    }


def _data_dir(seen: Seen) -> dict[str, object]:
    """Return where etcd has its data."""
    given = str(seen.cluster.part("etcd.local.dataDir"))
    return {"etcd_data_dir": given} if given else {}


def _audit(seen: Seen) -> dict[str, object]:
    given = dict(seen.cluster.settings.args.get("kube-apiserver", ()))
    return {key: int(given[flag]) for key, flag in LOGS.items() if re.fullmatch(r"0*[1-9]\d{0,8}", given.get(flag, ""), re.ASCII)}


def _extra_args(seen: Seen) -> dict[str, object]:
    """Return the flags that somebody has given to the control plane; those that hosts.yaml sets by another key, or refuses, are left out."""
    found: dict[str, object] = {}
    for component, given in seen.cluster.settings.args.items():
        program = PROGRAMS[component]
        flags = {name: value for name, value in given if not refused(program, name) and name not in OF_KUBEADM.get(component, ())}
        names = [name for name, _ in given if name in flags]
        twice = sorted({name for name in names if names.count(name) > 1})
        found[program] = Noted(flags, f"{listed(twice)}: given more than once; the last one counts here") if twice else flags
    return {program: flags for program, flags in found.items() if flags}


def refused(program: str, flag: str) -> bool:
    """Whether hosts.yaml does not take ``flag`` below extra_args: another key sets it, or kubeadm does.

    >>> refused("api_server", "audit-log-path"), refused("api_server", "v")
    (True, False)
    """
    return any(fnmatchcase(flag.replace("_", "-"), pattern) for pattern, _ in KEPT[program])


def comments(tree: Any, key: str = "") -> Iterator[tuple[str, str]]:
    """Yield the key of each value with a comment, and the comment; hosts by their place, from 0."""
    if isinstance(tree, Noted):
        yield key, tree.comment
        yield from comments(tree.value, key)
    elif isinstance(tree, Mapping):
        for name, each in tree.items():
            yield from comments(each, f"{key}.{name}" if key else str(name))
    elif isinstance(tree, list | tuple):
        for number, each in enumerate(tree):
            yield from comments(each, f"{key}[{number}]")


def plain(tree: Any) -> Any:
    """Return ``tree`` without the comments."""
    if isinstance(tree, Noted):
        return plain(tree.value)
    if isinstance(tree, Mapping):
        return {key: plain(each) for key, each in tree.items()}
    return [plain(each) for each in tree] if isinstance(tree, list | tuple) else tree
