"""What `inv lb.status` shows."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING

from runbooks.commands import files, haproxy, lb
from runbooks.commands.base import batch
from runbooks.commands.haproxy import Backend
from runbooks.commands.lb import LbState
from runbooks.commands.lb_paths import HAPROXY_CFG, KEEPALIVED_CONF
from runbooks.errors import OutcomeError, RunbookError, first_hint
from runbooks.inventory.model import Host, Site
from runbooks.inventory.words import literal
from runbooks.lb.wanted import kept_in
from runbooks.rules import lb as rules
from runbooks.text import age_text, table

if TYPE_CHECKING:
    from runbooks.engine.session import Session

LbStatus = tuple[LbState, tuple[Backend, ...] | None]


def show(session: Session) -> None:
    """Print every LB and every server behind it. Raises OutcomeError unless exactly one LB holds the VIP and all of them serve."""
    site = session.site
    written = files.found([HAPROXY_CFG, KEEPALIVED_CONF])
    probes = {host: batch(lb.state(site, host), haproxy.backends(), written) for host in site.load_balancers}
    answers = session.run.read_at_once(probes)
    seen: dict[Host, LbStatus] = {}
    failed: dict[Host, RunbookError] = {}
    kept: dict[Host, list[str]] = {}
    for host, each in answers.items():
        if isinstance(each, RunbookError):
            failed[host] = each
        else:
            state, backends, there = each
            seen[host] = (state, backends)
            kept[host] = kept_in(there).named
    if not seen:
        raise next(iter(failed.values()))
    found = problems(seen, failed)
    if session.options.json:
        print(json.dumps(_for_machines(seen, found, kept)))
    else:
        _print_tables(site, seen, failed)
        if rows := [[host.name, each] for host, those in kept.items() for each in those]:
            print("\n" + table(["LB", "from before lb.setup, left as it is"], rows))
    if found:
        hangs = any(state.haproxy.active == "active" and state.haproxy_runs is None for state, _ in seen.values())
        repair = (
            "inv recover.vip restarts an HAProxy that hangs" if hangs else "inv lb.setup repairs what differs from hosts.yaml"
        )
        hint = first_hint(list(failed.values())) or repair
        raise OutcomeError("\n       ".join(found), hint=hint)


def problems(seen: Mapping[Host, LbStatus], failed: Mapping[Host, RunbookError]) -> list[str]:
    """Return everything that is wrong with the LBs, one line each."""
    states = {host: state for host, (state, _) in seen.items()}
    found = [str(error) for error in failed.values()]
    found += filter(None, [rules.not_a_pair(states)])
    found += [f"{host}: {reason}" for host, state in states.items() if (reason := rules.not_serving(state))]
    found += [f"{host}: {reason}" for host, state in states.items() if (reason := rules.outdated(state))]
    return found


def _print_tables(site: Site, seen: Mapping[Host, LbStatus], failed: Mapping[Host, RunbookError]) -> None:
    others = "".join(f", VIP {vip.name} {vip.address}" for vip in site.load_balancer.vips)
    print(f"{site.name}: VIP {literal(site.endpoint.vip)}:{site.endpoint.port}{others}\n")
    rows = []
    for host in site.load_balancers:
        if host in failed:
            rows.append([host.name, str(host.address), "?", "does not answer", "", "", ""])
            continue
        state = seen[host][0]
        vrrp = f"{state.vrrp or 'unknown'} for {age_text(state.vrrp_for_s)}" + (", drained" if state.drained else "")
        services = (
            f"{unit.active} since {unit.since}" if unit.active == "active" else unit.active
            for unit in (state.haproxy, state.keepalived)
        )
        rows.append([host.name, str(host.address), _held(state), vrrp, *services, state.api])
    print(table(["LB", "address", "holds", "VRRP", "haproxy", "keepalived", "VIP answers"], rows))
    _print_others(site, seen)
    if foreign := rules.not_ours({host: state for host, (state, _) in seen.items()}):
        print(f"\n{foreign}, so VRRP's states are not known here; {rules.TAKE_OVER} shows what would change")
    rows = [
        [host.name, each.proxy, each.server, each.status, age_text(each.since_s), each.check, str(each.sessions)]
        for host, (_, backends) in seen.items()
        for each in backends or ()
    ]
    print("\n" + table(["LB", "proxy", "server", "state", "since", "last check", "sessions"], rows))
    if rows := [
        [host.name, f"{each.proxy}/{each.server}", age_text(time.time() - note.since), note.who, note.reason]
        for host, (_, backends) in seen.items()
        for each in backends or ()
        if (note := each.maintenance)
    ]:
        print("\n" + table(["LB", "maintenance", "for", "by", "reason"], rows))


def _print_others(site: Site, seen: Mapping[Host, LbStatus]) -> None:
    """Print the VIPs beside the one of the API, if there are any."""
    if rows := [
        [
            vip.name,
            str(vip.address),
            host.name,
            "VIP" if each.holds else "",
            f"{each.vrrp or 'unknown'} for {age_text(each.vrrp_for_s)}",
        ]
        for vip in site.load_balancer.vips
        for host, (state, _) in seen.items()
        for each in state.others
        if each.name == vip.name
    ]:
        print("\n" + table(["VIP", "address", "LB", "holds", "VRRP"], rows))


def _held(state: LbState) -> str:
    """Return what an LB holds: "VIP" for that of the API, the others by name."""
    return ", ".join([*(["VIP"] if state.holds_vip else []), *(each.name for each in state.others if each.holds)])


def _for_machines(seen: Mapping[Host, LbStatus], found: list[str], kept: Mapping[Host, list[str]]) -> dict[str, object]:
    return {
        "ok": not found,
        "problems": found,
        "lbs": {
            host.name: _told(state) | {"backends": [asdict(each) for each in backends or ()], "kept": kept[host]}
            for host, (state, backends) in seen.items()
        },
    }


def _told(state: LbState) -> dict[str, object]:
    """Return a state for machines, without the digests of keepalived.conf: they could give away a short VRRP password."""
    return {key: value for key, value in asdict(state).items() if key not in {"keepalived_loaded", "keepalived_file"}}
