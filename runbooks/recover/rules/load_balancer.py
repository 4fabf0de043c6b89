"""What is wrong on one load balancer. Pure: what the host reported in, faults out."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace

from runbooks.commands.firewall import Openings
from runbooks.commands.haproxy import Backend
from runbooks.commands.lb import LbState, interface
from runbooks.commands.lb_paths import OTHER_STATES
from runbooks.commands.vip import VipFacts
from runbooks.errors import RunbookError
from runbooks.inventory.model import Host, Site
from runbooks.inventory.words import Address
from runbooks.rules.finding import Finding, Severity
from runbooks.text import age_text, listed

SETTLED_S = 3  # seconds; a keepalived that changed its state more recently may still be changing it


@dataclass(frozen=True, slots=True, kw_only=True)
class LbView:
    """All that is known of one LB.

    ``missing`` are the packages that are not installed, ``drifted`` the files that differ from hosts.yaml, ``unloaded`` the services
    that run with another configuration than their file. ``closed`` is what firewalld does not allow yet, ``switched_off`` the SELinux
    booleans that have to be on. ``noted`` is the VRRP state that our notify script recorded, ``state.vrrp`` the one that keepalived
    reports itself; ``noted_others`` the same of the VIPs beside the one of the API, by name.
    """

    state: LbState
    vip: VipFacts
    backends: tuple[Backend, ...] | None
    missing: tuple[str, ...]
    drifted: tuple[str, ...]
    unloaded: tuple[str, ...]
    closed: Openings
    switched_off: tuple[str, ...]
    firewalld: bool
    noted: str = ""
    noted_others: Mapping[str, str] = field(default_factory=dict)


Views = Mapping[Host, LbView | RunbookError]


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault(Finding):
    """One thing that is wrong. ``evidence`` is how it was noticed.

    ``automatic``: `recover.vip` does what ``fix`` says; otherwise a person has to. ``blocks``: nothing on that host can be repaired
    before this is.
    """

    severity: Severity = "fail"
    topic: str = "LB"
    evidence: str
    automatic: bool = False
    blocks: bool = False


def host_faults(site: Site, host: Host, view: LbView, everyone: Views) -> Iterator[Fault]:
    """Return what is wrong on ``host`` itself; ``everyone`` tells whether another LB holds the VIP."""
    yield from (replace(each, host=host.name, blocks=True) for each in _system(site, host, view))
    yield from (replace(each, host=host.name, automatic=True) for each in (*_configuration(view), *_services(view)))
    yield from _strays(site, host, view, everyone)


def _system(site: Site, host: Host, view: LbView) -> Iterator[Fault]:
    device, vip = interface(site, host), view.vip
    if vip.link == "missing":
        fix = "correct load_balancer.interface (or the host's own) in hosts.yaml, then inv lb.setup"
        yield Fault(seen=f"it has no interface {device}", evidence="keepalived is configured to use it", fix=fix)
    elif vip.link not in {"up", "unknown"}:  # a tunnel or dummy says unknown
        fix = f"on {host}: ip link set {device} up; if that does not help: check cable, switch port, virtual NIC"
        yield Fault(seen=f"its interface {device} is {vip.link}", evidence=f"/sys/class/net/{device}", fix=fix)
    elif not vip.address:
        fix = f"on {host}: ip address add {host.address}/PREFIX dev {device}; then add it to the host's network configuration"
        evidence = "keepalived sends its adverts from this address"
        yield Fault(seen=f"{device} does not have its address {host.address}", evidence=evidence, fix=fix)
    for path in vip.full:
        fix = f"on {host}: df -h {path}; du -xsh {path.rstrip('/')}/* | sort -h"
        yield Fault(seen=f"the disk is full at {path}", evidence="no free bytes, or no free inodes", fix=fix)
    for unit in vip.masked:
        fix = f"on {host}: systemctl unmask {unit}; then inv recover.vip"
        yield Fault(seen=f"{unit} is masked", evidence="systemctl is-enabled: masked", fix=fix)


def _configuration(view: LbView) -> Iterator[Fault]:
    if view.missing:
        yield Fault(seen="packages are not installed", evidence=listed(view.missing), fix="install them")
    elif not view.state.nonlocal_bind:
        cause = "HAProxy cannot bind the VIP while another LB holds it"
        yield Fault(seen=cause, evidence="ip_nonlocal_bind is 0", fix="set it to 1")
    if view.closed:
        yield Fault(seen="firewalld does not allow all that is needed", evidence=str(view.closed), fix="open it")
    if view.switched_off:
        yield Fault(seen="SELinux denies HAProxy its ports", evidence=listed(view.switched_off), fix="switch the boolean on")
    if view.drifted:
        cause, fix = "its configuration differs from hosts.yaml", "check it and put it back (the same step as in inv lb.setup)"
        yield Fault(seen=cause, evidence=listed(view.drifted), fix=fix)
    for unit in view.unloaded:
        cause = f"{unit} runs with another configuration than its file"
        yield Fault(seen=cause, evidence="the file was changed but not loaded", fix="reload it")


def _services(view: LbView) -> Iterator[Fault]:
    state, vip = view.state, view.vip
    for name, unit in (("haproxy", state.haproxy), ("keepalived", state.keepalived)):
        if name in vip.masked or name in view.missing:
            continue
        if unit.active != "active":
            evidence = vip.last_log.get(name) or f"systemctl: {unit.sub}"
            yield Fault(seen=f"{name} is {unit.active}", evidence=evidence, fix="start it")
        elif unit.enabled != "enabled":
            yield Fault(seen=f"{name} would not start at boot", evidence=f"systemctl: {unit.enabled}", fix="enable it")
    if state.haproxy.active == "active":
        if view.backends is None:
            yield Fault(seen="haproxy hangs", evidence="it runs, but does not answer on its own socket", fix="restart it")
        elif state.haproxy_down:
            cause = "haproxy is flagged as down although it runs"
            yield Fault(seen=cause, evidence="/run/ha-runbooks/haproxy_down", fix="clear the flag")
    yield from _recorded(view)
    if keepalived_stuck(view):
        evidence = f"in state {state.vrrp or 'unknown'} for {age_text(state.vrrp_for_s)}, with no other fault that explains it"
        yield Fault(seen="keepalived is neither MASTER nor BACKUP", evidence=evidence, fix="restart it")


def _recorded(view: LbView) -> Iterator[Fault]:
    state, vip = view.state, view.vip
    if noted_wrongly(state, vip.vrrp, view.noted):
        evidence = f"/run/ha-runbooks/vrrp_state says {view.noted}, keepalived says {vip.vrrp}"
        yield Fault(seen="its recorded VRRP state is wrong, so lb.status is wrong, too", evidence=evidence, fix="correct it")
    for each in state.others:
        noted, true = view.noted_others.get(each.name, ""), vip.others[each.name].vrrp if each.name in vip.others else ""
        if wrongly_noted(state, each.vrrp_for_s, true, noted):
            evidence = f"{OTHER_STATES}/{each.name}.state says {noted or 'nothing'}, keepalived says {true}"
            yield Fault(seen=f"its recorded VRRP state of the VIP {each.name} is wrong", evidence=evidence, fix="correct it")


def noted_wrongly(state: LbState, true: str, noted: str) -> bool:
    """Whether the recorded VRRP state ``noted`` differs from keepalived's ``true`` one, for longer than a change of state takes."""
    return bool(noted) and wrongly_noted(state, state.vrrp_for_s, true, noted)


