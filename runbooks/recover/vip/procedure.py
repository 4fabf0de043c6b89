"""`inv recover.vip`: find out why the VIP is not on exactly one load balancer, say so, and repair what is safely repaired."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from runbooks.commands import files, lb, vip
from runbooks.commands.base import Probe, batch
from runbooks.commands.firewall import Openings
from runbooks.commands.lb import PACKAGES
from runbooks.commands.lb_paths import HAPROXY_CFG, KEEPALIVED_CONF
from runbooks.engine.steps import Run
from runbooks.errors import DegradedError, HostErrors, OutcomeError, RunbookError
from runbooks.inventory.model import Host
from runbooks.lb.failover import observer
from runbooks.lb.wanted import Looked, Wanted, wanted
from runbooks.recover.rules import vip as rules
from runbooks.recover.rules.vip import Balancer, Fault, Seen
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
    ("how it shows", lambda each: each.evidence),
    ("repaired by", lambda each: "this command" if each.automatic else "a person"),
]


def recover(session: Session) -> None:
    """Show what is wrong with the VIP, repair what can be repaired, and prove that exactly one LB holds it.

    Raises DegradedError when the VIP serves but something is left for a person to repair, OutcomeError when it does not serve, HostErrors
    when no LB answers.
    """
    run, site = session.run, session.site
    everyone = wanted(session)
    if before := session.resumed(KEY):
        names: list[str] = before["order"]
        session.carry_out(
            procedure(site, sorted(_named(everyone, names), key=lambda each: names.index(each.host.name)), observer(run))
        )
        return
    seen = look(run, everyone)
    found = rules.findings(site, seen)
    tell(session, seen, found)
    errors = {str(host): each for host, each in seen.items() if isinstance(each, RunbookError)}
    if len(errors) == len(seen):
        raise HostErrors(errors, len(seen))
    able = _named(everyone, [host.name for host in rules.repairable(seen, found)])
    if any(each.automatic for each in found) and able:
        _repair(session, able, seen, found)
    _what_is_left(session, able, found)


def _named(everyone: Sequence[Wanted], names: Sequence[str]) -> list[Wanted]:
    return [each for each in everyone if each.host.name in names]


def _repair(session: Session, able: Sequence[Wanted], seen: Seen, found: Sequence[Fault]) -> None:
    states = {host: each.state for host, each in seen.items() if isinstance(each, Balancer)}
    order = lb_rules.change_order([each.host for each in able], states)
    ordered = sorted(able, key=lambda each: order.index(each.host))
    try:
        session.carry_out(procedure(session.site, ordered, observer(session.run)))
    except RunbookError as error:
        error.hint = "\n       ".join(each.fix for each in rules.left(found)) or error.hint
        raise


def _what_is_left(session: Session, able: Sequence[Wanted], found: Sequence[Fault]) -> None:
    """Raise for what nobody but a person repairs; the VIP may serve nevertheless."""
    left = rules.left(found)
    if not left or session.options.plan:
        return
    said = "\n       ".join(map(told, left))
    hint = "\n       ".join(each.fix for each in left)
    states = session.run.read_all({each.host: lb.state(session.site, each.host) for each in able})
    if not able or lb_rules.not_a_pair(states):
        raise OutcomeError(said, hint=hint)
    raise DegradedError(f"the VIP is on exactly one load balancer, but:\n       {said}", hint=hint)


# ---- looking


def look(run: Run, everyone: Sequence[Wanted]) -> dict[Host, Balancer | RunbookError]:
    """See every LB; one that does not answer, or not in words that we know, gives its error instead."""
    return run.read_each({each.host: _probe(each) for each in everyone}, fresh=True)


def _probe(want: Wanted) -> Probe[Balancer]:
    whole = batch(vip.look(want.site, want.host), lb.backends(), want.look)
    return Probe(whole.command, lambda answer: _balancer(want, *whole.parse(answer)))


def _balancer(want: Wanted, seen: vip.VipLook, backends: tuple[lb.Backend, ...] | None, looked: Looked) -> Balancer:
    needed = firewall_rules.wanted(want.site, want.host)
    configs = {"haproxy": HAPROXY_CFG, "keepalived": KEEPALIVED_CONF}
    drifted = tuple(file.path for file in files.differing(want.files, looked.files))
    loaded = {"haproxy": looked.state.haproxy_loaded, "keepalived": looked.state.keepalived_loaded}
    active = {"haproxy": looked.state.haproxy.active, "keepalived": looked.state.keepalived.active}
    return Balancer(
        state=replace(looked.state, vrrp=seen.vrrp or looked.state.vrrp),
        noted=looked.state.vrrp,
        look=seen,
        backends=backends,
        missing=tuple(name for name in PACKAGES if name not in looked.packages),
        drifted=drifted,
        unloaded=tuple(
            unit
            for unit, path in configs.items()
            if active[unit] == "active" and path not in drifted and loaded[unit] != want.sha(path)
        ),
        closed=firewall_rules.missing(needed, looked.firewall.now) if looked.firewall else Openings(),
        switched_off=looked.switched_off,
        firewalld=looked.firewall is not None,
    )


# ---- telling


def tell(session: Session, seen: Seen, found: Sequence[Fault]) -> None:
    """Show who holds the VIP, and the findings with their evidence."""
    if session.options.json:
        for each in found:
            print(json.dumps({"event": "finding"} | for_machines(each)), flush=True)
        if not found:
            print(
                json.dumps({"event": "summary", "summary": f"nothing is wrong with the VIP: {_held(session, seen)}"}), flush=True
            )
        return
    say = session.run.listener.say
    if not found:
        say(f"nothing is wrong with the VIP: {_held(session, seen)}")
        return
    say(f"the VIP {session.site.endpoint.vip}: {_held(session, seen)}\n")
    say(shown(found, COLUMNS))
    say("")


def _held(session: Session, seen: Seen) -> str:
    there = {host: each for host, each in seen.items() if isinstance(each, Balancer)}
    holders = [str(host) for host, each in there.items() if each.state.holds_vip]
    others = [f"{host} is {each.state.vrrp or 'unknown'}" for host, each in there.items() if not each.state.holds_vip]
    silent = [f"{host} does not answer" for host in session.site.load_balancers if host not in there]
    return "; ".join([f"on {' and '.join(holders) or 'no LB'}", *others, *silent])
