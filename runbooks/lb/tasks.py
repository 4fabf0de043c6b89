"""Load balancers: a pair of HAProxy and keepalived in front of the API servers, and the VIP that one of them holds."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from runbooks.commands import files, lb
from runbooks.commands.base import MASK, Secret
from runbooks.commands.files import File
from runbooks.commands.lb_paths import HAPROXY_CFG, KEEPALIVED_CONF
from runbooks.engine.tasks import procedure, query
from runbooks.errors import PrecheckError
from runbooks.lb import files as lb_files
from runbooks.lb.failover import hand_over, observer
from runbooks.lb.steps import set_up
from runbooks.lb.wanted import Wanted, standby_first, wanted
from runbooks.rules import lb as rules

if TYPE_CHECKING:
    from runbooks.engine.session import Session


@procedure
def setup(session: Session) -> None:
    """Make the load balancers what hosts.yaml says.

    Safe on a pair in service: the standby is changed first, the holder of the VIP only when the standby has proven itself, and
    services are reloaded, never restarted. A configuration that haproxy or keepalived refuses touches nothing. Undo: lb.rollback.
    """
    site = session.site
    session.carry_out(
        set_up("lb.setup", f"Set up the load balancers of {site.name}", standby_first(session.run, wanted(session)))
    )


@procedure
def rollback(session: Session) -> None:
    """Bring back the previous configuration.

    Each LB keeps its last configurations; the newest one that differs from today's is put back, checked and in the same careful
    order as in lb.setup. Run it again to undo it. The next lb.setup follows hosts.yaml again.
    """
    site, run = session.site, session.run
    now = {host: lb_files.lb_files(site, host, None) for host in site.load_balancers}
    where = run.read_all({host: lb.previous(those) for host, those in now.items()})
    kept = run.read_all({host: files.found((file.path for file in those), where[host]) for host, those in now.items()})
    before = []
    for host, found in kept.items():
        if not where[host] or not {HAPROXY_CFG, KEEPALIVED_CONF} <= set(found):
            raise PrecheckError(f"{host} has no earlier configuration to go back to", hint="inv lb.setup follows hosts.yaml")
        former = (File(path, there.content, mode=there.mode, owner=there.owner) for path, there in found.items())
        before.append(Wanted(site, host, tuple(former)))
    title = f"Bring back the configuration before the last change on {site.name}"
    session.carry_out(set_up("lb.rollback", title, standby_first(run, before)))


@query
def status(session: Session) -> None:
    """Show who holds the VIP, and each server's state.

    Exit status 0 when the VIP is on exactly one LB and both serve, 1 otherwise.
    """
    from runbooks.lb.status import show  # noqa: PLC0415 - start-up time

    show(session)


@query(help={"to": "folder to write into; made when missing"})
def render(session: Session, to: str) -> None:
    """Write the LBs' files to a folder, for review.

    Connects to nothing. The VRRP secret, where there is one, is masked.
    """
    secret = Secret(MASK) if session.site.load_balancer.vrrp.version == 2 else None
    for host in session.site.load_balancers:
        for file in (*lb_files.lb_files(session.site, host, secret), lb_files.lb_sysctl(session.site)):
            path = Path(to) / host.name / file.path.lstrip("/")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(file.content, encoding="utf-8")
            print(path)


@procedure(help={"to": "the LB that shall hold the VIP; left out: the one that does not"})
def failover(session: Session, to: str = "") -> None:
    """Hand the VIP to the other LB, without a gap.

    For maintenance: the LB that lets go is drained, and stays so until the VIP is handed back with this same command (or the host
    reboots). Measures what clients see meanwhile. Refuses when the other LB could not serve.
    """
    site, run = session.site, session.run
    states = run.read_all({host: lb.state(site, host) for host in site.load_balancers})
    target = site.host(to, "lb") if to else rules.standby(site.load_balancers, states)
    session.carry_out(hand_over(site, target, observer(run)))
