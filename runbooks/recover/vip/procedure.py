"""`inv recover.vip`: find out why the VIP is not on exactly one load balancer, and repair what can be repaired safely."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from runbooks.commands import files, haproxy, lb, lb_config, vip
from runbooks.commands.base import Probe, batch
from runbooks.commands.firewall import Openings
from runbooks.commands.lb import PACKAGES
from runbooks.commands.lb_paths import HAPROXY_CFG, KEEPALIVED_CONF
from runbooks.engine.steps import Run
from runbooks.errors import DegradedError, HostErrors, OutcomeError, RunbookError
from runbooks.inventory.model import Host
from runbooks.lb.failover import observer
from runbooks.lb.wanted import LbFacts, Wanted, in_change_order, wanted
from runbooks.recover.rules import vip as rules
from runbooks.recover.rules.load_balancer import Fault, LbView, Views
from runbooks.recover.vip.steps import KEY, procedure
from runbooks.rules import firewall as firewall_rules
from runbooks.rules import lb as lb_rules
from runbooks.rules.finding import SEVERITY, Column, for_machines, shown, told

if TYPE_CHECKING:
    from runbooks.engine.session import Session

COLUMNS: list[Column] = [
    SEVERITY,
    ("LB", lambda each: each.host or "both"),
    ("what is wrong", lambda each: each.seen),
    ("evidence", lambda each: each.evidence),
    ("repaired by", lambda each: "this command" if each.automatic else "a person"),
]


def recover(session: Session, *, take_over: bool) -> None:
    """Show what is wrong with the VIP, repair what can be repaired, and prove that exactly one LB holds it.

    Raises HostErrors when no LB answers. When faults are left that a person has to repair, raises DegradedError if exactly one LB
    holds the VIP, and OutcomeError otherwise.
    """
    run, site = session.run, session.site
    everyone = wanted(session, take_over=take_over, command=KEY)
    if before := session.resumed(KEY):
        ordered = [each for name in before["order"] for each in everyone if each.host.name == name]
        session.carry_out(procedure(site, ordered, observer(run)))
        return
    views = look(run, everyone)
    found = rules.faults(site, views)
    report(session, views, found)
    errors = {str(host): each for host, each in views.items() if isinstance(each, RunbookError)}
    if len(errors) == len(views):
        raise HostErrors(errors, len(views))
    repairable = rules.repairable(views, found)
    able = [each for each in everyone if each.host in repairable]
    if any(each.automatic for each in found) and able:
        _repair(session, able, views, found)
    _check_manual(session, able, found)


def _repair(session: Session, able: Sequence[Wanted], views: Views, found: Sequence[Fault]) -> None:
    states = {host: each.state for host, each in views.items() if isinstance(each, LbView)}
    try:
        session.carry_out(procedure(session.site, in_change_order(able, states), observer(session.run)))
    except RunbookError as error:
        error.hint = "\n       ".join(each.fix for each in rules.manual(found)) or error.hint
        raise


def _check_manual(session: Session, able: Sequence[Wanted], found: Sequence[Fault]) -> None:
    """Raise when faults are left that a person has to repair: DegradedError if the VIP is on exactly one LB, else OutcomeError."""
    manual = rules.manual(found)
    if not manual or session.options.plan:
        return
    lines = "\n       ".join(map(told, manual))
    hint = "\n       ".join(each.fix for each in manual)
    states = session.run.read_all({each.host: lb.state(session.site, each.host) for each in able})
    if not able or lb_rules.not_a_pair(states):
        raise OutcomeError(lines, hint=hint)
    raise DegradedError(f"the VIP is on exactly one load balancer, but:\n       {lines}", hint=hint)


# ---- looking


def look(run: Run, everyone: Sequence[Wanted]) -> dict[Host, LbView | RunbookError]:
    """Look at every LB in parallel; the value is the error for one that does not answer, or whose answer cannot be read."""
    return run.read_each({each.host: _probe(each) for each in everyone}, fresh=True)


def _probe(want: Wanted) -> Probe[LbView]:
    whole = batch(vip.look(want.site, want.host), haproxy.backends(), want.look)
    return Probe(whole.command, lambda answer: _view(want, *whole.parse(answer)))


def _view(want: Wanted, seen: vip.VipFacts, backends: tuple[haproxy.Backend, ...] | None, facts: LbFacts) -> LbView:
    needed = firewall_rules.wanted(want.site, want.host, want.own_binds)
    configs = {"haproxy": HAPROXY_CFG, "keepalived": KEEPALIVED_CONF}
    drifted = tuple(file.path for file in files.differing(want.files, facts.files))
    loaded = {"haproxy": facts.state.haproxy_loaded, "keepalived": facts.state.keepalived_loaded}
    # "" is what nobody has proved, for example after a reload by hand.
    runs = facts.state.haproxy_runs
    left_behind = {"haproxy": runs is not None and runs != lb_config.mark(want.text(HAPROXY_CFG)), "keepalived": False}
    active = {"haproxy": facts.state.haproxy.active, "keepalived": facts.state.keepalived.active}
    return LbView(
        state=replace(
            facts.state,
            vrrp=seen.vrrp or facts.state.vrrp,
            others=tuple(replace(each, vrrp=_true(seen, each.name) or each.vrrp) for each in facts.state.others),
        ),
        noted=facts.state.vrrp,
        noted_others={each.name: each.vrrp for each in facts.state.others},
        vip=seen,
        backends=backends,
        missing=tuple(name for name in PACKAGES if name not in facts.packages),
        drifted=drifted,
        unloaded=tuple(
            unit
            for unit, path in configs.items()
            if active[unit] == "active"
            and path not in drifted
            and (left_behind[unit] or loaded[unit] not in {"", want.sha(path)})
        ),
        closed=firewall_rules.missing(needed, facts.firewall.now) if facts.firewall else Openings(),
        switched_off=facts.switched_off,
        firewalld=facts.firewall is not None,
    )


def _true(seen: vip.VipFacts, name: str) -> str:
    return seen.others[name].vrrp if name in seen.others else ""


# ---- the report


def report(session: Session, views: Views, found: Sequence[Fault]) -> None:
    """Print which LB holds the VIP, and the faults with their evidence."""
    if session.options.json:
        for each in found:
            print(json.dumps({"event": "finding"} | for_machines(each)), flush=True)
        if not found:
            print(
                json.dumps({"event": "summary", "summary": f"nothing is wrong with the VIP: {_holders(session, views)}"}),
                flush=True,
            )
        return
    say = session.run.listener.say
    if not found:
        say(f"nothing is wrong with the VIP: {_holders(session, views)}")
        return
    say(f"the VIP {session.site.endpoint.vip}: {_holders(session, views)}\n")
    say(shown(found, COLUMNS))
    say("")


def _holders(session: Session, views: Views) -> str:
    there = {host: each for host, each in views.items() if isinstance(each, LbView)}
    holders = [str(host) for host, each in there.items() if each.state.holds_vip]
    others = [f"{host} is {each.state.vrrp or 'unknown'}" for host, each in there.items() if not each.state.holds_vip]
    silent = [f"{host} does not answer" for host in session.site.load_balancers if host not in there]
    lines = [f"on {' and '.join(holders) or 'no LB'}", *others, *silent]
    for vip_ in session.site.load_balancer.vips:
        on = [str(host) for host, each in there.items() for other in each.state.others if other.holds and other.name == vip_.name]
        lines.append(f"the VIP {vip_.name} on {' and '.join(on) or 'no LB'}")
    return "; ".join(lines)
