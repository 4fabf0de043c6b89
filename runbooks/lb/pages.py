"""The pages of the load balancers' commands."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from runbooks.commands.base import MASK, Secret
from runbooks.inventory.model import Host, Site
from runbooks.lb import failover
from runbooks.lb import steps as lb_steps
from runbooks.lb import wanted as lb_wanted
from runbooks.lb.files import lb_files
from runbooks.pages.page import Page


def wanted(site: Site, order: Sequence[Host] = ()) -> list[lb_wanted.Wanted]:
    """The LBs' configurations, the standby's first; a VRRP password is masked."""
    secret = Secret(MASK) if site.load_balancer.vrrp.version == 2 else None
    hosts = order or tuple(reversed(site.load_balancers))
    return [lb_wanted.Wanted(site, host, lb_files(site, host, secret)) for host in hosts]


def lb_setup(site: Site) -> Page:
    """Both LBs; the second one is the standby."""
    title = f"Set up the load balancers of {site.name}"
    return Page(lb_steps.set_up("lb.setup", title, wanted(site)), given=f"{site.load_balancers[0]} holds the VIP, or none does")


def lb_rollback(site: Site) -> Page:
    """The same steps with other files."""
    title = f"Bring back the configuration before the last change on {site.name}"
    return Page(lb_steps.set_up("lb.rollback", title, wanted(site)), given=f"{site.load_balancers[0]} holds the VIP")


def lb_failover_(site: Site) -> Page:
    """To the standby."""
    first, second = site.load_balancers[0], site.load_balancers[-1]
    return Page(failover.hand_over(site, second, None), f"--to {second}", f"{first} holds the VIP")


LB: Final = (lb_setup, lb_rollback, lb_failover_)
