"""The pages to follow by hand for drills."""

from __future__ import annotations

from runbooks.drill import steps
from runbooks.drill.course import Course
from runbooks.drill.rules.scenarios import Scenario, scenarios
from runbooks.inventory.model import Host, Site
from runbooks.pages.examples import second
from runbooks.pages.page import Page


def of(site: Site, scenario: Scenario) -> Page:
    """Return the page of one drill, on the host that the scenario takes when nobody names one."""
    host = _example(site, scenario)
    given = {"etcd's leader": f"{host} has etcd's leader", "the holder of the VIP": f"{host} holds the VIP"}.get(
        scenario.default, ""
    )
    return Page(steps.procedure(Course(site, scenario, host)), given=given)


def _example(site: Site, scenario: Scenario) -> Host:
    hosts = {"etcd's leader": second(site), "the holder of the VIP": site.load_balancers[0]}
    return hosts.get(scenario.default) or site.named("", scenario.role)[-1]


def heal(site: Site) -> Page:
    """Return the page of drill.heal, for one host."""
    host = second(site)
    return Page(steps.heal_all(site, (host,)), f"--host {host}", f"a drill is at work on {host}, and its command is gone")


def pages(site: Site) -> list[Page]:
    """Return the pages of all drills that this site can have."""
    stacked = site.kubernetes.etcd == "stacked"
    return [*(of(site, each) for each in scenarios(site) if stacked or not each.member), heal(site)]
