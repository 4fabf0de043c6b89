"""The steps that bring the VIP back to exactly one load balancer; `runbooks.recover.vip.procedure` finds out what is wrong."""

from __future__ import annotations

from collections.abc import Sequence

from runbooks.commands import haproxy, lb, vip
from runbooks.commands.base import batch
from runbooks.commands.firewall import look
from runbooks.commands.lb import LbState
from runbooks.commands.lb_paths import HAPROXY_CFG, KEEPALIVED_CONF
from runbooks.engine.by_hand import by_hand
from runbooks.engine.steps import Procedure, Run, Step, Together, Unmet
from runbooks.inventory.model import Host, Site
from runbooks.inventory.words import Address
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
from runbooks.lb.wanted import Wanted
from runbooks.recover.rules.load_balancer import noted_wrongly, wrongly_noted
from runbooks.recover.rules.load_balancer import strays as all_strays
from runbooks.recover.rules.packet_filter import Blocker, can_be_preceded, vrrp_blockers
from runbooks.text import listed

KEY = "recover.vip"


def procedure(site: Site, wanted: Sequence[Wanted], observer: Host | None) -> Procedure:
    """Return the procedure that repairs the LBs of ``wanted``, in that order; ``observer`` is the host that tests the VIP as a client.

    Never works on two LBs at the same time (installing packages aside): the next one is changed only when this one serves.
    """
    steps: list[Step | Together] = [takes_nothing_away(wanted), Together(tuple(install_packages(each) for each in wanted))]
    for each in wanted:
        steps += [
            allow_nonlocal_bind(each),
            open_firewall(each),
            accept_vrrp(each),
            allow_selinux_ports(each),
            install_configuration(each),
            haproxy_answers(each),
            run_service(each, "haproxy", HAPROXY_CFG),
            run_service(each, "keepalived", KEEPALIVED_CONF),
            correct_noted_state(each),
            restart_stuck_keepalived(each),
            remove_strays(each),
            serves(each),
        ]
    if len(wanted) > 1:
        steps.append(standby_hears(wanted))
    steps.append(verify_pair(wanted))
    if observer:
        steps.append(reachable_from(site, observer))
    inputs = {
        "order": [each.host.name for each in wanted],
        "files": {each.host.name: each.sha(KEEPALIVED_CONF) for each in wanted},
    }
    return Procedure(KEY, f"Bring the VIP {site.endpoint.vip} back to exactly one load balancer", steps, inputs)


def accept_vrrp(want: Wanted) -> Step:
    """Insert an accept rule before a rule or policy of the packet filter that drops VRRP. Never deletes or changes a rule."""
    probe = batch(vip.look(want.site, want.host, 0), look(lb.interface(want.site, want.host)))

    def dropping(run: Run) -> list[tuple[str, Host, Blocker]]:
        seen, firewalld = run.read(want.host, probe)
        found = vrrp_blockers(want.site, want.host, seen.ruleset)
        return [each for each in found if can_be_preceded(each[2], firewalld=firewalld is not None)]

    def done(run: Run) -> bool | Unmet:
        found = dropping(run)
        return Unmet(f"{found[0][2]} drops VRRP") if found else True

    def do(run: Run) -> None:
        for direction, peer, blocker in dropping(run):
            way = f"from {peer}" if direction == "saddr" else f"to {peer}"
            run.note(
                want.host, f"{blocker} drops VRRP {way}; the accept rule before it lasts until the packet filter is reloaded"
            )
            where = {"family": blocker.family, "table": blocker.table, "chain": blocker.chain, "direction": direction}
            run.change(want.host, vip.accept(peer, **where))

    peers = [peer for peer in want.site.load_balancers if peer != want.host]
    return Step(
        "accept VRRP in the packet filter",
        want.host,
        done=done,
        do=do,
        within=10,
        settled=True,
        by_hand=by_hand("recover", "vip_accept_vrrp", host=want.host, peers=peers),
    )


def haproxy_answers(want: Wanted) -> Step:
    """Restart an HAProxy that runs and hangs: it cannot be reloaded. It serves no client, so no connection is lost."""
    probe = batch(lb.state(want.site, want.host), haproxy.backends())

    def done(run: Run) -> bool | Unmet:
        state, seen = run.read(want.host, probe)
        if state.haproxy.active == "active" and seen is None:
            return Unmet("haproxy does not answer on its own socket")
        return True

    return Step(
        "haproxy does not hang",
        want.host,
        done=done,
        do=lambda run: run.change(want.host, vip.restart("haproxy")),
        within=20,
        settled=True,
        by_hand=by_hand("recover", "vip_haproxy_answers"),
    )


