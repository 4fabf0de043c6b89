"""Which nodes get new settings of their container runtime, in which order, and whether it is the time for it."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Final

from runbooks.cluster.runtime import Left
from runbooks.commands import kubeadm_config, node, prepare, runtime_dump, settings_look
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
from runbooks.upgrade import gate, nodes
from runbooks.upgrade.context import Upgrade
from runbooks.upgrade.forecast import leading
from runbooks.upgrade.rules import order
from runbooks.upgrade.rules.choices import Choices
from runbooks.upgrade.rules.customised import KUBELET_CONFIG

TOPIC: Final = "containerd"
Items = list[Step | Together]


def of_hosts(run: Run, hosts: Sequence[Host], choices: Choices, *, drop: bool, asked: bool) -> tuple[Items, Items]:
    """Return the steps that restart nothing, and those that do; both are [] when nothing differs. Hosts that are no members are left out.

    Raises PrecheckError when it is no time for them, and for settings that somebody has written by hand: without ``drop``, and only when the
    topic was ``asked`` for by name; else their hosts are left as they are.
    """
    site = run.site
    all_ = Runtimes(Upgrade(site, choices.to, choices), registry_logins.passwords(site))
    members = [host for host, state in run.read_all({host: node.look(host) for host in hosts}).items() if state.joined]
    run.read_all(dict.fromkeys(members, prepare.runtime()))  # all at the same time
    noted = in_work.noted(run, "containerd")
    DRAINS.refuse(DRAINS.left_out(hosts, noted))
    left = {host: runtime.left(all_, run, host) for host in members}
    if not drop:
        left = _untouched(all_, run, left, asked=asked)
    DRAINS.refuse(_impossible(run, site, left))
    due = [host for host in left if host in noted or not runtime.arrived(all_, run, host)]
    quiet = [host for host, each in left.items() if each and host not in due]
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
    items: Items = [] if noted else [gate.pods_start(one, site.control_plane[0])]
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


def _impossible(run: Run, site: Site, left: Mapping[Host, Left]) -> Iterator[Finding]:
    """Yield a failure for each host that cannot have the settings: a containerd that is too old, or what cannot change on a member."""
    for host, each in left.items():
        if not each:
            continue
        version = runtime_limits.numbers(run.read(host, node.look(host)).packages)
        if why := runtime_limits.too_old(site, version):
            yield Finding("fail", topic=TOPIC, host=host.name, seen=why, fix=f"inv upgrade.containerd --only {host}")
        if CONTAINERD_CONFIG in each.paths:
            yield from _fixed(run, site, host)


def _fixed(run: Run, site: Site, host: Host) -> Iterator[Finding]:
    """Yield what of containerd's file cannot change on a member."""
    again = f"inv cluster.remove --host {host}; then inv cluster.prepare and inv cluster.join"
    wanted = site.kubernetes.containerd.root
    root = _root(run, host)
    if root != wanted:
        seen = f"containerd keeps images and containers in {root}, and hosts.yaml says {wanted}: with another directory it finds none of them"
        yield Finding(
            "fail", topic=TOPIC, host=host.name, seen=seen, fix=f"{again}; or write {root} as kubernetes.containerd.root"
        )
    kubelet = run.read(host, settings_look.look()).files.get(KUBELET_CONFIG, "")
    kubelet_map = kubeadm_config.kubelet_map(minor_of(site))
    yield from cgroup_driver.refusals(TOPIC, site.kubernetes.cgroup_driver, kubelet_map, "", {host.name: kubelet})


def _root(run: Run, host: Host) -> str:
    try:
        return str(run.read(host, runtime_dump.look()).get("root", ""))
    except RunbookError:  # an interrupted run has left a file that containerd cannot read
        return run.site.kubernetes.containerd.root
