"""Decisions about a pair of load balancers. Pure: states in, a reason out; "" means that all is well."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Final

from runbooks.commands.lb import OLDEST, LbState
from runbooks.inventory.model import Host, Site

FOREIGN: Final = "HAProxy and keepalived run there with files that this tool has not written"
TAKE_OVER: Final = "inv lb.setup --take-over"  # its plan shows what would change


def change_order(hosts: Sequence[Host], states: Mapping[Host, LbState]) -> list[Host]:
    """Return the order to change the LBs in: those without the VIP first (of them, those without any VIP), then by lowest priority.

    The holder of the API's VIP is always last, so that a bad change breaks a standby first.
    """
    return sorted(hosts, key=lambda host: (states[host].holds_vip, states[host].holds_any, host.priority or 0))


def half_switched(states: Mapping[Host, LbState]) -> bool:
    """Whether keepalived of an LB stands aside, and that of the last one, or of one that is not proved to have loaded its file, runs.

    Systemd records that a file is loaded before keepalived has done it: it may be master only later, and must be before another one starts.
    """
    aside = [each for each in states.values() if each.keepalived.active != "active" and each.keepalived.enabled == "disabled"]
    runs = [each for each in states.values() if each.keepalived.active == "active"]
    last = len(runs) == 1 and len(aside) + 1 == len(states)
    return bool(aside) and (last or any(each.keepalived_loaded != each.keepalived_file for each in runs))


def not_master(state: LbState) -> str:
    """Say which VIP this LB, the only one whose keepalived runs, does not hold as MASTER."""
    vips = [("the VIP", state.holds_vip, state.vrrp), *((f"the VIP {each.name}", each.holds, each.vrrp) for each in state.others)]
    wrong = [
        f"{vip} is {'' if holds else 'not '}there, keepalived says {vrrp or 'nothing'}"
        for vip, holds, vrrp in vips
        if not holds or vrrp != "MASTER"
    ]
    return "; ".join(wrong)


def standby(hosts: Sequence[Host], states: Mapping[Host, LbState]) -> Host:
    """Return the first of ``hosts`` that does not hold the VIP; the first of all when every one holds it."""
    return next((host for host in hosts if not states[host].holds_vip), hosts[0])


def too_old(packages: Mapping[str, str]) -> str:
    """Say which of the installed packages are older than our configuration needs.

    >>> too_old({"haproxy": "1.8.27-5.el8", "keepalived": "1:2.2.7-1"})
    'haproxy 1.8.27-5.el8 is too old (2.4 or newer is needed)'
    """
    found = ((name, packages.get(name, ""), oldest) for name, oldest in OLDEST.items())
    return "; ".join(
        f"{name} {version} is too old ({oldest[0]}.{oldest[1]} or newer is needed)"
        for name, version, oldest in found
        if (parts := re.match(r"(?:\d+:)?(\d+)\.(\d+)", version)) and (int(parts[1]), int(parts[2])) < oldest
    )


def not_running_with(state: LbState, unit: str, sha: str, mark: str = "") -> str:
    """Say why ``unit`` is not enabled and running with the configuration that has the SHA-256 ``sha``.

    ``mark`` is the one that the running HAProxy must tell. One that does not answer is not judged by it: a reload would not help.
    """
    service, loaded = (state.haproxy, state.haproxy_loaded) if unit == "haproxy" else (state.keepalived, state.keepalived_loaded)
    reasons = (
        (service.active != "active", f"{unit} is {service.active}"),
        (service.enabled != "enabled", f"{unit} is {service.enabled or 'not installed'}, so it would not start at boot"),
        (
            loaded != sha or (unit == "haproxy" and state.haproxy_runs is not None and state.haproxy_runs != mark),
            f"{unit} runs with another configuration",
        ),
        (unit == "haproxy" and state.haproxy_down, "haproxy is flagged as down"),
    )
    return "; ".join(text for wrong, text in reasons if wrong)


def not_stopped(state: LbState, unit: str) -> str:
    """Say why ``unit`` is not stopped for good."""
    service = state.haproxy if unit == "haproxy" else state.keepalived
    return (
        f"{unit} is {service.active} and {service.enabled}" if service.active == "active" or service.enabled == "enabled" else ""
    )


def outdated(state: LbState) -> str:
    """Say which service runs with another configuration than the one in its file: a restart would bring that one, or fail."""
    marked = state.haproxy_runs is not None and state.haproxy_runs != state.haproxy_mark
    unproved = bool(state.haproxy_loaded) and state.haproxy_loaded != state.haproxy_file
    other = bool(state.keepalived_loaded) and state.keepalived_loaded != state.keepalived_file
    units = (
        ("haproxy", state.haproxy.active == "active" and (marked or unproved)),
        ("keepalived", state.keepalived.active == "active" and other),
    )
    return "; ".join(f"{unit} runs another configuration than its file has" for unit, wrong in units if wrong)


def not_serving(state: LbState) -> str:
    """Say why an LB does not serve: it could not hold the VIP, or its stats page or metrics do not answer."""
    if state.foreign:
        return not_ready_to_hold(state)
    more = (
        (state.stats != "200", "the stats page does not answer"),
        (state.metrics != "200", "the metrics do not answer"),
    )
    return "; ".join(filter(None, [not_ready_to_hold(state), *(text for wrong, text in more if wrong)]))


def not_a_pair(states: Mapping[Host, LbState]) -> str:
    """Say why a VIP is not on exactly one LB that is the only VRRP master, or that of the API does not answer there."""
    return _main_apart(states) or "; ".join(others_apart(states))


def others_apart(states: Mapping[Host, LbState]) -> list[str]:
    """Return a line for each VIP beside the one of the API that is not on exactly one LB, the only VRRP master for it."""
    found = []
    for name in dict.fromkeys(each.name for state in states.values() for each in state.others):
        of = {host: each for host, state in states.items() for each in state.others if each.name == name}
        holders = [str(host) for host, each in of.items() if each.holds]
        masters = [str(host) for host, each in of.items() if each.vrrp == "MASTER"]
        if len(holders) != 1:
            found.append(f"the VIP {name} is on {' and '.join(holders) or 'no LB'}")
        elif masters != holders and not any(state.foreign for state in states.values()):
            found.append(f"{holders[0]} holds the VIP {name}, but the VRRP master is {' and '.join(masters) or 'no LB'}")
    return found


def _main_apart(states: Mapping[Host, LbState]) -> str:
    holders = [str(host) for host, state in states.items() if state.holds_vip]
    if len(holders) != 1:
        return f"the VIP is on {' and '.join(holders) or 'no LB'}"
    masters = [str(host) for host, state in states.items() if state.vrrp == "MASTER"]
    if masters != holders and not any(state.foreign for state in states.values()):
        return f"{holders[0]} holds the VIP, but the VRRP master is {' and '.join(masters) or 'no LB'}"
    silent = [str(host) for host, state in states.items() if state.api == "silent"]
    if silent:
        return f"nothing answers on the VIP when asked from {' and '.join(silent)}"
    return ""


def not_ours(states: Mapping[Host, LbState]) -> str:
    """Name the LBs whose HAProxy and keepalived run with the files of somebody else: this tool cannot move a VIP there; "" for none."""
    names = [str(host) for host, state in states.items() if state.foreign]
    return f"{' and '.join(names)}: {FOREIGN}" if names else ""


def not_ready_to_hold(state: LbState) -> str:
    """Say why this LB could not hold the VIP. Of one that this tool has not set up only its services are known."""
    if state.foreign:
        units = (("haproxy", state.haproxy), ("keepalived", state.keepalived))
        return "; ".join(f"{name} is {unit.active}" for name, unit in units if unit.active != "active")
    reasons = (
        (state.haproxy.active != "active", f"haproxy is {state.haproxy.active}"),
        (state.haproxy.active == "active" and state.haproxy_runs is None, "haproxy does not answer on its socket"),
        (state.haproxy_down, "haproxy is flagged as down"),
        (state.keepalived.active != "active", f"keepalived is {state.keepalived.active}"),
        (state.vrrp not in {"MASTER", "BACKUP"}, f"keepalived is in state {state.vrrp or 'unknown'}"),
        *(
            (each.vrrp not in {"MASTER", "BACKUP"}, f"keepalived is in state {each.vrrp or 'unknown'} for the VIP {each.name}")
            for each in state.others
            if state.vrrp in {"MASTER", "BACKUP"}
        ),
    )
    return "; ".join(text for wrong, text in reasons if wrong)


def drains(hosts: Sequence[Host], target: Host) -> dict[Host, bool]:
    """Return whether each LB has to be drained so that the VIP of the API moves to ``target`` and stays: those of higher priority.

    The target itself is never drained. A drained LB gives up every VIP.
    """
    return {host: (host.priority or 0) > (target.priority or 0) for host in hosts}


def drains_for_all(site: Site, target: Host) -> dict[Host, bool]:
    """As `drains`, so that ``target`` gets every VIP: also those LBs are drained that another VIP prefers to the target."""
    orders = [site.load_balancers, *(site.order_of(vip) for vip in site.load_balancer.vips)]
    return {host: any(order.index(host) < order.index(target) for order in orders) for host in site.load_balancers}


def not_handed_over(states: Mapping[Host, LbState], target: Host, wanted: Mapping[Host, bool]) -> str:
    """Say why the VIP is not on ``target``, or would not stay there, or a drained LB still has another VIP. ``wanted``: who is drained."""
    if not states[target].holds_vip:
        return "the VIP has not moved yet"
    wrong = [
        f"{host} is {'' if on else 'still '}{'not ' if on else ''}drained"
        for host, on in wanted.items()
        if states[host].drained != on
    ]
    wrong += [
        f"the VIP {each.name} is still on {host}"
        for host, on in wanted.items()
        for each in states[host].others
        if on and each.holds and not all(wanted.values())
    ]
    return "; ".join(wrong)
