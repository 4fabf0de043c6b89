"""The steps that hand the VIP over to another load balancer; `runbooks.lb.tasks` has the command."""

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

MEASURE_S = 4  # a failover takes less


def hand_over(site: Site, target: Host, observer: Host | None) -> Procedure:
    """Return the procedure that moves the VIP to ``target``. If there is an ``observer``, it measures what clients see."""
    return Procedure(
        "lb.failover",
        f"Hand the VIP {site.endpoint.vip} to {target}",
        [can_hold(target), take_over(target, observer)],
        inputs={"to": target.name},
    )


def observer(run: Run) -> Host | None:
    """Return a host that answers and is no LB, to test the VIP as a client does; None when there is none."""
    probe = Probe(cmd("true", root=False), lambda _: True)
    answers = run.read_each({host: probe for host in run.site.hosts if not host.is_lb}, fresh=True)
    return next((host for host, each in answers.items() if not isinstance(each, RunbookError)), None)


def can_hold(target: Host) -> Step:
    """Gate: the target serves. Never hands the VIP to an LB that could not serve it."""

    def check(run: Run) -> None:
        if reason := rules.not_ready_to_hold(_states(run)[target]):
            raise PrecheckError(
                f"{target} cannot take the VIP: {reason}", hint="inv lb.setup repairs what differs from hosts.yaml"
            )

    return Step("can hold the VIP", target, check=check, by_hand=by_hand("lb", "can_hold", down=FLAGS["down"]))


def take_over(target: Host, observer: Host | None) -> Step:
    """Drain the LBs of higher priority than the target, so that the VIP moves there and stays."""

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
            run.note(target, "not measured what clients see: no host other than the LBs answers")

    text = by_hand("lb", "take_over", host=target, drain=FLAGS["drain"])
    return Step("take over the VIP", target, done=done, do=do, within=30, by_hand=text)


def _states(run: Run) -> dict[Host, LbState]:
    return run.read_all({host: lb.state(run.site, host) for host in run.site.load_balancers})


def _measured(run: Run, observer: Host, act: Callable[[Run], None]) -> None:
    """Call ``act`` while ``observer`` opens connections through the VIP, and note how many failed."""
    with ThreadPoolExecutor(max_workers=1) as pool:
        measured = pool.submit(run.read, observer, lb.probe_vip(run.site, MEASURE_S))
        act(run)
        tried, failed, longest_ms = measured.result()
    run.note(
        observer,
        f"{observer} opened {tried} connections through the VIP during the change: {failed} failed, longest gap {longest_ms} ms",
    )
