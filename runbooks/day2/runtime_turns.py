"""Which nodes get new settings of their container runtime, in which order, and whether it is the time for it."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Final

from runbooks.cluster.runtime import Left
from runbooks.commands import files, kubeadm_config, node, prepare, runtime_dump, settings_look
from runbooks.commands.prepare import CONTAINERD_CONFIG
from runbooks.day2 import in_work, runtime
from runbooks.day2.in_work import DRAINS
from runbooks.day2.rules import cgroup_driver
from runbooks.day2.runtime import Runtimes
from runbooks.engine.steps import Run, Step, Together
from runbooks.errors import RunbookError
from runbooks.inventory.model import Host, Site
from runbooks.local import registry_logins
from runbooks.rules import runtime_limits
from runbooks.rules.finding import Finding
from runbooks.rules.kubeadm import minor_of
from runbooks.text import first_few
from runbooks.upgrade import nodes, pod_proof
from runbooks.upgrade.context import Upgrade
from runbooks.upgrade.forecast import leading
from runbooks.upgrade.rules import order
from runbooks.upgrade.rules.choices import Choices
from runbooks.upgrade.rules.customised import KUBELET_CONFIG

TOPIC: Final = "containerd"
Items = list[Step | Together]


def of_hosts(run: Run, hosts: Sequence[Host], choices: Choices, *, drop: bool, asked: bool) -> tuple[Items, Items]:
    """Return the steps that restart nothing, and those that do; both are [] when nothing differs. Hosts that are no members are left out.

    Raises PrecheckError when it is no time for them, and for a host that cannot have the settings, or where somebody has written some by hand
    (without ``drop``): only when the topic was ``asked`` for by name, or an interrupted run has begun there; else it is left as it is.
    """
    site = run.site
    all_ = Runtimes(Upgrade(site, choices.to, choices), registry_logins.passwords(site))
    members = [host for host, state in run.read_all({host: node.look(host) for host in hosts}).items() if state.joined]
    run.read_all(dict.fromkeys(members, prepare.runtime()))  # all at the same time
    noted = in_work.noted(run, "containerd")
    DRAINS.refuse(DRAINS.left_out(hosts, noted))
    left = {host: runtime.left(all_, run, host) for host in members}
    left = _left_out(run, left, list(_impossible(run, site, left)), must=left if asked else noted)
    if not drop:
        left = _untouched(all_, run, left, asked=asked)
    DRAINS.refuse(_other_driver(run, site, left))
    due = [host for host in left if host in noted or not runtime.arrived(all_, run, host)]
    quiet = _written_at_once(all_, run, left)
    written: Items = [Together(tuple(runtime.registries(all_, host) for host in quiet))] if quiet else []
    return written, _restarts(all_, run, due, noted, whole=len(due) == len(members)) if due else []


def _restarts(all_: Runtimes, run: Run, due: Sequence[Host], noted: Collection[Host], *, whole: bool) -> Items:
    """Return the steps of the nodes that are ``due``. ``whole``: that is every node, so the first one proves the settings for all."""
    site = run.site
    others = [host for host in in_work.in_work(run) if host not in noted]
    DRAINS.refuse(nodes.drained(site, DRAINS.objects(run, all_.one), [*noted, *others]))
    first, _, state = DRAINS.look(run, [*noted, *others])
    begun = nodes.out_of_service(site, first.health, noted)
    one = Upgrade(site, state.to or all_.one.to, all_.one.choices, survey=first.survey)
    names = {host.name for host in noted}
    masters = order.control_plane_order(site.control_plane, leading(first.view), names)
    turns = sorted((*order.workers(site.nodes, names), *masters), key=lambda host: host not in noted)
    ordered = [host for host in turns if host in due]
    DRAINS.refuse(nodes.stopped(one, DRAINS.objects(run, one), [host for host in ordered if host not in begun]))
    all_ = replace(all_, one=one, canary=ordered[0] if whole and not noted else None)
    items: Items = [] if noted else [pod_proof.pods_start(one, site.control_plane[0])]
    for host in ordered:
        items += runtime.steps(all_, host)
    return items


def _untouched(all_: Runtimes, run: Run, left: Mapping[Host, Left], *, asked: bool) -> dict[Host, Left]:
    """Return the hosts without settings of somebody's hand. Raises PrecheckError for the others when the topic was ``asked`` for."""
    lines = {host: found for host in left if (found := runtime.by_hand_lines(all_, run, host))}
    if asked:
        DRAINS.refuse(in_work.vanish(TOPIC, host, found, "kubernetes.containerd") for host, found in lines.items())
    for host, found in lines.items():
        words = "; ".join(first_few(found, 4))
        run.listener.say(f"{host}: {CONTAINERD_CONFIG} is left as it is, somebody has written it by hand: {words}")
    return {host: each for host, each in left.items() if host not in lines}


