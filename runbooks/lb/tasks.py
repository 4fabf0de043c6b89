"""Load balancers: HAProxy and keepalived in front of the API servers, and the VIP that one of the LBs holds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from runbooks import baseline
from runbooks.commands import lb
from runbooks.commands.base import MASK, Secret
from runbooks.commands.files import File, Found, found, masked
from runbooks.commands.lb_config import is_ours
from runbooks.commands.lb_paths import HAPROXY_CFG, KEEPALIVED_CONF
from runbooks.engine.tasks import procedure, query
from runbooks.errors import PrecheckError
from runbooks.inventory.model import Host, Site
from runbooks.lb.failover import hand_over, observer
from runbooks.lb.files import lb_files, lb_sysctl
from runbooks.lb.steps import set_up
from runbooks.lb.taken import deaf_in_the_end
from runbooks.lb.wanted import Wanted, standby_first, wanted
from runbooks.rules import lb as rules
from runbooks.text import listed

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
    site, run = session.site, session.run
    now = {host: lb_files(site, host, None) for host in site.load_balancers}
    where = run.read_all({host: lb.previous(those, original=original) for host, those in now.items()})
    kept = run.read_all({host: found((file.path for file in those), where[host]) for host, those in now.items()})
    left = {host: kept.pop(host) for host in (_without_original(kept, where) if original else ())}
    for host in left:
        run.listener.say(f"{host} is left as it is: no configuration from before lb.setup is kept there")
    before = [_former(site, host, now[host], former if where[host] else {}, original=original) for host, former in kept.items()]
    refuse_two_masters(site, before, left, original=original)
    title = f"Bring back the configuration before the last change on {site.name}"
    order, deaf = standby_first(run, before)
    session.carry_out(set_up("lb.rollback", title, order, deaf=deaf))


def _without_original(there: Mapping[Host, Mapping[str, Found]], where: Mapping[Host, str]) -> list[Host]:
    """Return the hosts that have kept no configuration from before lb.setup (``where`` is "").

    Either lb.setup has replaced none on them, or a take-over has not come to them yet, and the operator's own files are ``there``.
    Raises PrecheckError when no host has one.
    """
    without = [host for host in there if not where[host]]
    if len(without) < len(there):
        return without
    if all(_are_foreign(there[host]) for host in without):
        raise PrecheckError(
            "every load balancer still has the files from before lb.setup",
            hint="inv lb.status; where a take-over that was stopped has left keepalived stopped: systemctl enable --now keepalived",
        )
    raise PrecheckError(
        "no load balancer has kept a configuration from before lb.setup",
        hint="inv lb.rollback brings back the one before the last change",
    )


def refuse_two_masters(site: Site, before: Sequence[Wanted], left: Mapping[Host, Mapping[str, Found]], *, original: bool) -> None:
    """Raise PrecheckError when some LBs would have our keepalived.conf and others one from before: they would not hear each other."""
    texts = {host: there[KEEPALIVED_CONF].content for host, there in left.items() if KEEPALIVED_CONF in there}
    theirs, ours = deaf_in_the_end(site, texts | {each.host: each.text(KEEPALIVED_CONF) for each in before})
    if theirs:
        way = (
            f"on {listed(ours)}: systemctl disable --now keepalived, and move {KEEPALIVED_CONF} away; then again"
            if original
            else "inv lb.rollback --original brings all of them back to the files from before"
        )
        raise PrecheckError(
            f"{listed(theirs)} would get a keepalived.conf from before lb.setup, and {listed(ours)} would have one of lb.setup: they do not "
            "hear each other, and would both hold the VIP; nothing was changed",
            hint=way,
        )


def _are_foreign(there: Mapping[str, Found]) -> bool:
    return any(path in there and not is_ours(there[path].content) for path in (HAPROXY_CFG, KEEPALIVED_CONF))


def _former(site: Site, host: Host, ours: Sequence[File], kept: Mapping[str, Found], *, original: bool) -> Wanted:
    """Return a kept configuration as the wanted one. Raises PrecheckError when there is none."""
    there = {HAPROXY_CFG, KEEPALIVED_CONF} & set(kept)
    if not there or (not original and len(there) < 2):
        what = "no configuration from before lb.setup" if original else "no earlier configuration"
        raise PrecheckError(f"{host} has {what} to go back to", hint="inv lb.setup follows hosts.yaml")
    files = tuple(File(path, each.content, mode=each.mode, owner=each.owner) for path, each in kept.items())
    want = Wanted(site, host, files, take_over=True)
    if not want.original:
        return want
    # Our drop-ins would go on to call our hook. The scripts may stay: nothing calls them any more.
    ours_only = {file.path for file in ours if file.path.endswith(".conf")} | {HAPROXY_CFG}
    return replace(want, gone=tuple(sorted(ours_only - set(kept))))


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
    site, run = session.site, session.run
    states = run.read_all({host: lb.state(site, host) for host in site.load_balancers})
    home = bool(site.load_balancer.vips) and not to and any(state.drained for state in states.values())
    target = site.host(to, "lb") if to else site.load_balancers[0] if home else rules.standby(site.load_balancers, states)
    session.carry_out(hand_over(site, target, observer(run), every=bool(site.load_balancer.vips) and not home))
