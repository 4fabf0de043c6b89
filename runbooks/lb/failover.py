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


def hand_over(site: Site, target: Host, observer: Host | None, *, every: bool = False) -> Procedure:
    """Return the procedure that moves the VIP to ``target``. If there is an ``observer``, it measures what clients see.

    ``every``: every VIP, those that prefer another LB too; otherwise each of them goes to the LB that it prefers, unless that one is drained.
    """
    title = f"Hand the VIP {site.endpoint.vip} to {target}"
    inputs = {"to": target.name}
    if site.load_balancer.vips:
        title = f"Hand every VIP to {target}" if every else f"{title}, every other VIP to the LB that it prefers"
        inputs["which"] = "all" if every else "home"
    return Procedure("lb.failover", title, [can_hold(target), take_over(target, observer, every=every)], inputs=inputs)


def observer(run: Run) -> Host | None:
    """Return a host that answers and is no LB, to test the VIP as a client does; None when there is none."""
    probe = Probe(cmd("true", root=False), lambda _: True)
    answers = run.read_each({host: probe for host in run.site.hosts if not host.is_lb}, fresh=True)
    return next((host for host, each in answers.items() if not isinstance(each, RunbookError)), None)


def can_hold(target: Host, *, name: str = "can hold the VIP") -> Step:
    """Gate: the target serves. Never hands the VIP to an LB that could not serve it."""

    def check(run: Run) -> None:
        if foreign := rules.not_ours(_states(run)):
            raise PrecheckError(f"{foreign}: it does not give the VIP away when this tool says so", hint=rules.TAKE_OVER)
        if reason := rules.not_ready_to_hold(_states(run)[target]):
            raise PrecheckError(
                f"{target} cannot take the VIP: {reason}", hint="inv lb.setup repairs what differs from hosts.yaml"
            )

    return Step(name, target, check=check, by_hand=by_hand("lb", "can_hold", down=FLAGS["down"]))


def take_over(target: Host, observer: Host | None, *, every: bool = False, name: str = "take over the VIP") -> Step:
    """Drain the LBs of higher priority than the target, so that the VIP moves there and stays; with ``every`` for any of the VIPs."""

    def wanted(run: Run) -> dict[Host, bool]:
        return rules.drains_for_all(run.site, target) if every else rules.drains(run.site.load_balancers, target)

    def done(run: Run) -> bool | Unmet:
        states = _states(run)
        return Unmet.of(rules.not_a_pair(states) or rules.not_handed_over(states, target, wanted(run)))

    def drain(run: Run) -> None:
        states = _states(run)
        for host, on in wanted(run).items():
            if states[host].drained != on:
                run.change(host, lb.drain(on=on))

    def do(run: Run) -> None:
        if observer and not run.plan:
            _measured(run, observer, drain)
            return
        drain(run)
        if not observer:
            run.note(target, "not measured what clients see: no host other than the LBs answers")

    text = by_hand("lb", "take_over", host=target, drain=FLAGS["drain"], every=every)
    return Step(name, target, done=done, do=do, within=30, by_hand=text)


def empties(site: Site, host: Host, target: Host, observer: Host | None) -> list[Step]:
    """Return the steps that have ``target`` take the VIPs that ``host`` may hold beside the one of the API; none where there is no such VIP."""
    if not site.load_balancer.vips or host == target:
        return []
    return [
        can_hold(target, name=f"can hold every VIP, without {host}"),
        take_over(target, observer, every=True, name=f"take over every VIP, without {host}"),
    ]


def comes_back(site: Site, back: Host | None, holder: Host, observer: Host | None) -> list[Step]:
    """Return the steps that give the VIP to ``back`` after work on the LBs, and every other VIP to the LB that it prefers.

    ``back``: None when the VIP of the API is where it was, on ``holder``; then only the others are handed back, if there are any.
    """
    if back:
        return [can_hold(back), take_over(back, observer)]
    return [take_over(holder, observer, name="hand the other VIPs back")] if site.load_balancer.vips else []


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