def _written_at_once(all_: Runtimes, run: Run, left: Mapping[Host, Left]) -> list[Host]:
    """Return the hosts where only that differs for which nothing is restarted, those with a proved note too: their other steps do nothing."""
    return [host for host, each in left.items() if each.only_quiet() and runtime.arrived(all_, run, host)]


def _left_out(run: Run, left: Mapping[Host, Left], found: Sequence[Finding], *, must: Collection[Host]) -> dict[Host, Left]:
    """Return the hosts without a failure in ``found``, and say which others are left as they are. Raises PrecheckError for those of ``must``."""
    names = {host.name for host in must}
    DRAINS.refuse(each for each in found if each.host in names)
    for each in found:
        run.listener.say(f"{each.host}: its container runtime is left as it is: {each.seen} -> {each.fix}")
    return {host: each for host, each in left.items() if host.name not in {finding.host for finding in found}}


def _impossible(run: Run, site: Site, left: Mapping[Host, Left]) -> Iterator[Finding]:
    """Yield a failure for each host that cannot have the settings: a link in place of a file, a containerd that is too old, another root directory."""
    for host, each in left.items():
        if not each:
            continue
        if there := files.links((file.path for file in each.place), each.there):
            yield Finding(
                "fail", topic=TOPIC, host=host.name, seen=files.not_files(there), fix=files.without_link(host, there[0])
            )
            continue  # what such a file says is not known
        version = runtime_limits.numbers(run.read(host, node.look(host)).packages)
        if why := runtime_limits.too_old(site, version):
            yield Finding("fail", topic=TOPIC, host=host.name, seen=why, fix=f"inv upgrade.containerd --only {host}")
        if CONTAINERD_CONFIG in each.paths:
            yield from _other_root(run, site, host)


def _anew(host: Host) -> str:
    return f"inv cluster.remove --host {host}; then inv cluster.prepare and inv cluster.join"


def _other_root(run: Run, site: Site, host: Host) -> Iterator[Finding]:
    wanted, root, again = site.kubernetes.containerd.root, _root(run, host), _anew(host)
    if root != wanted:
        seen = f"containerd keeps images and containers in {root}, and hosts.yaml says {wanted}: with another directory it finds none of them"
        yield Finding(
            "fail", topic=TOPIC, host=host.name, seen=seen, fix=f"{again}; or write {root} as kubernetes.containerd.root"
        )


def _other_driver(run: Run, site: Site, left: Mapping[Host, Left]) -> Iterator[Finding]:
    """Yield a failure for each host whose kubelet has another cgroup driver. Such a host is never left out: the kubelet's settings would get the driver."""
    files = {
        host.name: run.read(host, settings_look.look()).files.get(KUBELET_CONFIG, "")
        for host, each in left.items()
        if CONTAINERD_CONFIG in each.paths
    }
    kubelet_map = kubeadm_config.kubelet_map(minor_of(site))
    yield from cgroup_driver.refusals(TOPIC, site.kubernetes.cgroup_driver, kubelet_map, "", files)


def _root(run: Run, host: Host) -> str:
    try:
        return str(run.read(host, runtime_dump.look()).get("root", ""))
    except RunbookError:  # an interrupted run has left a file that containerd cannot read
        return run.site.kubernetes.containerd.root
