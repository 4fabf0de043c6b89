"""How the VIP comes back to exactly one load balancer, step by step; `runbooks.recover.vip.procedure` finds out what is wrong."""

from __future__ import annotations

from collections.abc import Sequence

from runbooks.commands import lb, vip
from runbooks.commands.base import Probe, batch
from runbooks.commands.firewall import Firewall, look
from runbooks.commands.lb import LbState
from runbooks.commands.lb_paths import HAPROXY_CFG, KEEPALIVED_CONF
from runbooks.engine.by_hand import by_hand
from runbooks.engine.steps import Procedure, Run, Step, Together, Unmet
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
from runbooks.lb.wanted import Wanted
from runbooks.recover.rules import vip as rules
from runbooks.recover.rules.packet_filter import Blocker, filters, ours_to_pass

KEY = "recover.vip"


def procedure(site: Site, wanted: Sequence[Wanted], observer: Host | None) -> Procedure:
    """Return the procedure that repairs ``wanted`` in this order, and proves the VIP; ``observer`` asks it from outside."""
    steps: list[Step | Together] = [Together(tuple(install_packages(each) for each in wanted))]
    for each in wanted:
        steps += [
            bind_before_holding(each),
            open_firewall(each),
            pass_vrrp(each),
            allow_ports(each),
            install_configuration(each),
            run_service(each, "haproxy", HAPROXY_CFG),
            answers(each),
            run_service(each, "keepalived", KEEPALIVED_CONF),
            note_state(each),
            takes_part(each),
            take_away(each),
            does_its_work(each),
        ]
    if len(wanted) > 1:
        steps.append(hears(wanted))
    steps.append(prove_pair(wanted))
    if observer:
        steps.append(reached_from(site, observer))
    inputs = {
        "order": [each.host.name for each in wanted],
        "files": {each.host.name: each.sha(KEEPALIVED_CONF) for each in wanted},
    }
    return Procedure(KEY, f"Bring the VIP {site.endpoint.vip} back to exactly one load balancer", steps, inputs)


def pass_vrrp(want: Wanted) -> Step:
    """Let the other LBs' adverts pass where a rule of the packet filter drops them. Nobody's rule is deleted."""
    probe = _filter(want)

    def dropping(run: Run) -> list[tuple[str, Host, Blocker]]:
        seen, there = run.read(want.host, probe)
        found = filters(want.site, want.host, seen.ruleset)
        return [each for each in found if ours_to_pass(each[2], firewalld=there is not None)]

    def done(run: Run) -> bool | Unmet:
        found = dropping(run)
        return Unmet(f"{found[0][2]} drops it") if found else True

    def do(run: Run) -> None:
        for direction, peer, blocker in dropping(run):
            run.note(
                want.host, f"{blocker} drops VRRP; a rule before it lets {peer}'s pass until the packet filter is loaded anew"
            )
            where = {"family": blocker.family, "table": blocker.table, "chain": blocker.chain, "direction": direction}
            run.change(want.host, vip.accept(peer, **where))

    peers = [peer for peer in want.site.load_balancers if peer != want.host]
    return Step(
        "let the other LB's VRRP pass the packet filter",
        want.host,
        done=done,
        do=do,
        within=10,
        settled=True,
        by_hand=by_hand("recover", "vip_pass_vrrp", host=want.host, peers=peers),
    )


def answers(want: Wanted) -> Step:
    """Restart an HAProxy that runs but hangs: it serves nobody, so nobody loses anything."""

    def done(run: Run) -> bool | Unmet:
        return True if run.read(want.host, lb.backends()) is not None else Unmet("haproxy does not answer on its own socket")

    return Step(
        "haproxy answers",
        want.host,
        done=done,
        do=lambda run: run.change(want.host, vip.restart("haproxy")),
        within=20,
        settled=True,
        by_hand=by_hand("recover", "vip_answers"),
    )


