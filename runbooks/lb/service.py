"""Steps that run, reload and stop the two services of a load balancer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from runbooks.commands import files, lb, lb_config
from runbooks.commands.files import Found
from runbooks.commands.lb_own import with_origins
from runbooks.commands.lb_paths import HAPROXY_CFG, KEEPALIVED_CONF
from runbooks.engine.by_hand import by_hand
from runbooks.engine.steps import Run, Step, Unmet
from runbooks.errors import OutcomeError, PrecheckError
from runbooks.inventory.model import Host
from runbooks.lb.wanted import Wanted
from runbooks.rules import lb as rules
from runbooks.text import indented, listed


def run_service(want: Wanted, unit: str, config: str, aside: Sequence[Host] | None = None) -> Step:
    """Enable and start the unit, or reload it when it runs with another configuration than the wanted one. Never restarts it.

    When it cannot load the new files, the old ones are put back and loaded. A configuration from before lb.setup may have no file for
    the unit; then it is stopped. ``aside``: in a switch, the LBs whose keepalived is stopped meanwhile. One of them that goes back to its old
    files starts it again; the one that has the VIP keeps it while its own is reloaded.
    """
    wanted_file = want.text(config)

    def done(run: Run) -> bool | Unmet:
        state = run.read(want.host, want.look).state
        if not wanted_file:
            return Unmet.of(rules.not_stopped(state, unit))
        return Unmet.of(rules.not_running_with(state, unit, want.sha(config), lb_config.mark(wanted_file)))

    def do(run: Run) -> None:
        if not wanted_file:
            run.change(want.host, lb.stop_service(unit))
            return
        answer = run.change(
            want.host, lb.run_service(unit, want.paths, aside=want.host in (aside or ()), bridged=_bridged(want, aside))
        )
        if answer and answer.exited == lb.NOT_LOADED:
            raise _not_loaded(want, unit, with_origins(answer.stdout, want.text(HAPROXY_CFG), HAPROXY_CFG), aside or ())

    # Settled: what the unit runs with is compared with the wanted file, not with the file that an earlier step installs.
    text = by_hand("lb", "run_service", unit=unit)
    return Step(f"run {unit} with this configuration", want.host, done=done, do=do, within=30, settled=True, by_hand=text)


def _bridged(want: Wanted, aside: Sequence[Host] | None) -> list[str]:
    return [str(each) for each in want.site.vips.values()] if aside is not None and want.host not in aside else []


def _not_loaded(want: Wanted, unit: str, output: str, aside: Sequence[Host]) -> OutcomeError:
    said, after = lb.parse_not_loaded(output)
    what = {
        "back": f"the old files are back on {want.host}, and loaded: it serves as before",
        "broken": f"the old files are back on {want.host}, but {unit} could not load them either: do not restart it, it would not start",
        "none": f"there was no earlier configuration to put back on {want.host}: do not restart {unit}, it would not start",
    }[after]
    left = [host for host in aside if host != want.host]
    stopped = (
        f"\n       keepalived of {listed(left)} is stopped until then; inv lb.rollback --original starts it with the old files"
        if left
        else ""
    )
    return OutcomeError(
        f"{unit} on {want.host} could not load its new configuration: {what}. It said:{indented(files.hidden(said).splitlines())}",
        hint=f"correct what it names (hosts.yaml, or on {want.host}), then inv lb.setup; all it said: journalctl -u {unit}{stopped}",
    )


def step_aside(want: Wanted, last: Wanted) -> Step:
    """Stop keepalived of an LB without the VIP, also at boot, unless it and the LB with the VIP have the new files already."""

    def done(run: Run) -> bool | Unmet:
        there = run.read_all({each.host: each.look for each in (want, last)})
        if all(_has(there[each.host].files, each) for each in (want, last)):
            return True  # an interrupted run has come that far
        return Unmet.of(rules.not_stopped(there[want.host].state, "keepalived"))

    def do(run: Run) -> None:
        states = run.read_all({each.host: each.look for each in (want, last)})
        if states[want.host].state.holds_vip and not states[last.host].state.holds_vip:
            raise PrecheckError(
                f"the VIP has moved to {want.host} meanwhile; its keepalived was not stopped",
                hint=f"run inv {want.command} again: it begins with the LB that does not hold the VIP",
            )
        run.change(want.host, lb.stop_service("keepalived"))

    return Step(
        "stand aside while the other LB changes",
        want.host,
        done=done,
        do=do,
        settled=True,
        by_hand=by_hand("lb", "step_aside", host=want.host, other=last.host),
    )


def is_master(want: Wanted) -> Step:
    """Gate: the only LB whose keepalived runs is master. Another one that starts before would take the VIP, and give it back."""

    def done(run: Run) -> bool | Unmet:
        return Unmet.of(rules.not_master(want.judged(run.read(want.host, want.look).state)))

    return Step("holds the VIP", want.host, done=done, within=30, by_hand=by_hand("lb", "is_master", host=want.host))


def _has(there: Mapping[str, Found], want: Wanted) -> bool:
    return KEEPALIVED_CONF in there and there[KEEPALIVED_CONF].content == want.text(KEEPALIVED_CONF)
