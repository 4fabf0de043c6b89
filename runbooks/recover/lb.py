"""`inv recover.lb`: set up a load balancer that was replaced by an empty machine. The VIP stays where it is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from runbooks import baseline
from runbooks.commands import lb
from runbooks.commands.lb_claims import Claims
from runbooks.commands.lb_kept import NOTHING
from runbooks.commands.lb_paths import FLAGS, HAPROXY_CFG, KEEPALIVED_CONF
from runbooks.engine.by_hand import by_hand
from runbooks.engine.steps import Procedure, Run, Step, Together, Unmet
from runbooks.errors import PrecheckError, RunbookError
from runbooks.inventory.model import Host, Site
from runbooks.lb.claims import takes_nothing_away
from runbooks.lb.service import run_service
from runbooks.lb.steps import (
    allow_nonlocal_bind,
    allow_selinux_ports,
    install_configuration,
    install_packages,
    open_firewall,
    serves,
    verify_pair,
)
from runbooks.lb.taken import look
from runbooks.lb.wanted import Wanted, wanted
from runbooks.recover.vip.steps import standby_hears
from runbooks.rules import lb as rules
from runbooks.text import listed

if TYPE_CHECKING:
    from runbooks.engine.session import Session

KEY = "recover.lb"


def recover(session: Session, name: str, *, take_over: bool) -> None:
    """Set up the load balancer ``name`` beside the one that serves, and verify that it could take over."""
    site = session.site
    host = site.host(name, "lb")
    session.carry_out(procedure(site, wanted(session, take_over=take_over, command=f"{KEY} --host {name}"), host))
    if not session.options.plan and session.run.read(host, lb.state(site, host)).drained:
        session.run.listener.say(
            f"the VIP was not moved: {host} is drained and takes it only if the other LB fails; to hand it back: inv lb.failover"
        )


def procedure(site: Site, everyone: Sequence[Wanted], host: Host) -> Procedure:
    """Return the procedure that sets ``host`` up again; ``everyone`` is the configuration that each LB should have."""
    want = next(each for each in everyone if each.host == host)
    steps: list[Step | Together] = [
        another_serves(site, host),
        takes_nothing_away([want]),
        tells_what_is_missing(want, everyone),
        *baseline.steps(site, [host]),
        install_packages(want),
        allow_nonlocal_bind(want),
        open_firewall(want),
        allow_selinux_ports(want),
        keep_drained(site, host),
        install_configuration(want),
        run_service(want, "haproxy", HAPROXY_CFG),
        run_service(want, "keepalived", KEEPALIVED_CONF),
        serves(want),
        standby_hears(everyone),
        verify_pair(everyone),
        can_take_over(site, host),
    ]
    inputs = {"host": host.name, "files": want.sha(HAPROXY_CFG) + want.sha(KEEPALIVED_CONF)}
    return Procedure(KEY, f"Bring {host} back into the pair of load balancers", steps, inputs)


def another_serves(site: Site, host: Host) -> Step:
    """Gate: every other LB serves, and an LB holds the VIP. Otherwise `recover.vip` has to come first."""
    others = [each for each in site.load_balancers if each != host]

    def check(run: Run) -> None:
        states = run.read_all({each: lb.state(site, each) for each in others})
        idle = "; ".join(f"{each}: {reason}" for each, state in states.items() if (reason := rules.not_serving(state)))
        held = any(state.holds_vip for state in states.values())
        if idle or not (held or run.read(host, lb.state(site, host)).holds_vip):
            raise PrecheckError(
                f"{idle or f'the VIP {site.endpoint.vip} is on no load balancer'}; nothing was changed on {host}",
                hint="first inv recover.vip, which brings the VIP back to the LB that is left",
            )

    return Step(
        f"{' and '.join(map(str, others))} serves, and the VIP is on an LB",
        check=check,
        by_hand=by_hand("recover", "lb_another_serves", host=others[0], vip=site.endpoint.vip),
    )


def tells_what_is_missing(want: Wanted, everyone: Sequence[Wanted]) -> Step:
    """Gate that only tells: what other LBs have from before lb.setup, and this one has not. hosts.yaml does not know it."""

    def check(run: Run) -> None:
        for line in files_of_others(want.host, look(run, [each.host for each in everyone])):
            run.note(want.host, line)
        for each in everyone:
            there, here = (each.kept or NOTHING).named, (want.kept or NOTHING).named
            if lost := [name for name in there if name not in here]:
                run.note(
                    want.host,
                    f"{each.host} also has, from before lb.setup: {listed(lost)}. {want.host} does not get it by this command. The parts between "
                    f"`# ---- kept` and `# ---- end of kept` in {HAPROXY_CFG} and {KEEPALIVED_CONF} are in the backup sets (files of "
                    f"{want.host}), and on {each.host}: copy them to the end of these files on {want.host} (first chmod 600 both: they may "
                    "hold passwords), adapt priorities and addresses, then inv lb.setup",
                )

    return Step(
        "parts of your own that the other LB has",
        check=check,
        by_hand=by_hand("recover", "lb_kept_parts", host=want.host, haproxy_cfg=HAPROXY_CFG, keepalived_conf=KEEPALIVED_CONF),
    )


def files_of_others(new: Host, seen: Mapping[Host, Claims | RunbookError]) -> list[str]:
    """Return what to say of files that HAProxy and keepalived of other LBs read besides their own, and ``new`` has not."""
    there = {host: [*each.beside, *each.included] for host, each in seen.items() if isinstance(each, Claims)}
    return [
        f"{host} also reads {listed(lost)}, and {new} has no such file. They are on {host}, and those below /etc/haproxy and "
        f"/etc/keepalived in the backup sets, too: copy them to {new}; what makes the services read them is /etc/default/haproxy "
        "(or /etc/sysconfig/haproxy), and `include` in keepalived.conf"
        for host, paths in there.items()
        if new in there and (lost := [path for path in paths if path not in there[new]])
    ]


def keep_drained(site: Site, host: Host) -> Step:
    """Drain an LB that any VIP prefers before its keepalived starts: it would take that VIP from the one that serves."""
    outranks = rules.drains_for_all(site, next(each for each in site.load_balancers if each != host))[host]

    def done(run: Run) -> bool | Unmet:
        state = run.read(host, lb.state(site, host))
        # Where keepalived runs already, draining could only move the VIP.
        return True if not outranks or state.drained or state.keepalived.active == "active" else Unmet("it would take the VIP")

    return Step(
        "leave the VIP where it is",
        host,
        done=done,
        do=lambda run: run.change(host, lb.drain(on=True)),
        within=10,
        settled=True,
        by_hand=by_hand("recover", "lb_keep_drained", drain=FLAGS["drain"], vips=site.load_balancer.vips),
    )


def can_take_over(site: Site, host: Host) -> Step:
    """Gate: the new LB could hold the VIP, so that a failover is possible again."""

    def done(run: Run) -> bool | Unmet:
        return Unmet.of(rules.not_ready_to_hold(run.read(host, lb.state(site, host))))

    return Step(
        "can take over the VIP",
        host,
        done=done,
        within=30,
        by_hand=by_hand("recover", "lb_can_take_over", down=FLAGS["down"]),
    )