def wrongly_noted(state: LbState, for_s: int, true: str, noted: str) -> bool:
    """As `noted_wrongly`, for another VIP whose state was recorded ``for_s`` seconds ago; ``noted`` is "" where nothing is recorded."""
    return bool(true) and true != noted and (for_s >= SETTLED_S or not noted) and state.keepalived.active == "active"


def keepalived_stuck(view: LbView) -> bool:
    """Whether keepalived is neither MASTER nor BACKUP although everything that it tracks is in order."""
    state = view.state
    fine = view.backends is not None and not state.haproxy_down and state.haproxy.active == "active" and not view.drifted
    idle = state.vrrp not in {"MASTER", "BACKUP"} and state.vrrp_for_s >= SETTLED_S
    return state.keepalived.active == "active" and fine and view.vip.link in {"up", "unknown"} and view.vip.address and idle


def stray_devices(own: str, state: LbState, vip_on: Iterable[str]) -> tuple[str, ...]:
    """Return the devices that carry the VIP although keepalived did not add it there, so that keepalived will never remove it.

    ``own`` is the interface on which keepalived adds the VIP. On that one the VIP is a stray only while keepalived is BACKUP.
    """
    standby = state.keepalived.active == "active" and state.vrrp == "BACKUP" and state.vrrp_for_s >= SETTLED_S
    return tuple(device for device in vip_on if device != own or standby)


def strays(site: Site, host: Host, state: LbState, seen: VipFacts) -> list[tuple[str, Address, str]]:
    """Return every stray VIP of ``host``: its name ("" for that of the API), its address and the device, as `stray_devices` says."""
    own = interface(site, host)
    found = [("", site.endpoint.vip, device) for device in stray_devices(own, state, seen.vip_on)]
    addresses = site.vips
    for each in state.others:
        standby = state.keepalived.active == "active" and each.vrrp == "BACKUP" and each.vrrp_for_s >= SETTLED_S
        on = seen.others[each.name].on if each.name in seen.others else ()
        found += [(each.name, addresses[each.name], device) for device in on if device != own or standby]
    return found


def _masters(everyone: Views, name: str) -> bool:
    """Whether an LB is VRRP master of the VIP ``name`` ("" for that of the API)."""
    states = [each.state for each in everyone.values() if isinstance(each, LbView)]
    if not name:
        return any(each.vrrp == "MASTER" for each in states)
    return any(each.name == name and each.vrrp == "MASTER" for state in states for each in state.others)


def _strays(site: Site, host: Host, view: LbView, everyone: Views) -> Iterator[Fault]:
    """Return the devices with a stray VIP. `recover.vip` removes it only if an LB is VRRP master."""
    for name, address, device in strays(site, host, view.state, view.vip):
        masters = _masters(everyone, name)
        vrrp = view.state.vrrp if not name else next(each.vrrp for each in view.state.others if each.name == name)
        cause = f"the VIP {f'{name} ' if name else ''}is on {device}, but keepalived did not put it there"
        evidence = f"keepalived is {vrrp or 'not running'} there"
        fix = f"on {host}: ip address delete {address}/{address.max_prefixlen} dev {device}"
        fix = fix if masters else f"when a load balancer is VRRP master (clients may use this address until then), {fix}"
        yield Fault(topic="VIP", host=host.name, seen=cause, evidence=evidence, fix=fix, automatic=masters)
