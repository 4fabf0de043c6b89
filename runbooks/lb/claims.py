"""Gates of the load balancers' procedures: nothing is taken away from somebody, and a configuration from before lb.setup serves again."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from runbooks.commands import files, lb_claims
from runbooks.commands.base import Probe, batch
from runbooks.commands.lb_claims import Claims
from runbooks.commands.lb_kept import NOTHING
from runbooks.commands.lb_paths import HAPROXY_CFG, KEEPALIVED_CONF
from runbooks.engine.by_hand import by_hand
from runbooks.engine.steps import Run, Step, Unmet
from runbooks.errors import PrecheckError, RunbookError
from runbooks.inventory.model import Host
from runbooks.lb.taken import away, marks, moves, taken
from runbooks.lb.taken import look as everything
from runbooks.lb.wanted import LbFacts, Wanted
from runbooks.rules import lb_claims as rules
from runbooks.text import indented, listed


def takes_nothing_away(wanted: Sequence[Wanted], also: Callable[[Run], None] | None = None) -> Step:
    """Gate, before anything is changed: the ports are free, the services read our files, and the files there are ours to replace, and no links.

    Files that others wrote may be replaced only with ``take_over``, and only when HAProxy and keepalived on that host take the new ones.
    ``also``: what else is checked.
    """

    def check(run: Run) -> None:
        refuse_links(run, wanted)
        seen = look(run, wanted)
        refuse([(each, seen[each.host]) for each in wanted])
        for each in wanted:
            for line in (*rules.beside(each.host, seen[each.host]), *_told(each, seen)):
                run.note(each.host, f"{line}; it stays" if line.startswith(f"{each.host}: ") else f"{each.host}: {line}")
        taken_over = [
            each
            for each in wanted
            if rules.foreign(each.site, each.host, seen[each.host])
            or (each.kept is not None and moves(each.site, seen[each.host]))
        ]
        # What its owner has edited in place is on the host already: keepalived would only be reloaded with it.
        edited = [
            each for each in wanted if each not in taken_over and each.kept not in (None, NOTHING) and each.command == "lb.setup"
        ]
        try_out(run, [(each, seen[each.host]) for each in (*taken_over, *edited) if each.kept is not None])
        if also:
            also(run)

    return Step(
        "nothing else uses the ports and the files",
        check=check,
        by_hand=by_hand("lb", "takes_nothing_away", wanted=wanted, haproxy_cfg=HAPROXY_CFG, keepalived_conf=KEEPALIVED_CONF),
    )


def _told(want: Wanted, seen: Mapping[Host, Claims]) -> list[str]:
    """Return what a take-over keeps, replaces and loses on one host, one line each. ``seen``: also what the other hosts have."""
    claims = seen[want.host]
    if want.kept is None or not (rules.foreign(want.site, want.host, claims) or moves(want.site, claims)):
        return []
    found = taken(want.site, want.host, claims)
    kept = [f"stays as it is: {listed(found.kept.named)}"] if found.kept.named else []
    replaced = [f"is replaced by lb.setup's own: {listed(found.replaced)}"] if found.replaced else []
    others = [each for host, each in seen.items() if host != want.host]
    return [*kept, *replaced, *rules.added(want.site, claims), *found.lost, *(away(found.kept, others) if others else ())]


def look(run: Run, wanted: Sequence[Wanted]) -> dict[Host, Claims]:
    """Return what the hosts serve, with the files that HAProxy and keepalived read besides their own. Raises the error of a host that fails."""
    seen = everything(run, [each.host for each in wanted])
    failed = [each for each in seen.values() if isinstance(each, RunbookError)]
    if failed:
        raise failed[0]
    return {host: each for host, each in seen.items() if isinstance(each, Claims)}


def refuse(seen: Sequence[tuple[Wanted, Claims]]) -> None:
    """Raise PrecheckError, with everything that is in the way on all of these hosts, when there is something."""
    held = [line for want, claims in seen for line in rules.held(want.host, want.text(HAPROXY_CFG), claims)]
    elsewhere = [line for want, claims in seen for line in rules.elsewhere(want.host, claims)]
    foreign = [
        line
        for want, claims in seen
        if not (want.take_over or marks(claims))
        for line in (*rules.foreign(want.site, want.host, claims), *_moving(want, claims))
    ]
    apart = [
        f"{want.host}: {line}"
        for want, claims in seen
        if want.kept is not None and (want.take_over or marks(claims) or not rules.foreign(want.site, want.host, claims))
        for line in taken(want.site, want.host, claims).problems
    ]
    if not (held or elsewhere or foreign or apart):
        return
    hints = []
    if held:
        hints.append("stop those programs, or give other ports in hosts.yaml; then inv lb.setup")
    if elsewhere:
        hints.append(
            "correct how systemd starts that service; if it runs: restart it while the other LB holds the VIP (inv lb.failover)"
        )
    if apart:
        hints.append(
            "what others have on an LB goes on working beside lb.setup only when it does not meet ours there: see docs/lb.md"
        )
    if foreign:
        by_host = {want.host: claims for want, claims in seen}
        plain = [f"{want.host}: {line}" for want, _ in seen for line in _told(want, by_host)]
        hints.append(
            f"inv {seen[0][0].command} --take-over replaces what is for the API, leaves the rest working, and keeps the old files for good; "
            "first with --plan. inv lb.rollback --original brings them back" + indented(plain)
        )
    raise PrecheckError(f"nothing was changed:{indented([*held, *elsewhere, *apart, *foreign])}", hint="\n       ".join(hints))


def refuse_links(run: Run, wanted: Sequence[Wanted]) -> None:
    """Raise PrecheckError when one of the files is a symbolic link on its host: it is neither replaced nor followed, also by --take-over."""
    facts = run.read_all({each.host: each.look for each in wanted})
    linked = {each.host: found for each in wanted if (found := files.links(facts[each.host].files, facts[each.host].files))}
    if linked:
        host, paths = next(iter(linked.items()))
        lines = [f"{each}: {files.not_files(those)}" for each, those in linked.items()]
        raise PrecheckError(f"nothing was changed:{indented(lines)}", hint=files.without_link(host, paths[0]))


def _moving(want: Wanted, claims: Claims) -> list[str]:
    """Return a line for each instance of somebody else's that has a VIP of hosts.yaml now; files from before lb.setup have none of ours."""
    if want.kept is None:
        return []
    return [
        f"{want.host}: in the part of {KEEPALIVED_CONF} that is not from lb.setup {line}, as hosts.yaml has now"
        for line in moves(want.site, claims)
    ]


def still_kept(want: Wanted, claims: Claims) -> None:
    """Raise PrecheckError when the parts from before lb.setup are not (any more) those that the wanted files have.

    They were read when the command began. Its owner may have edited them since, or the host did not answer then.
    """
    if want.kept is not None and taken(want.site, want.host, claims).kept != want.kept:
        raise PrecheckError(
            f"{want.host}: the parts of {HAPROXY_CFG} and {KEEPALIVED_CONF} that are from before lb.setup have changed since this "
            "command has read them; nothing was changed there",
            hint=f"inv {want.command} again reads them anew",
        )


def try_out(run: Run, wanted: Sequence[tuple[Wanted, Claims]]) -> None:
    """Have haproxy and keepalived on each host check the files that it should have; changes nothing. Raises PrecheckError when they refuse."""
    probes = {each.host: lb_claims.accepted(each.files, claims.haproxy_reads) for each, claims in wanted}
    for host, said in (run.read_all(probes) if probes else {}).items():
        if said:
            raise PrecheckError(
                f"{host} refuses the new configuration; nothing was changed on any load balancer\n{said}",
                hint=f"correct {HAPROXY_CFG} or {KEEPALIVED_CONF} on {host}, where it says so, or hosts.yaml; then again",
            )


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
