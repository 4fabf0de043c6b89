"""Load balancers: HAProxy and keepalived in front of the API servers, and the VIP that one of the LBs holds."""

from __future__ import annotations

from typing import TYPE_CHECKING

from runbooks.engine.tasks import procedure, query

if TYPE_CHECKING:
    from runbooks.engine.session import Session


@procedure(
    help={
        "take_over": "also LBs that others have set up: the API's part is replaced, all the rest stays and works; lb.rollback --original brings the old files back",
        "new_password": "replace the LBs' VRRP password by a new one. If vrrp-auth-pass exists here, that password is installed; delete it first for a new one",
    }
)
def setup(session: Session, take_over: bool = False, new_password: bool = False) -> None:
    """Set up the load balancers as in hosts.yaml.

    Safe on a pair in service: the standby is changed first, and the holder of the VIP only when the standby serves. Services are
    reloaded, never restarted. What `baseline` in hosts.yaml names comes before the files on each, and its names before packages. A configuration that haproxy or keepalived refuses is not installed; one that they cannot load is put back.
    Refuses when another program holds one of the ports, and files that are not from lb.setup; --plan with --take-over shows what of them stays. Undo: lb.rollback.
    """
    from runbooks import baseline  # noqa: PLC0415 - start-up time
    from runbooks.lb.steps import set_up  # noqa: PLC0415
    from runbooks.lb.wanted import standby_first, wanted  # noqa: PLC0415

    site = session.site
    goal = wanted(session, take_over=take_over, new_password=new_password)
    order, deaf = standby_first(session.run, goal)
    first = baseline.by_host(site, [each.host for each in order], baseline.leftovers(session.run, site.load_balancers))
    names = [step for steps in first.values() for step in steps if step.name == baseline.TITLES["names"]]
    rest = {host: [step for step in steps if step not in names] for host, steps in first.items()}
    session.carry_out(set_up("lb.setup", f"Set up the load balancers of {site.name}", order, rest, names, deaf=deaf))


@procedure(help={"original": "bring back the files from before lb.setup --take-over"})
def rollback(session: Session, original: bool = False) -> None:
    """Bring back the previous configuration.

    Each LB keeps its last configurations. Puts back the newest one that differs from the present one, with the same checks and in the
    same order as lb.setup. Run it again to undo it. The next lb.setup follows hosts.yaml again.
    """
    from runbooks.lb.former import roll_back  # noqa: PLC0415 - start-up time

    roll_back(session, original=original)


@query
def status(session: Session) -> None:
    """Show who holds the VIP, and each server's state.

    Exit status 0 when the VIP is on exactly one LB and both serve, 1 otherwise.
    """
    from runbooks.lb.status import show  # noqa: PLC0415 - start-up time

    show(session)


@query(help={"to": "directory to write to; created when missing"})
def render(session: Session, to: str) -> None:
    """Write the LBs' files to a directory, for review.

    Connects to no host. A VRRP password, and hashes of passwords in your own sections, are masked.
    """
    from pathlib import Path  # noqa: PLC0415 - start-up time

    from runbooks.commands.base import MASK, Secret  # noqa: PLC0415
    from runbooks.commands.files import masked  # noqa: PLC0415
    from runbooks.lb.files import lb_files, lb_sysctl  # noqa: PLC0415

    secret = Secret(MASK) if session.site.load_balancer.vrrp.version == 2 else None
    for host in session.site.load_balancers:
        for file in (*lb_files(session.site, host, secret), lb_sysctl(session.site)):
            path = Path(to) / host.name / file.path.lstrip("/")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(masked(file.content, file), encoding="utf-8")
            print(path)


@procedure(
    positional=["state"],
    help={
        "state": "on or off",
        "server": "a host, such as master2: in all back ends that have it",
        "backend": "a back end, such as ingress-http: all of its servers, or only --server",
        "reason": "with on: why; lb.status shows it until the maintenance is over",
    },
)
def maintenance(session: Session, state: str, server: str = "", backend: str = "", reason: str = "") -> None:
    """Take servers out of the LBs, or let them in.

    With on, they get no new connections; those that are open stay open. It lasts, also over a reload of HAProxy and a reboot of a load
    balancer, until off is said, and no other command ends it. Refused (3) when no other API server is up.
    """
    from runbooks.lb.maintenance import maintenance as work  # noqa: PLC0415 - start-up time

    work(session, state, server, backend, reason)


@procedure(help={"to": "the LB that gets the VIP; default: the one that does not hold it"})
def failover(session: Session, to: str = "") -> None:
    """Hand the VIP to the other LB, without a gap.

    For maintenance: the LB that held the VIP is drained until the VIP is handed back with this same command, or until the host
    reboots. Measures what clients see during the change. Refuses when the other LB could not serve. With several VIPs, --to HOST gives that
    LB all of them; without --to, while an LB is drained, each VIP goes back to the LB that it prefers.
    """
    from runbooks.commands import lb  # noqa: PLC0415 - start-up time
    from runbooks.lb.failover import hand_over, observer  # noqa: PLC0415
    from runbooks.rules import lb as rules  # noqa: PLC0415

    site, run = session.site, session.run
    states = run.read_all({host: lb.state(site, host) for host in site.load_balancers})
    home = bool(site.load_balancer.vips) and not to and any(state.drained for state in states.values())
    target = site.host(to, "lb") if to else site.load_balancers[0] if home else rules.standby(site.load_balancers, states)
    session.carry_out(hand_over(site, target, observer(run), every=bool(site.load_balancer.vips) and not home))
