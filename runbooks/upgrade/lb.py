"""`inv upgrade.lb`: HAProxy and keepalived of the load balancers, the standby first.

Never works on the LB that holds the VIP, and never on two at a time. The new programs have checked the configuration of every LB before
the first package is installed.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from runbooks.commands import service_packages as commands
from runbooks.commands.service_packages import Choice, Services
from runbooks.engine.steps import Procedure, Run, Step, Together
from runbooks.errors import PrecheckError
from runbooks.inventory.model import Host, Site
from runbooks.lb.failover import can_hold, comes_back, empties, observer, take_over
from runbooks.rules import lb as lb_rules
from runbooks.text import listed
from runbooks.upgrade.lb_steps import (
    LOOK,
    UNITS,
    Pair,
    all_arrived,
    forget,
    pair_is_whole,
    remember,
    serves_again,
    settle,
    try_new,
    upgrade,
    was_holder,
)
from runbooks.upgrade.rules import services as rules
from runbooks.upgrade.rules.services import Moves

if TYPE_CHECKING:
    from runbooks.engine.session import Session


def upgrade_lb(session: Session, to_haproxy: str, to_keepalived: str) -> None:
    """Upgrade the packages of all load balancers. Raises PrecheckError when a version is not offered, or an LB has no HAProxy."""
    run, site = session.run, session.site
    asked = {"haproxy": to_haproxy, "keepalived": to_keepalived}
    pair = Pair(site, versions(run, site, asked))
    found = pair.states(run)
    states = {host: state for host, (_, state) in found.items()}
    holder = next((host for host in site.load_balancers if states[host].holds_vip), None)
    if not holder:
        raise PrecheckError("no load balancer holds the VIP; nothing was changed", hint="inv recover.vip; inv lb.status")
    noted = run.read_all({host: was_holder() for host in site.load_balancers})
    origin = next((host for host, before in noted.items() if before), None)
    due = [host for host, (seen, state) in found.items() if pair.lacking(seen, state, host)]
    way = rules.moves(lb_rules.change_order(site.load_balancers, states), holder, origin, due)
    session.carry_out(procedure(pair, way, observer(run) if way.away or way.back or site.load_balancer.vips else None, origin))


def versions(run: Run, site: Site, asked: Mapping[str, str]) -> dict[Host, dict[str, str]]:
    """Return the versions that each LB is to have. Says which repositories cannot be used, and where versions differ."""
    seen: dict[Host, Services] = run.read_all(dict.fromkeys(site.load_balancers, LOOK))
    offers: dict[Host, Choice] = run.read_all({host: commands.choice(UNITS) for host in site.load_balancers})
    found = {}
    for host, services in seen.items():
        if missing := [name for name in UNITS if name not in services.known]:
            raise PrecheckError(f"{host}: {listed(missing)} is not installed, or only in part", hint="inv lb.setup")
        for each in offers[host].broken:
            run.listener.say(f"{host}: the package repository {each.repository} cannot be used: {each.reason}")
        installed = {name: services.packages.get(name, "") for name in UNITS}
        found[host] = rules.wanted(host, installed, offers[host], asked)
    for name in UNITS:
        if len({each[name] for each in found.values()}) > 1:
            words = listed(f"{each[name]} on {host}" for host, each in found.items())
            run.listener.say(f"{name}: the load balancers get different versions: {words}")
    return found


def procedure(pair: Pair, way: Moves, watching: Host | None, origin: Host | None = None) -> Procedure:
    """Return the procedure: each LB in its order; the VIP is moved away from its holder before, and back in the end.

    ``origin``: the LB on which an interrupted run has noted that it held the VIP.
    """
    items: list[Step | Together] = [pair_is_whole(pair), Together(tuple(try_new(pair, host) for host in way.order))]
    for host in way.order:
        if host == way.order[-1] and way.away:
            if not origin:
                items.append(remember(host))
            items += [can_hold(way.away), take_over(way.away, watching, every=bool(pair.site.load_balancer.vips))]
        elif host in way.due:
            items += empties(pair.site, host, way.holder, watching)
        items += [upgrade(pair, host), serves_again(pair, host), settle(host)]
    items += comes_back(pair.site, way.back, way.end, watching)
    if origin or way.away:
        items.append(forget(origin or way.order[-1]))
    items.append(all_arrived(pair))
    title = f"Upgrade haproxy and keepalived of the load balancers of {pair.site.name}"
    inputs = {"versions": {host.name: dict(each) for host, each in pair.versions.items()}}
    return Procedure("upgrade.lb", title, items, inputs=inputs)
