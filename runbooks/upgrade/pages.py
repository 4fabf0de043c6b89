"""The pages to follow by hand for the commands that upgrade."""

from __future__ import annotations

from typing import Final

from runbooks.commands.upgrade_backups import MANIFESTS
from runbooks.inventory.model import Site
from runbooks.pages.examples import second
from runbooks.pages.page import Page
from runbooks.rules.kubeadm import parse
from runbooks.upgrade import containerd, lb, procedure, rollback
from runbooks.upgrade.containerd_state import Runtimes
from runbooks.upgrade.context import Upgrade
from runbooks.upgrade.lb_steps import UNITS, Pair
from runbooks.upgrade.procedure import Order
from runbooks.upgrade.rules import order as rules
from runbooks.upgrade.rules import services
from runbooks.upgrade.rules.choices import Choices
from runbooks.upgrade.rules.rollback import ETCD, ORDER, Back, Put
from runbooks.view.cluster import Survey


def run(site: Site) -> Page:
    """Every host of ``site``, to the next patch release of its version."""
    major, minor, patch = parse(site.kubernetes.version)
    to = (major, minor, patch + 1)
    masters = rules.control_plane_order(site.control_plane, site.control_plane[0])
    order = Order(masters, rules.workers(site.nodes), masters[0])
    steps = procedure.procedure(Upgrade(site, to, Choices(to=to)), order)
    given = f"nothing forbids the upgrade, a backup is fresh, and etcd's leader is on {site.control_plane[0]}"
    return Page(steps, f"--to {major}.{minor}.{patch + 1}", given)


def back(site: Site) -> Page:
    """One control plane host, whose etcd has another patch release than before."""
    host = second(site)
    pods = [*ORDER, *([] if site.kubernetes.etcd == "external" else [ETCD])]
    puts = tuple(Put(name=name, to=f"{MANIFESTS}/{name}.yaml") for name in pods)
    found = Back(to=(0, 0, 0), since=(0, 0, 0), pods=puts)
    return Page(
        rollback.procedure(site, host, found, Survey()), f"--host {host}", f"{host} was upgraded, and does not work as it should"
    )


def balancers(site: Site) -> Page:
    """The first LB holds the VIP."""
    order = tuple(reversed(site.load_balancers))
    pair = Pair(site, {host: dict.fromkeys(UNITS, "VERSION") for host in order})
    way = services.moves(order, order[-1], None, order)
    return Page(lb.procedure(pair, way, None), given=f"{order[-1]} holds the VIP, and both get new versions")


def runtimes(site: Site) -> Page:
    """Every node of ``site``."""
    choices = Choices(to=parse(site.kubernetes.version))
    hosts = (*rules.control_plane_order(site.control_plane, site.control_plane[0]), *rules.workers(site.nodes))
    new = {"containerd": "VERSION", "runc": "VERSION"}
    all_ = Runtimes(Upgrade(site, choices.to, choices), dict.fromkeys(hosts, new))
    given = f"`inv cluster.verify` finds nothing, no upgrade of Kubernetes is half done, and etcd's leader is on {site.control_plane[0]}"
    return Page(containerd.procedure(all_, hosts), given=given)


UPGRADE: Final = (run, back, balancers, runtimes)
