"""Gates of the load balancers' procedures: nothing is taken away from somebody, and a configuration from before lb.setup serves again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from runbooks.commands import lb_claims
from runbooks.commands.base import Probe, batch
from runbooks.commands.lb_claims import Claims
from runbooks.commands.lb_paths import HAPROXY_CFG, KEEPALIVED_CONF
from runbooks.engine.by_hand import by_hand
from runbooks.engine.steps import Run, Step, Unmet
from runbooks.errors import PrecheckError
from runbooks.inventory.model import Host
from runbooks.lb.wanted import LbFacts, Wanted
from runbooks.rules import lb_claims as rules
from runbooks.text import indented, listed


def takes_nothing_away(wanted: Sequence[Wanted]) -> Step:
    """Gate, before anything is changed: the ports are free, the services read our files, and the files there are ours to replace."""

    def check(run: Run) -> None:
        seen = look(run, wanted)
        refuse([(each, seen[each.host]) for each in wanted])
        for each in wanted:
            for line in rules.beside(each.host, seen[each.host]):
                run.note(each.host, f"{line}; it stays")

    return Step(
        "nothing else uses the ports and the files",
        check=check,
        by_hand=by_hand("lb", "takes_nothing_away", wanted=wanted, haproxy_cfg=HAPROXY_CFG, keepalived_conf=KEEPALIVED_CONF),
    )


def look(run: Run, wanted: Sequence[Wanted]) -> dict[Host, Claims]:
    """Return what the hosts serve, with the files that HAProxy reads besides haproxy.cfg."""
    seen = run.read_all({each.host: lb_claims.look() for each in wanted})
    others = {host: lb_claims.beside(claims.other_paths) for host, claims in seen.items() if claims.other_paths}
    found = run.read_all(others) if others else {}
    return {host: replace(claims, beside=found.get(host, {})) for host, claims in seen.items()}


def refuse(seen: Sequence[tuple[Wanted, Claims]]) -> None:
    """Raise PrecheckError, with everything that is in the way on all of these hosts, when there is something."""
    held = [line for want, claims in seen for line in rules.held(want.host, want.text(HAPROXY_CFG), claims)]
    elsewhere = [line for want, claims in seen for line in rules.elsewhere(want.host, claims)]
    foreign = [line for want, claims in seen if not want.take_over for line in rules.foreign(want.site, want.host, claims)]
    if not (held or elsewhere or foreign):
        return
    hints = []
    if held:
        hints.append("stop those programs, or give other ports in hosts.yaml; then inv lb.setup")
    if elsewhere:
        hints.append(
            "correct how systemd starts that service; if it runs: restart it while the other LB holds the VIP (inv lb.failover)"
        )
    if foreign:
        hints.append(
            f"if all of it may go: inv {seen[0][0].command} --take-over replaces these files and keeps them for good; "
            "inv lb.rollback --original brings them back. Otherwise use other hosts as LBs"
        )
    raise PrecheckError(f"nothing was changed:{indented([*held, *elsewhere, *foreign])}", hint="\n       ".join(hints))


def serves_again(want: Wanted) -> Step:
    """Gate: a configuration from before lb.setup does what it says: HAProxy listens on all of its ports, and keepalived runs."""
    probe: Probe[tuple[Claims, LbFacts]] = batch(lb_claims.look(), want.look)

    def done(run: Run) -> bool | Unmet:
        claims, facts = run.read(want.host, probe)
        closed = rules.unbound(want.text(HAPROXY_CFG), claims)
        wrong = [f"HAProxy does not listen on {listed(closed)}"] if closed else []
        if want.text(KEEPALIVED_CONF) and facts.state.keepalived.active != "active":
            wrong.append(f"keepalived is {facts.state.keepalived.active}")
        return Unmet.of("; ".join(wrong))

    return Step("serves what its files say", want.host, done=done, within=30, by_hand=by_hand("lb", "serves_again"))


def addresses_are_held(wanted: Sequence[Wanted]) -> Step:
    """Gate: every virtual address of a configuration from before lb.setup is on one of the hosts."""

    def done(run: Run) -> bool | Unmet:
        on = run.read_all(dict.fromkeys(wanted[0].site.load_balancers, lb_claims.addresses()))
        lost = rules.lost({each.host: each.text(KEEPALIVED_CONF) for each in wanted}, on)
        return Unmet(f"no host has {listed(lost)}") if lost else True

    return Step(
        "the virtual addresses of these files are on a host", done=done, within=30, by_hand=by_hand("lb", "addresses_are_held")
    )
