"""`inv lb.rollback`: the configuration that load balancers had before."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from runbooks.commands import lb
from runbooks.commands.files import File, Found, found
from runbooks.commands.lb_config import is_ours
from runbooks.commands.lb_paths import HAPROXY_CFG, KEEPALIVED_CONF
from runbooks.errors import PrecheckError
from runbooks.inventory.model import Host, Site
from runbooks.lb.files import lb_files
from runbooks.lb.steps import set_up
from runbooks.lb.taken import deaf_in_the_end
from runbooks.lb.wanted import Wanted, standby_first
from runbooks.text import listed

if TYPE_CHECKING:
    from runbooks.engine.session import Session


def roll_back(session: Session, *, original: bool) -> None:
    """Bring back the newest configuration that differs from the present one, or (``original``) that from before lb.setup.

    Raises PrecheckError when there is none, or when two masters would come of it.
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