def correct_noted_state(want: Wanted) -> Step:
    """Correct the VRRP state that the notify script recorded: `lb.status` and the steps that wait for keepalived read it."""
    probe = batch(vip.look(want.site, want.host, 0), lb.state(want.site, want.host))

    def done(run: Run) -> bool | Unmet:
        wrong = _wrong_notes(*run.read(want.host, probe))
        return Unmet(f"{wrong[0][1]} is recorded, keepalived says {wrong[0][2]}") if wrong else True

    def do(run: Run) -> None:
        for name, _, true in _wrong_notes(*run.read(want.host, probe)):
            run.change(want.host, vip.note(true, name))

    return Step(
        "the recorded VRRP state is right",
        want.host,
        done=done,
        do=do,
        within=10,
        settled=True,
        by_hand=by_hand("recover", "vip_correct_noted_state"),
    )


def _wrong_notes(seen: vip.VipFacts, state: LbState) -> list[tuple[str, str, str]]:
    """Return the VIPs ("" for that of the API) whose recorded VRRP state is wrong, with that state and the true one."""
    found = [("", state.vrrp, seen.vrrp)] if noted_wrongly(state, seen.vrrp, state.vrrp) else []
    for each in state.others:
        true = seen.others[each.name].vrrp if each.name in seen.others else ""
        if wrongly_noted(state, each.vrrp_for_s, true, each.vrrp):
            found.append((each.name, each.vrrp, true))
    return found


def restart_stuck_keepalived(want: Wanted) -> Step:
    """Restart a keepalived that stays neither MASTER nor BACKUP."""

    def done(run: Run) -> bool | Unmet:
        state = run.read(want.host, lb.state(want.site, want.host)).vrrp
        return True if state in {"MASTER", "BACKUP"} else Unmet(f"keepalived is in state {state or 'unknown'}")

    def do(run: Run) -> None:
        state: LbState = run.read(want.host, lb.state(want.site, want.host))
        if state.keepalived.active == "active":  # in a plan it may not have been started yet
            run.change(want.host, vip.restart("keepalived"))

    return Step(
        "keepalived is MASTER or BACKUP",
        want.host,
        done=done,
        do=do,
        within=30,
        settled=True,
        by_hand=by_hand("recover", "vip_restart_stuck_keepalived"),
    )


def remove_strays(want: Wanted) -> Step:
    """Delete the VIP from devices to which keepalived did not add it: any but its own, and its own while keepalived is BACKUP.

    Runs only once keepalived is MASTER or BACKUP, so that an LB holds the VIP in the regular way when a stray one is deleted.
    """
    own = lb.interface(want.site, want.host)
    probe = batch(vip.look(want.site, want.host, 0), lb.state(want.site, want.host))

    def strays(run: Run) -> list[tuple[str, Address, str]]:
        seen, state = run.read(want.host, probe)
        return all_strays(want.site, want.host, state, seen)

    def done(run: Run) -> bool | Unmet:
        found = strays(run)
        where = listed(f"{name} on {device}" if name else device for name, _, device in found)
        return Unmet(f"the VIP is on {where}, but keepalived did not put it there") if found else True

    def do(run: Run) -> None:
        for _, address, device in strays(run):
            run.change(want.host, vip.drop_stray(address, device))

    return Step(
        "the VIP is only where keepalived put it",
        want.host,
        done=done,
        do=do,
        within=10,
        settled=True,
        by_hand=by_hand(
            "recover", "vip_remove_strays", vip=want.site.endpoint.vip, interface=own, vips=want.site.load_balancer.vips
        ),
    )


def standby_hears(wanted: Sequence[Wanted]) -> Step:
    """Gate: every standby receives adverts. A standby that receives none would become a second holder."""
    site = wanted[0].site

    def done(run: Run) -> bool | Unmet:
        probes = {each.host: batch(vip.look(site, each.host), lb.state(site, each.host)) for each in wanted}
        for host, (seen, state) in run.read_all(probes).items():
            counted: vip.Counters | None = seen.counters
            standby = state.vrrp != "MASTER" or any(each.vrrp == "BACKUP" for each in state.others)
            if standby and counted and not counted.received:
                return Unmet(f"{host} receives no adverts")
        return True

    return Step(
        "the standby receives the holder's adverts",
        done=done,
        within=20,
        by_hand=by_hand("recover", "vip_standby_hears", interface=lb.interface(site, wanted[0].host)),
    )


def reachable_from(site: Site, observer: Host) -> Step:
    """Gate: a host that is no load balancer can connect to the VIP."""

    def done(run: Run) -> bool | Unmet:
        tried, failed, _ = run.read(observer, lb.probe_vip(site, 1))
        return True if tried and not failed else Unmet(f"{failed} of {tried} connections failed")

    return Step(
        "a client can connect to the VIP",
        observer,
        done=done,
        within=20,
        by_hand=by_hand("recover", "vip_reachable_from", endpoint=site.endpoint),
    )
