"""Take a control plane host out of the load balancers before work on it, and let them use it again afterwards."""

from __future__ import annotations

from typing import Literal

from runbooks.commands import haproxy, lb
from runbooks.commands.haproxy import Backend
from runbooks.engine.by_hand import by_hand
from runbooks.engine.steps import Run, Step, Unmet
from runbooks.errors import RunbookError
from runbooks.inventory.model import Host
from runbooks.rules import lb as rules
from runbooks.rules.lb_servers import API, backends_of

BACKEND = API
BACKENDS = backends_of(API)  # the one that is looked at is the last: an interrupted run does both again


def take_out(host: Host) -> Step:
    """Set ``host`` to maintenance in HAProxy, so that it gets no new connections. An LB that does not answer is skipped: it sends none.

    Nor is it taken out of an LB that this tool has not set up, which is said.
    """

    def tell(run: Run) -> None:
        if not _servers(run, host) and (foreign := not_ours(run)):
            run.note(host, f"{foreign}: it is not taken out there, and connections to it may break; {rules.TAKE_OVER}")

    return Step(
        "take it out of the load balancers",
        host,
        check=tell,
        done=lambda run: not _lbs_with(run, host, maintenance=False),
        do=lambda run: _set(run, host, "maint"),
        within=10,
        by_hand=by_hand("lb", "take_out", host=host, backends=BACKENDS),
    )


def let_in(host: Host) -> Step:
    """End the maintenance of ``host`` in HAProxy, and wait until its health check passes on every LB that answers.

    One that was begun by `inv lb.maintenance` is left as it is: whoever began it ends it.
    """

    def tell(run: Run) -> None:
        for balancer, server in _servers(run, host).items():
            if server.maintenance:
                run.note(host, f"stays out of {balancer}: {server.maintenance.who} took it out ({server.maintenance.reason})")

    def done(run: Run) -> bool | Unmet:
        for balancer, server in _servers(run, host).items():
            if not server.up and not server.maintenance:
                return Unmet(f"{balancer} says it is {server.status} ({server.check.lstrip('* ')})")
        return True

    return Step(
        "let the load balancers use it",
        host,
        check=tell,
        done=done,
        do=lambda run: _set(run, host, "ready"),
        within=60,
        by_hand=by_hand("lb", "let_in", host=host, backends=BACKENDS),
    )


def in_use(run: Run, host: Host) -> bool:
    """Return whether at least one LB answers, and each one that does sends connections to ``host``."""
    servers = _servers(run, host)
    return bool(servers) and all(server.up for server in servers.values())


def not_ours(run: Run) -> str:
    """Name the LBs that this tool has not set up: whom they use cannot be told, and nobody is taken out there; "" for none."""
    seen = run.read_each({host: lb.state(run.site, host) for host in run.site.load_balancers})
    return rules.not_ours({host: state for host, state in seen.items() if not isinstance(state, RunbookError)})


def _servers(run: Run, host: Host) -> dict[Host, Backend]:
    """Return the state of ``host`` on each LB that answers and has it in its configuration."""
    found: dict[Host, Backend] = {}
    for balancer in run.site.load_balancers:
        try:
            table = run.read(balancer, haproxy.backends()) or ()
        except RunbookError:
            continue
        mine = [server for server in table if server.proxy == BACKEND and server.server == host.name]
        if mine:
            found[balancer] = mine[0]
    return found


def _lbs_with(run: Run, host: Host, *, maintenance: bool) -> list[Host]:
    """Return the LBs on which ``host`` is in maintenance (other than by `inv lb.maintenance`), or on which it is not."""
    there = _servers(run, host)
    return [
        balancer for balancer, server in there.items() if server.out == maintenance and not (maintenance and server.maintenance)
    ]


def _set(run: Run, host: Host, state: Literal["maint", "ready"]) -> None:
    for balancer in _lbs_with(run, host, maintenance=state == "ready"):
        run.change(balancer, haproxy.set_servers([f"{backend}/{host.name}" for backend in BACKENDS], state))
