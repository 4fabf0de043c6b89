"""The pages to follow by hand for the commands of the second day."""

from __future__ import annotations

from typing import Final

import msgspec

from runbooks import baseline, gates
from runbooks.cluster import node_settings
from runbooks.day2 import control_plane, cordons, kubelet, proxy, reboot, reconfigure, runtime
from runbooks.day2.control_plane import Changes
from runbooks.day2.kubelet import Kubelets
from runbooks.day2.reboot import BOOT_S, Turns
from runbooks.day2.reboot_steps import Reboots
from runbooks.day2.rules import reboots as rules
from runbooks.day2.runtime import Runtimes
from runbooks.engine.steps import Procedure, Step
from runbooks.inventory.model import Site
from runbooks.inventory.settings import OfNodes, Roles
from runbooks.inventory.settings_baseline import Baseline, Time
from runbooks.pages.examples import second
from runbooks.pages.page import Page
from runbooks.rules import baseline as baseline_rules
from runbooks.rules.kubeadm import parse
from runbooks.upgrade.context import Upgrade
from runbooks.upgrade.lb_steps import Pair
from runbooks.upgrade.rules import order, services
from runbooks.upgrade.rules.choices import Choices
from runbooks.view.cluster import Survey

EXAMPLE: Final = Baseline(
    time=Time(service="chrony", servers=("ntp.example.org",)),
    sysctls={"vm.max_map_count": "262144"},
    modules=("ip_vs",),
    hosts={"192.0.2.5": ("registry.example.org", "registry")},
    unattended_upgrades="keep-off",
)


def cordon(site: Site) -> Page:
    """One node."""
    host = site.nodes[-1]
    return Page(cordons.cordoned([host]), f"--host {host}")


def drain(site: Site) -> Page:
    """One node."""
    host = site.nodes[-1]
    return Page(cordons.drained(site, [host], Choices(to=parse(site.kubernetes.version))), f"--host {host}")


def uncordon(site: Site) -> Page:
    """One node."""
    host = site.nodes[-1]
    return Page(cordons.uncordoned([host]), f"--host {host}")


def reboots(site: Site) -> Page:
    """A worker, a control plane host and every load balancer; the first one holds the VIP."""
    choices = Choices(to=parse(site.kubernetes.version))
    masters = order.control_plane_order(site.control_plane, site.control_plane[0])
    hosts = rules.in_order({site.nodes[-1], second(site)}, masters, ())
    balancers = tuple(reversed(site.load_balancers))
    way = services.moves(balancers, balancers[-1], None, balancers)
    all_ = Reboots(Upgrade(site, choices.to, choices), Pair(site, {host: {} for host in balancers}), BOOT_S)
    names = ",".join(str(host) for host in (*hosts, *balancers))
    given = f"`inv cluster.verify` finds nothing, and {balancers[-1]} holds the VIP"
    return Page(reboot.procedure(all_, Turns(hosts, way)), f"--host {names}", given)


def reconfigured(site: Site) -> Page:
    """Everything on a worker, the whole control plane, kube-proxy; the worker has a label and a mirror of a registry."""
    to, worker, survey = parse(site.kubernetes.version), site.nodes[-1], Survey()
    one = Upgrade(site, to, Choices(to=to))
    given = msgspec.structs.replace(
        site,
        roles=Roles(worker=OfNodes(labels={"disk": "ssd"}, taints=("dedicated=gpu:NoSchedule",))),
        baseline=EXAMPLE if site.baseline == Baseline() else site.baseline,
    )
    items: list[Step] = [baseline.step(given, worker, part) for part in baseline_rules.parts(given)]
    items += [reconfigure.crictl(site, worker), node_settings.settle(survey, given, worker)]
    runtimes = Runtimes(one, {})
    items += [runtime.registries(runtimes, worker), *runtime.steps(runtimes, worker)]
    changes = Changes(one, "")
    first, *others = order.control_plane_order(site.control_plane, site.control_plane[0])
    items += [*control_plane.steps(changes, first), control_plane.upload(changes, first)]
    for host in others:
        items += control_plane.steps(changes, host)
    items += kubelet.steps(Kubelets(one, "", "", "", worker), list(dict.fromkeys([worker, first])))
    items += [*proxy.steps(site, survey, ""), gates.cluster_verified(site)]
    steps = Procedure("cluster.reconfigure", f"Bring {site.name} to what hosts.yaml says", items)
    words = "hosts.yaml has another baseline, other labels, registries, flags of the control plane, settings of kubelets and of kube-proxy"
    return Page(steps, given=f"{words}, and etcd's leader is on {site.control_plane[0]}")


DAY2: Final = (reconfigured, cordon, drain, uncordon, reboots)
