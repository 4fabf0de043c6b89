"""The pages to follow by hand, for the commands of the load balancers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from runbooks import baseline
from runbooks.commands.base import MASK, Secret
from runbooks.commands.haproxy import Maintenance
from runbooks.inventory.model import Host, Site
from runbooks.lb import failover, maintenance, steps
from runbooks.lb.files import lb_files
from runbooks.lb.rules.maintenance import Server
from runbooks.lb.wanted import Wanted
from runbooks.pages.page import Page


def wanted(site: Site, order: Sequence[Host] = ()) -> list[Wanted]:
    """Return the LBs' configurations, the standby's first unless ``order`` says otherwise. A VRRP password is masked."""
    secret = Secret(MASK) if site.load_balancer.vrrp.version == 2 else None
    hosts = order or tuple(reversed(site.load_balancers))
    return [Wanted(site, host, lb_files(site, host, secret)) for host in hosts]


def lb_setup(site: Site) -> Page:
    """Return the page of lb.setup; the first LB is the holder."""
    title = f"Set up the load balancers of {site.name}"
    order = wanted(site)
    procedure = steps.set_up("lb.setup", title, order, baseline.by_host(site, [each.host for each in order]))
    return Page(procedure, given=f"{site.load_balancers[0]} holds the VIP, or none does")


def lb_rollback(site: Site) -> Page:
    """Return the page of lb.rollback: the same steps with other files."""
    title = f"Bring back the configuration before the last change on {site.name}"
    return Page(steps.set_up("lb.rollback", title, wanted(site)), given=f"{site.load_balancers[0]} holds the VIP")


def lb_failover(site: Site) -> Page:
    """Return the page of lb.failover to the standby."""
    first, second = site.load_balancers[0], site.load_balancers[-1]
    return Page(
        failover.hand_over(site, second, None, every=bool(site.load_balancer.vips)), f"--to {second}", f"{first} holds the VIP"
    )


def lb_maintenance(site: Site) -> Page:
    """Return the page of lb.maintenance on, for the last control plane host."""
    server = Server("api", site.control_plane[-1].name)
    work = maintenance.Work((server,), Maintenance(0, "", ""), f"--server {server.name}")
    return Page(maintenance.procedure(site, work), f'on --server {server.name} --reason "..."', "another API server is up")


LB: Final = (lb_setup, lb_rollback, lb_failover, lb_maintenance)
