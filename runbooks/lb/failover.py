"""How the VIP is handed over, step by step; `runbooks.lb.tasks` has the command."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from runbooks.commands import lb
from runbooks.commands.base import Probe, cmd
from runbooks.commands.lb import LbState
from runbooks.commands.lb_paths import FLAGS
from runbooks.engine.by_hand import by_hand
from runbooks.engine.steps import Procedure, Run, Step, Unmet
from runbooks.errors import PrecheckError, RunbookError
from runbooks.inventory.model import Host, Site
from runbooks.rules import lb as rules

MEASURE_S = 4  # longer than a hand-over takes


def hand_over(site: Site, target: Host, observer: Host | None) -> Procedure:
    """Return the procedure that moves the VIP to ``target``; ``observer`` measures what clients see, if there is one."""
    return Procedure(
        "lb.failover",
        f"Hand the VIP {site.endpoint.vip} to {target}",
        [able_to_hold(target), take_over(target, observer)],
        inputs={"to": target.name},
    )


def observer(run: Run) -> Host | None:
    """Return a host that is no LB and answers: from there the VIP looks as it does to a client."""
    probe = Probe(cmd("true", root=False), lambda _: True)
    said = run.read_each({host: probe for host in run.site.hosts if not host.is_lb}, fresh=True)
    return next((host for host, each in said.items() if not isinstance(each, RunbookError)), None)


def able_to_hold(target: Host) -> Step:
    """Refuse to hand the VIP to an LB that could not serve."""

    def check(run: Run) -> None:
        if reason := rules.not_ready_to_hold(_states(run)[target]):
            raise PrecheckError(
                f"{target} must not get the VIP: {reason}", hint="inv lb.setup repairs what differs from hosts.yaml"
            )

    return Step("is able to hold the VIP", target, check=check, by_hand=by_hand("lb", "able_to_hold", down=FLAGS["down"]))


def take_over(target: Host, observer: Host | None) -> Step:
    """Drain the LBs that outrank the target, so that the VIP goes there and stays."""

    def done(run: Run) -> bool | Unmet:
        states = _states(run)
        return Unmet.of(rules.not_a_pair(states) or rules.not_handed_over(states, target))

    def drain(run: Run) -> None:
        states = _states(run)
        for host, on in rules.drains(list(states), target).items():
            if states[host].drained != on:
                run.change(host, lb.drain(on=on))

    def do(run: Run) -> None:
        if observer and not run.plan:
            _measured(run, observer, drain)
            return
        drain(run)
        if not observer:
            run.note(target, "no host besides the LBs answers, so nobody measures what clients see")

    text = by_hand("lb", "take_over", host=target, drain=FLAGS["drain"])
    return Step("take the VIP over", target, done=done, do=do, within=30, by_hand=text)


def _states(run: Run) -> dict[Host, LbState]:
    return run.read_all({host: lb.state(run.site, host) for host in run.site.load_balancers})


def _measured(run: Run, observer: Host, act: Callable[[Run], None]) -> None:
    """Carry ``act`` out while ``observer`` opens connections through the VIP, and note what it saw."""
    with ThreadPoolExecutor(max_workers=1) as pool:
        measured = pool.submit(run.read, observer, lb.probe_vip(run.site, MEASURE_S))
        act(run)
        tried, failed, longest_ms = measured.result()
    run.note(
        observer,
        f"{observer} opened {tried} connections through the VIP meanwhile: {failed} failed, longest gap {longest_ms} ms",
    )
