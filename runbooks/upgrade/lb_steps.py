"""The steps of `inv upgrade.lb` on one load balancer: try, install, prove, and go back to the old packages when that fails."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from runbooks.commands import haproxy, lb, lb_claims
from runbooks.commands import service_packages as commands
from runbooks.commands.base import Probe, batch, cmd
from runbooks.commands.lb import LbState
from runbooks.commands.lb_paths import HELD_BEFORE
from runbooks.commands.service_packages import Services
from runbooks.engine.by_hand import by_hand
from runbooks.engine.packages import install
from runbooks.engine.retry import until
from runbooks.engine.steps import Run, Step, Unmet
from runbooks.errors import CommandError, OutcomeError, PrecheckError, RunbookError
from runbooks.inventory.model import Host, Site
from runbooks.rules import lb as lb_rules
from runbooks.text import indented, listed
from runbooks.upgrade.rules import services as rules

KIND: Final = "lb"
UNITS: Final = ("haproxy", "keepalived")  # packages of the same names
LOOK: Final = commands.look(KIND, UNITS, UNITS)
SERVES_WITHIN_S = 30


@dataclass(frozen=True, slots=True)
class Pair:
    """The load balancers of a site, and the versions that their packages are to have."""

    site: Site
    versions: Mapping[Host, Mapping[str, str]]

    def look(self, host: Host) -> Probe[tuple[Services, LbState]]:
        """Ask for the packages and the state of one LB."""
        both = batch(LOOK, lb.state(self.site, host))
        return Probe(both.command, lambda answer: _two(both.parse(answer)))

    def states(self, run: Run) -> dict[Host, tuple[Services, LbState]]:
        """Return the packages and the states of all LBs. Raises the error of one that cannot be read."""
        return run.read_all({host: self.look(host) for host in self.versions})

    def lacking(self, seen: Services, state: LbState, host: Host) -> str:
        """Say why ``host`` is not at its versions, or does not serve."""
        return rules.not_current(seen, self.versions[host], UNITS) or lb_rules.not_serving(state) or lb_rules.outdated(state)

    def told(self, host: Host) -> str:
        """Return the versions of ``host`` in words."""
        return ", ".join(f"{name} {version}" for name, version in self.versions[host].items())


def _two(both: tuple[Services, LbState]) -> tuple[Services, LbState]:
    seen, state = both
    return seen, state


def pair_is_whole(pair: Pair) -> Step:
    """Gate, before anything is changed: one LB holds the VIP, and all serve. An LB that an interrupted upgrade left behind need not."""

    def check(run: Run) -> None:
        found = pair.states(run)
        if foreign := lb_rules.not_ours({host: state for host, (_, state) in found.items()}):
            raise PrecheckError(f"{foreign}, so the VIP cannot be moved for the upgrade", hint=lb_rules.TAKE_OVER)
        wrong = [
            f"{host}: {reason}"
            for host, (seen, state) in found.items()
            if (reason := lb_rules.not_serving(state)) and (state.holds_any or not rules.was_interrupted(seen, UNITS))
        ]
        wrong += filter(None, [lb_rules.not_a_pair({host: state for host, (_, state) in found.items()})])
        if wrong:
            raise PrecheckError(
                f"the load balancers are not well; nothing was changed:{indented(wrong)}",
                hint="inv lb.status; inv lb.setup repairs what differs from hosts.yaml",
            )

    return Step(
        "one load balancer holds the VIP, and all serve",
        check=check,
        by_hand=by_hand("upgrade", "lb_pair", endpoint=pair.site.endpoint),
    )


def try_new(pair: Pair, host: Host) -> Step:
    """Have the new programs check the configuration of ``host``, before any package is installed anywhere."""
    versions = pair.versions[host]

    def done(run: Run) -> bool:
        seen = run.read(host, LOOK)
        return rules.tried(seen, versions) or all(seen.packages.get(name) == version for name, version in versions.items())

    def do(run: Run) -> None:
        reads = run.read(host, lb_claims.look()).haproxy_reads
        old = rules.to_keep(run.read(host, LOOK))
        try:
            answer = run.change(host, commands.try_lb(KIND, versions, old, reads))
        except CommandError as error:
            raise _not_tried(host, error) from None
        for each in commands.unkept(answer):
            run.note(host, f"no repository offers {each} any more: if the new one does not work there, it cannot be put back")

    return Step(
        "fetch the packages; the new programs check the configuration",
        host,
        done=done,
        do=do,
        by_hand=by_hand("upgrade", "lb_try", versions=versions),
    )


def _not_tried(host: Host, error: CommandError) -> Exception:
    said = "\n".join(str(error).splitlines()[1:])
    if error.exited == commands.REFUSED:
        return PrecheckError(
            f"{host}: the new version does not take the configuration; nothing was changed, and the old version serves\n{said}",
            hint="correct what it names (inv lb.setup installs it for the present version first), or name another version: --to-haproxy, --to-keepalived",
        )
    if error.exited == commands.CANNOT_RUN:
        return PrecheckError(
            f"{host}: nothing was changed, and the old version serves\n{said}",
            hint="upgrade the host's libraries first (the operating system), or name another version: --to-haproxy, --to-keepalived",
        )
    return error


def refuse_holder(pair: Pair, run: Run, host: Host, what: str, again: str) -> None:
    """Raise PrecheckError when a VIP would go with ``host``, or no other load balancer holds the API's and serves.

    ``what`` would be done to it ("rebooted"); ``again``: the command after the way out, in words.
    """
    found = {each: state for each, (_, state) in pair.states(run).items()}
    if found[host].holds_any:
        other = next(each for each in pair.site.load_balancers if each != host)
        raise PrecheckError(
            f"{host} holds {listed(found[host].held)}; it is not {what} now", hint=f"inv lb.failover --to {other}, then {again}"
        )
    if not any(state.holds_vip and not lb_rules.not_serving(state) for each, state in found.items() if each != host):
        raise PrecheckError(f"{host}: no other load balancer holds the VIP and serves", hint="inv lb.status")


def upgrade(pair: Pair, host: Host) -> Step:
    """Install the packages on ``host``, which does not hold the VIP, and prove that they work.

    Otherwise the old packages are put back. Never works on the LB that holds the VIP, or while no other one holds it and serves.
    """

    def done(run: Run) -> bool | Unmet:
        return Unmet.of(pair.lacking(*run.read(host, pair.look(host)), host))

    def check(run: Run) -> None:
        if done(run):
            return
        refuse_holder(pair, run, host, "worked on", "inv upgrade.lb again")

    def do(run: Run) -> None:
        try:
            install(run, host, commands.put(KIND, pair.versions[host], UNITS))
            _prove(pair, run, host, lambda seen: rules.not_current(seen, pair.versions[host], UNITS))
        except (CommandError, OutcomeError) as error:
            if isinstance(error, CommandError) and error.exited != commands.NOT_STARTED:
                raise
            _go_back(pair, run, host, error)

    return Step(
        f"install {pair.told(host)}, restart, prove",
        host,
        check=check,
        done=done,
        do=do,
        within=SERVES_WITHIN_S,
        by_hand=by_hand("upgrade", "lb_install", host=host, versions=pair.versions[host], balancer=pair.site.load_balancer),
    )


def _prove(pair: Pair, run: Run, host: Host, wrong: Callable[[Services], str]) -> None:
    """Have both services prove that they run with their files, and wait until the LB serves. Raises OutcomeError, or CommandError."""
    for unit in UNITS:
        answer = run.change(host, lb.run_service(unit, ()))
        if answer and answer.exited == lb.NOT_LOADED:
            said, _ = lb.parse_not_loaded(answer.stdout)
            raise OutcomeError(f"{unit} does not run with its configuration:{indented(said.splitlines())}")
    if run.plan:
        return

    def serves() -> bool | Unmet:
        run.look_anew()
        seen, state = run.read(host, pair.look(host))
        return Unmet.of(wrong(seen) or lb_rules.not_serving(state) or lb_rules.outdated(state))

    until(serves, within=SERVES_WITHIN_S, poll=run.poll)


def _go_back(pair: Pair, run: Run, host: Host, why: Exception) -> None:
    """Put the old packages back, and raise OutcomeError: why, and whether that went well."""
    failed = f"{host}: {pair.told(host)} does not work there: {why}"
    vip = _where_the_vip_is(pair, run, host)
    run.note(host, f"the new packages do not work; the old ones are put back: {str(why).splitlines()[0]}")
    try:
        run.change(host, commands.put_back(KIND, pair.versions[host], UNITS))
        _prove(pair, run, host, lambda seen: "; ".join(f"{unit} does not run" for unit in UNITS if seen.units[unit] != "current"))
    except (CommandError, OutcomeError) as error:
        raise OutcomeError(
            f"{failed}\nThe old packages could not be put back: {error}\n{vip}",
            hint=f"do not move the VIP to {host}; on {host}: journalctl -u haproxy -u keepalived; then inv upgrade.lb again",
        ) from None
    now = run.read(host, LOOK).packages
    old = listed(f"{name} {now.get(name, '?')}" for name in UNITS)
    with suppress(RunbookError):  # the next run does it
        run.change(host, commands.forget(KIND))
    raise OutcomeError(
        f"{failed}\nThe old packages are back ({old}), and {host} serves as before.\n{vip}",
        hint="name another version: --to-haproxy, --to-keepalived; or correct what it says, then inv upgrade.lb again",
    )


def _where_the_vip_is(pair: Pair, run: Run, host: Host) -> str:
    """Say where the VIP stays when ``host`` failed: this command has moved it away from there before, or has not moved it."""
    try:
        found = pair.states(run)
        origin = next((each for each in pair.versions if run.read(each, was_holder())), None)
    except RunbookError:
        return "The VIP was on another load balancer before this step."
    holder = next((each for each, (_, state) in found.items() if state.holds_vip), None)
    if not holder:
        return "No load balancer says that it holds the VIP."
    if not origin or origin == holder:
        return f"The VIP is on {holder}; it has not moved."
    return f"The VIP has moved from {origin} to {holder}, and stays there until inv upgrade.lb or inv lb.failover moves it back."


def serves_again(pair: Pair, host: Host) -> Step:
    """Gate: ``host`` takes the same servers for up as the LB that holds the VIP. Only then is the next LB worked on."""

    def done(run: Run) -> bool | Unmet:
        holder = next((each for each, (_, state) in pair.states(run).items() if state.holds_vip and each != host), None)
        asked = run.read_all({each: haproxy.backends() for each in (host, holder) if each})
        seen, state = run.read(host, pair.look(host))
        return Unmet.of(pair.lacking(seen, state, host) or (rules.sees_less(asked[host], asked[holder]) if holder else ""))

    text = by_hand("upgrade", "lb_serves", host=host, balancer=pair.site.load_balancer)
    return Step("serves, and sees the API servers", host, done=done, within=SERVES_WITHIN_S, by_hand=text)


def settle(host: Host) -> Step:
    """Take the packages that were kept away: the new ones are proved, there is nothing to go back to any more."""

    def done(run: Run) -> bool:
        seen = run.read(host, LOOK)
        return not (seen.kept or seen.tried or seen.trial)

    return Step(
        "take away what was kept for going back",
        host,
        done=done,
        do=lambda run: run.change(host, commands.forget(KIND)),
        by_hand=by_hand("upgrade", "lb_settle"),
    )


def remember(host: Host) -> Step:
    """Note on ``host`` that it held the VIP: it gets it back in the end, also when this run is interrupted."""
    return Step(
        "note that it held the VIP",
        host,
        done=lambda run: run.read(host, was_holder()),
        do=lambda run: run.change(host, cmd("touch", HELD_BEFORE)),
        by_hand=by_hand("upgrade", "lb_remember"),
    )


def forget(host: Host) -> Step:
    """Take the note away: the VIP is where it was before."""
    return Step(
        "take that note away",
        host,
        done=lambda run: not run.read(host, was_holder()),
        do=lambda run: run.change(host, cmd("rm", "-f", HELD_BEFORE)),
        by_hand=by_hand("upgrade", "lb_forget"),
    )


def was_holder() -> Probe[bool]:
    """Ask whether an interrupted run has noted that this LB held the VIP."""
    return Probe(cmd("test", "-e", HELD_BEFORE).expecting(0, 1), lambda answer: answer.exited == 0)


def all_arrived(pair: Pair) -> Step:
    """Gate: every LB is at its versions and serves, and the VIP is on exactly one."""

    def done(run: Run) -> bool | Unmet:
        found = pair.states(run)
        wrong = [f"{host}: {reason}" for host, (seen, state) in found.items() if (reason := pair.lacking(seen, state, host))]
        return Unmet.of("; ".join(wrong) or lb_rules.not_a_pair({host: state for host, (_, state) in found.items()}))

    text = by_hand("lb", "verify_pair", endpoint=pair.site.endpoint, vips=pair.site.load_balancer.vips)
    return Step("every load balancer is at its versions, the VIP on exactly one", done=done, within=30, by_hand=text)
