"""How one node differs from hosts.yaml: files that this tool writes there, kernel, packages. For `inv cluster.diff`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from runbooks.cluster import runtime
from runbooks.cluster.files import node_files
from runbooks.cluster.runtime_files import config_for, containerd_file
from runbooks.commands import containerd, files
from runbooks.commands.base import Secret
from runbooks.commands.baseline import Seen
from runbooks.commands.files import File, Found
from runbooks.commands.node import NodeState
from runbooks.commands.prepare import CONTAINERD_CONFIG
from runbooks.commands.runtime_files import PROXIED, Proxied
from runbooks.commands.setup_look import Setup
from runbooks.day2.rules import difference as rules
from runbooks.day2.rules.difference import Difference, Topic
from runbooks.inventory.model import Host, Site
from runbooks.rules import baseline, baseline_files, host_setup
from runbooks.rules import cluster as cluster_rules
from runbooks.rules.kubeadm import AUDIT_POLICY

PAUSE = "PAUSE"


@dataclass(frozen=True, slots=True)
class Node:
    """What a node has. ``proxies``: those of its services."""

    files: dict[str, Found]
    setup: Setup
    state: NodeState
    proxies: Mapping[str, Proxied] = field(default_factory=dict)


def of_host(site: Site, host: Host, node: Node, passwords: Mapping[str, Secret] | None) -> list[Difference]:
    """Return how ``host`` differs. Without ``passwords`` of registries, the file that has them is not compared."""
    found = []
    there, setup, state = node.files, node.setup, node.state
    fix = f"inv cluster.reconfigure --only hosts --host {host}"
    wanted = _wanted_files(site, host, setup, state, there, passwords)
    for file in files.differing(wanted, there):
        topic, own = _brought_about(host, file.path)
        how, own = standing(host, file.path, there, own)
        diff = rules.masked(f"{host}:\n{files.diff(file, there.get(file.path))}")
        found.append(Difference(topic, host=host.name, key=file.path, there=how, wanted="as rendered", fix=own, diff=diff))
    known = [*wanted, containerd_file(site, PAUSE, 1)]
    for path in runtime.compared(known, there).remove:
        topic, own = _brought_about(host, path)
        found.append(Difference(topic, host=host.name, key=path, there="there", fix=own))
    if not {each.key for each in found} & {*runtime.PROXY_PARTS}:  # else the services cannot have it yet
        found += _of_proxy(site, host, node.proxies)
    return [*found, *_of_kernel(site, host, setup, fix), *_of_packages(site, host, state, setup)]


def standing(host: Host, path: str, there: Mapping[str, Found], fix: str) -> tuple[str, str]:
    """Return how a file that differs stands on ``host``, and what brings it about: ``fix``, after a link was made a file by a person."""
    if files.links([path], there):
        return "a symbolic link", f"{files.without_link(host, path)}; then {fix}"
    return "missing" if path not in there else "different", fix


def _of_proxy(site: Site, host: Host, proxies: Mapping[str, Proxied]) -> list[Difference]:
    """Return which services of ``host`` run with another proxy, though their files are right."""
    fix = f"inv cluster.reconfigure --only containerd --host {host}"
    return [
        Difference(
            "containerd", host=host.name, key=f"proxy of {unit}", there="another one", wanted="baseline.proxy", why=why, fix=fix
        )
        for unit in PROXIED
        if (why := runtime.unlike(site, proxies, [unit]))
    ]


def of_baseline(site: Site, host: Host, seen: Seen) -> list[Difference]:
    """Return how a node or a load balancer differs from `baseline` in hosts.yaml, and what is left there of an earlier one."""
    command = f"inv cluster.reconfigure --only hosts --host {host}" if host.is_node else "inv lb.setup"
    changed = {file.path: file for part in baseline_files.PARTS for file in baseline_files.of(site, seen, part).written}
    found = []
    for each in baseline.off(site, seen):
        file, fix = changed.get(each.path), f"on {host}: {each.by_hand}" if each.by_hand else command
        diff = rules.masked(f"{host}:\n{files.diff(file, seen.files.get(each.path))}") if file else ""
        found.append(Difference("hosts", host=host.name, key=each.key, there=each.there, wanted=each.wanted, fix=fix, diff=diff))
    return found


def _brought_about(host: Host, path: str) -> tuple[Topic, str]:
    """Return the topic of a file on a node, and what brings it about."""
    if path == AUDIT_POLICY:
        return "control-plane", f"inv cluster.reconfigure --only control-plane --host {host}"
    if runtime.is_of_runtime(path):
        return "containerd", f"inv cluster.reconfigure --only containerd --host {host}"
    return "hosts", f"inv cluster.reconfigure --only hosts --host {host}"


def _wanted_files(
    site: Site, host: Host, setup: Setup, state: NodeState, there: dict[str, Found], passwords: Mapping[str, Secret] | None
) -> list[File]:
    """Return the files of ``host``. containerd's may have any pause image, and the form of its version or an older one."""
    pause, major = setup.containerd.sandbox or PAUSE, containerd.major(state.packages) or 1
    wanted = [file for file in node_files(site, host, pause, major) if file.path != CONTAINERD_CONFIG]
    if passwords is None:
        return wanted
    return [*wanted, config_for(site, there.get(CONTAINERD_CONFIG), pause, major, setup.containerd.cni, passwords)]


def _of_kernel(site: Site, host: Host, setup: Setup, fix: str) -> list[Difference]:
    found = []
    if why := host_setup.not_ready(setup, swap=site.kubernetes.swap, member=True):
        found.append(Difference("hosts", host=host.name, key="kernel", there=why, wanted="as cluster.prepare sets it", fix=fix))
    for why in host_setup.beyond(setup, swap=site.kubernetes.swap):
        found.append(
            Difference(
                "hosts", host=host.name, key="kernel", there=why, wanted="as cluster.prepare sets it", fix=f"on {host}, by hand"
            )
        )
    return found


def _of_packages(site: Site, host: Host, state: NodeState, setup: Setup) -> list[Difference]:
    found = []
    if other := cluster_rules.other_version(state, site.kubernetes.version):
        version = site.kubernetes.version
        found.append(
            Difference(
                "versions", host=host.name, key="kubelet", there=other, wanted=version, fix=f"inv upgrade.run --to {version}"
            )
        )
    for name in setup.loose:
        found.append(
            Difference(
                "versions",
                host=host.name,
                key=f"package {name}",
                there="not held",
                wanted="held",
                fix=f"inv cluster.prepare --host {host}",
            )
        )
    return found
