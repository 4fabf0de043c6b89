"""`inv recover.lb`: a load balancer that was replaced by an empty machine comes back into the pair; the VIP stays where it is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from runbooks.commands import lb
from runbooks.commands.lb_paths import FLAGS, HAPROXY_CFG, KEEPALIVED_CONF
from runbooks.engine.by_hand import by_hand
from runbooks.engine.steps import Procedure, Run, Step, Unmet
from runbooks.errors import PrecheckError
from runbooks.inventory.model import Host, Site
from runbooks.lb.steps import (
    allow_ports,
    bind_before_holding,
    does_its_work,
    install_configuration,
    install_packages,
    open_firewall,
    prove_pair,
    run_service,
)
from runbooks.lb.wanted import Wanted, wanted
from runbooks.recover.vip.steps import hears
from runbooks.rules import lb as rules

if TYPE_CHECKING:
    from runbooks.engine.session import Session

KEY = "recover.lb"


def recover(session: Session, name: str) -> None:
    """Set up the load balancer ``name`` beside the one that serves, and prove that it could take over."""
    site = session.site
    host = site.host(name, "lb")
    session.carry_out(procedure(site, wanted(session), host))
    if not session.options.plan and session.run.read(host, lb.state(site, host)).drained:
        session.run.listener.say(
            f"the VIP stayed where it was: {host} is drained, and takes it only when the other one fails; inv lb.failover hands it back"
        )


def procedure(site: Site, everyone: Sequence[Wanted], host: Host) -> Procedure:
    """Return the procedure that brings ``host`` back into the pair; ``everyone`` is what each LB shall have."""
    want = next(each for each in everyone if each.host == host)
    steps = [
        another_serves(site, host),
        install_packages(want),
        bind_before_holding(want),
        open_firewall(want),
        allow_ports(want),
        leave_it(site, host),
        install_configuration(want),
        run_service(want, "haproxy", HAPROXY_CFG),
        run_service(want, "keepalived", KEEPALIVED_CONF),
        does_its_work(want),
        hears(everyone),
        prove_pair(everyone),
        could_take_over(site, host),
    ]
    inputs = {"host": host.name, "files": want.sha(HAPROXY_CFG) + want.sha(KEEPALIVED_CONF)}
    return Procedure(KEY, f"Bring {host} back into the pair of load balancers", steps, inputs)


def another_serves(site: Site, host: Host) -> Step:
    """Refuse to go on while nobody holds the VIP: then that comes first."""
    others = [each for each in site.load_balancers if each != host]

    def check(run: Run) -> None:
        seen = run.read_all({each: lb.state(site, each) for each in others})
        idle = "; ".join(f"{each}: {reason}" for each, state in seen.items() if (reason := rules.not_serving(state)))
        if idle or not (any(state.holds_vip for state in seen.values()) or _holds(run, site, host)):
            raise PrecheckError(
                f"{idle or f'the VIP {site.endpoint.vip} is on no load balancer'}; nothing was changed on {host}",
                hint="first inv recover.vip, which brings the VIP back to the one that is left",
            )

    return Step(
        f"{' and '.join(map(str, others))} serves, and somebody holds the VIP",
        check=check,
        by_hand=by_hand("recover", "lb_another_serves", host=others[0], vip=site.endpoint.vip),
    )


def _holds(run: Run, site: Site, host: Host) -> bool:
    return run.read(host, lb.state(site, host)).holds_vip


def leave_it(site: Site, host: Host) -> Step:
    """Keep a new LB of higher priority from taking the VIP the moment it comes up: that would be a move for nothing."""
    outranks = rules.drains(site.load_balancers, next(each for each in site.load_balancers if each != host))[host]

    def done(run: Run) -> bool | Unmet:
        state = run.read(host, lb.state(site, host))
        # One whose keepalived runs has its place already, with the VIP or without it.
        return True if not outranks or state.drained or state.keepalived.active == "active" else Unmet("it would take the VIP")

    return Step(
        "leave the VIP where it is",
        host,
        done=done,
        do=lambda run: run.change(host, lb.drain(on=True)),
        within=10,
        settled=True,
        by_hand=by_hand("recover", "lb_leave_it", drain=FLAGS["drain"]),
    )


def could_take_over(site: Site, host: Host) -> Step:
    """Gate: the LB that was brought back could hold the VIP, so that a failover is possible again."""

    def done(run: Run) -> bool | Unmet:
        return Unmet.of(rules.not_ready_to_hold(run.read(host, lb.state(site, host))))

    return Step(
        "could take the VIP over",
        host,
        done=done,
        within=30,
        by_hand=by_hand("recover", "lb_could_take_over", down=FLAGS["down"]),
    )