def note_state(want: Wanted) -> Step:
    """Correct what is written down of keepalived's state: `lb.status`, and whoever waits for it, go by that."""
    probe = batch(vip.look(want.site, want.host, 0), lb.state(want.site, want.host))

    def done(run: Run) -> bool | Unmet:
        seen, state = run.read(want.host, probe)
        wrong = rules.noted_wrongly(state, seen.vrrp, state.vrrp)
        return Unmet(f"{state.vrrp} is written down, keepalived says {seen.vrrp}") if wrong else True

    return Step(
        "keepalived's state is noted rightly",
        want.host,
        done=done,
        do=lambda run: run.change(want.host, vip.note(run.read(want.host, probe)[0].vrrp)),
        within=10,
        settled=True,
        by_hand=by_hand("recover", "vip_note_state"),
    )


def takes_part(want: Wanted) -> Step:
    """Restart a keepalived that is neither master nor standby although all that it tracks is in order."""

    def done(run: Run) -> bool | Unmet:
        state = run.read(want.host, lb.state(want.site, want.host)).vrrp
        return True if state in {"MASTER", "BACKUP"} else Unmet(f"keepalived is in state {state or 'unknown'}")

    def do(run: Run) -> None:
        state: LbState = run.read(want.host, lb.state(want.site, want.host))
        if state.keepalived.active == "active":  # in a plan it may be down as yet
            run.change(want.host, vip.restart("keepalived"))

    return Step(
        "keepalived takes part",
        want.host,
        done=done,
        do=do,
        within=30,
        settled=True,
        by_hand=by_hand("recover", "vip_takes_part"),
    )


def take_away(want: Wanted) -> Step:
    """Take the VIP off a device where keepalived did not put it; only while another LB, or this one's keepalived, has it."""
    own = vip.interface(want.site, want.host)
    probe = batch(vip.look(want.site, want.host, 0), lb.state(want.site, want.host))

    def strays(run: Run) -> tuple[str, ...]:
        seen, state = run.read(want.host, probe)
        return rules.stray_devices(own, state, seen.vip_on)

    def done(run: Run) -> bool | Unmet:
        found = strays(run)
        return Unmet(f"it lies on {', '.join(found)}, and keepalived did not put it there") if found else True

    def do(run: Run) -> None:
        for device in strays(run):
            run.change(want.host, vip.drop_stray(want.site, device))

    return Step(
        "nothing but keepalived holds the VIP",
        want.host,
        done=done,
        do=do,
        within=10,
        settled=True,
        by_hand=by_hand("recover", "vip_take_away", vip=want.site.endpoint.vip, interface=own),
    )


def hears(wanted: Sequence[Wanted]) -> Step:
    """Gate: the standby hears the holder, so that there will be one holder tomorrow, too."""
    site = wanted[0].site

    def done(run: Run) -> bool | Unmet:
        probes = {each.host: batch(vip.look(site, each.host), lb.state(site, each.host)) for each in wanted}
        for host, (seen, state) in run.read_all(probes).items():
            counted: vip.Counters | None = seen.counters
            if state.vrrp != "MASTER" and counted and not counted.received:
                return Unmet(f"{host} hears no advert of the holder's")
        return True

    return Step(
        "the standby hears the holder",
        done=done,
        within=20,
        by_hand=by_hand("recover", "vip_hears", interface=vip.interface(site, wanted[0].host)),
    )


def reached_from(site: Site, observer: Host) -> Step:
    """Gate: the VIP answers somebody who is no load balancer."""

    def done(run: Run) -> bool | Unmet:
        tried, failed, _ = run.read(observer, lb.probe_vip(site, 1))
        return True if tried and not failed else Unmet(f"{failed} of {tried} connections to it failed")

    return Step(
        "a client reaches the VIP",
        observer,
        done=done,
        within=20,
        by_hand=by_hand("recover", "vip_reached_from", endpoint=site.endpoint),
    )


def _filter(want: Wanted) -> Probe[tuple[vip.VipLook, Firewall | None]]:
    both = batch(vip.look(want.site, want.host, 0), look(vip.interface(want.site, want.host)))
    return Probe(both.command, lambda answer: (both.parse(answer)[0], both.parse(answer)[1]))
