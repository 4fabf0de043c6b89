"""Why is the VIP not where it should be, or likely not to be when it is needed? Pure: what the LBs said in, findings out."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

from runbooks.commands.firewall import Openings
from runbooks.commands.lb import Backend, LbState
from runbooks.commands.vip import VipLook, interface
from runbooks.errors import RunbookError
from runbooks.inventory.model import Host, Site
from runbooks.recover.rules.packet_filter import filters, ours_to_pass
from runbooks.rules import lb
from runbooks.rules.finding import Finding, Severity
from runbooks.text import age_text

SETTLED_S = 3  # a keepalived that changed its state just now may still be at it


@dataclass(frozen=True, slots=True, kw_only=True)
class Balancer:
    """Everything about one LB.

    ``drifted`` are the files that differ from what hosts.yaml makes of them, ``unloaded`` the services that run with another
    configuration than their file; ``closed`` is what its firewalld does not let in. ``noted`` is keepalived's
    state as our hook has written it down, ``state.vrrp`` as keepalived itself says.
    """

    state: LbState
    look: VipLook
    backends: tuple[Backend, ...] | None
    missing: tuple[str, ...]
    drifted: tuple[str, ...]
    unloaded: tuple[str, ...]
    closed: Openings
    switched_off: tuple[str, ...]
    firewalld: bool
    noted: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault(Finding):
    """One thing that is wrong; ``evidence`` is how it shows.

    ``automatic``: `recover.vip` does what ``fix`` says; otherwise only a person can. ``blocks``: nothing can be repaired on that host
    before it is out of the way.
    """

    severity: Severity = "fail"
    topic: str = "LB"
    evidence: str
    automatic: bool = False
    blocks: bool = False


Seen = Mapping[Host, Balancer | RunbookError]


def findings(site: Site, seen: Seen) -> list[Fault]:
    """Return all that is wrong with the pair, host by host, and last between them."""
    found: list[Fault] = []
    for host, each in seen.items():
        if isinstance(each, RunbookError):
            found.append(_silent(site, host, each))
        else:
            found += [replace(one, host=host.name, blocks=True) for one in _system(site, host, each)]
            repaired = (*_configuration(each), *_services(each))
            found += [replace(one, host=host.name, automatic=True) for one in repaired]
            found += _strays(site, host, each, seen)
    there = {host: each for host, each in seen.items() if isinstance(each, Balancer)}
    found += _filters(site, there)
    found += _unheard(site, there)
    found += _strangers(site, there)
    return found or _state_only(there)


def repairable(seen: Seen, found: Iterable[Fault]) -> tuple[Host, ...]:
    """Return the LBs that can be worked on: they answer, and nothing that only a person can clear away is in the way."""
    blocked = {each.host for each in found if each.blocks}
    return tuple(host for host, each in seen.items() if isinstance(each, Balancer) and host.name not in blocked)


def left(found: Iterable[Fault]) -> list[Fault]:
    """Return what nobody but a person repairs."""
    return [each for each in found if not each.automatic]


# ---- one host


def _silent(site: Site, host: Host, error: RunbookError) -> Fault:
    device = interface(site, host)
    return Fault(
        host=host.name,
        seen="does not answer, so nobody knows what it does with the VIP",
        evidence=str(error).partition("\n")[0],
        fix=error.hint
        if "site.trust" in error.hint
        else f"at its console: ip -br address show dev {device} (is {host.address} there, is it UP?); systemctl status ssh; "
        f"if it was replaced by an empty machine: inv recover.lb --host {host}",
        blocks=True,
    )


def _system(site: Site, host: Host, seen: Balancer) -> Iterator[Fault]:
    device, look = interface(site, host), seen.look
    if look.link == "missing":
        fix = "correct load_balancer.interface (or the host's own) in hosts.yaml, then inv lb.setup"
        yield Fault(seen=f"it has no interface {device}", evidence="keepalived speaks VRRP there", fix=fix)
    elif look.link not in {"up", "unknown"}:  # a tunnel or dummy says unknown
        fix = f"on {host}: ip link set {device} up; else cable, switch port, virtual NIC"
        yield Fault(seen=f"its interface {device} is {look.link}", evidence=f"/sys/class/net/{device}", fix=fix)
    elif not look.address:
        fix = f"on {host}: ip address add {host.address}/PREFIX dev {device}; then in its network configuration"
        evidence = "keepalived sends its adverts from there"
        yield Fault(seen=f"{device} lacks its address {host.address}", evidence=evidence, fix=fix)
    for path in look.full:
        fix = f"on {host}: df -h {path}; du -xsh {path.rstrip('/')}/* | sort -h"
        yield Fault(seen=f"the disk is full at {path}", evidence="no byte or no inode is free", fix=fix)
    for unit in look.masked:
        fix = f"on {host}: systemctl unmask {unit}; then inv recover.vip"
        yield Fault(seen=f"somebody has masked {unit}", evidence="systemctl is-enabled: masked", fix=fix)


def _configuration(seen: Balancer) -> Iterator[Fault]:
    if seen.missing:
        yield Fault(seen="is not installed", evidence=", ".join(seen.missing), fix="installed")
    if not seen.missing and not seen.state.nonlocal_bind:
        yield Fault(
            seen="HAProxy may not listen on the VIP while the other LB has it", evidence="ip_nonlocal_bind is 0", fix="set to 1"
        )
    if seen.closed:
        yield Fault(seen="firewalld does not let in what it must", evidence=str(seen.closed), fix="opened")
    if seen.switched_off:
        yield Fault(seen="SELinux forbids HAProxy its ports", evidence=", ".join(seen.switched_off), fix="allowed")
    if seen.drifted:
        cause = "its configuration is not what hosts.yaml says"
        yield Fault(seen=cause, evidence=", ".join(seen.drifted), fix="put back, checked first (inv lb.setup's own step)")
    for unit in seen.unloaded:
        yield Fault(
            seen=f"{unit} runs with another configuration than its file", evidence="it was changed and not loaded", fix="reloaded"
        )


def _services(seen: Balancer) -> Iterator[Fault]:
    state, look = seen.state, seen.look
    for name, unit in (("haproxy", state.haproxy), ("keepalived", state.keepalived)):
        if name in look.masked or name in seen.missing:
            continue
        if unit.active != "active":
            evidence = look.said.get(name) or f"systemctl: {unit.sub}"
            yield Fault(seen=f"{name} is {unit.active}", evidence=evidence, fix="started")
        elif unit.enabled != "enabled":
            yield Fault(seen=f"{name} would not start at boot", evidence=f"systemctl: {unit.enabled}", fix="enabled")
    if state.haproxy.active == "active":
        if seen.backends is None:
            yield Fault(seen="haproxy hangs", evidence="it runs, but does not answer on its own socket", fix="restarted")
        elif state.haproxy_down:
            yield Fault(
                seen="haproxy is flagged as down although it runs",
                evidence="/run/ha-runbooks/haproxy_down",
                fix="flag taken back",
            )
    if look.vrrp and seen.noted and noted_wrongly(state, look.vrrp, seen.noted):
        evidence = f"/run/ha-runbooks/vrrp_state says {seen.noted}, keepalived itself {look.vrrp}"
        yield Fault(seen="its state is noted wrongly, so lb.status shows what is not so", evidence=evidence, fix="noted anew")
    if keepalived_stuck(seen):
        evidence = (
            f"keepalived is in state {state.vrrp or 'unknown'} for {age_text(state.vrrp_for_s)}, and nothing else explains it"
        )
        yield Fault(seen="keepalived takes no part", evidence=evidence, fix="restarted")


def noted_wrongly(state: LbState, true: str, noted: str) -> bool:
    """Whether what our hook wrote down is not what keepalived says, and not just because it changed a moment ago."""
    return bool(true) and true != noted and state.vrrp_for_s >= SETTLED_S and state.keepalived.active == "active"


def keepalived_stuck(seen: Balancer) -> bool:
    """Whether keepalived, with everything that it tracks in order, is neither master nor standby."""
    state = seen.state
    fine = seen.backends is not None and not state.haproxy_down and state.haproxy.active == "active" and not seen.drifted
    idle = state.vrrp not in {"MASTER", "BACKUP"} and state.vrrp_for_s >= SETTLED_S
    return state.keepalived.active == "active" and fine and seen.look.link in {"up", "unknown"} and seen.look.address and idle


def stray_devices(own: str, state: LbState, vip_on: Iterable[str]) -> tuple[str, ...]:
    """Return the devices from which keepalived will never take the VIP: it did not put it there. ``own`` is its interface."""
    standby = state.keepalived.active == "active" and state.vrrp == "BACKUP" and state.vrrp_for_s >= SETTLED_S
    return tuple(device for device in vip_on if device != own or standby)


def _strays(site: Site, host: Host, seen: Balancer, everyone: Seen) -> Iterator[Fault]:
    for device in stray_devices(interface(site, host), seen.state, seen.look.vip_on):
        other = any(isinstance(each, Balancer) and each.state.vrrp == "MASTER" for name, each in everyone.items() if name != host)
        cause = f"the VIP lies on {device}, and keepalived did not put it there"
        evidence = f"keepalived is {seen.state.vrrp or 'not running'} there"
        vip = f"{site.endpoint.vip}/{site.endpoint.vip.max_prefixlen}"
        fix = f"on {host}: ip address delete {vip} dev {device}"
        own = seen.state.vrrp == "MASTER"
        yield Fault(topic="VIP", host=host.name, seen=cause, evidence=evidence, fix=fix, automatic=other or own)


# ---- between them


def _filters(site: Site, there: Mapping[Host, Balancer]) -> Iterator[Fault]:
    for host, seen in there.items():
        for direction, peer, blocker in filters(site, host, seen.look.ruleset):
            way = f"from {peer}" if direction == "saddr" else f"to {peer}"
            ours = ours_to_pass(blocker, firewalld=seen.firewalld)
            if seen.closed and not ours:
                continue
            chain = f"{blocker.family} {blocker.table} {blocker.chain}"
            yield Fault(
                topic="packet filter",
                host=host.name,
                seen=f"its packet filter drops VRRP {way}",
                evidence=str(blocker),
                fix="a rule that accepts it goes before; keep it: your packet filter's own configuration has to say so, too"
                if ours
                else f"on {host}: nft -a list chain {chain}; let IP protocol 112 {way} pass",
                automatic=ours,
            )


def _unheard(site: Site, there: Mapping[Host, Balancer]) -> Iterator[Fault]:
    """Return the directions in which adverts are due and not heard, unless something that was found explains it."""
    for host, seen in there.items():
        for peer, other in there.items():
            if peer != host and _mute(site, host, seen, peer, other):
                yield _lost(site, host, seen, peer, other)


def _lost(site: Site, host: Host, seen: Balancer, peer: Host, other: Balancer) -> Fault:
    number = other.look.counters.sent if other.look.counters else 0
    if not number:
        evidence = f"keepalived counted none in 2 s; {host} heard none"
        fix = f"on {peer}: journalctl -u keepalived -n 20; ip route get {host.address}; ip rule"
        return Fault(
            topic="VRRP", host=peer.name, seen="is VRRP master, but its adverts do not leave it", evidence=evidence, fix=fix
        )
    sent = f"{peer} sent {number} adverts within 2 s, {host} heard none"
    if arrived := seen.look.arriving.get(str(peer.address)):
        fix = f"on {host}: nft list ruleset; iptables-legacy -S; sysctl net.ipv4.conf.all.rp_filter"
        evidence = f"{sent}, although {arrived} reached its interface"
        return Fault(topic="VRRP", host=host.name, seen=f"something on it drops VRRP from {peer}", evidence=evidence, fix=fix)
    evidence = f"{sent}; a ping {'passes' if seen.look.pings.get(str(peer.address)) else 'does not pass either'}"
    fix = (
        f"let IP protocol 112 pass from {peer.address} to {host.address}: switch, VLAN, security group, the hypervisor's filter; "
        f"see it arrive on {host}: tcpdump -ni {interface(site, host)} ip proto 112; meanwhile one holder only, without failover: "
        f"systemctl stop keepalived on {site.load_balancers[-1]}"
    )
    return Fault(topic="VRRP", host=host.name, seen=f"VRRP from {peer} is lost on its way", evidence=evidence, fix=fix)


def _mute(site: Site, host: Host, seen: Balancer, peer: Host, other: Balancer) -> bool:
    """Whether ``host`` hears nothing of a master ``peer``, and nothing on either side says why. In FAULT nobody listens."""
    if seen.state.vrrp not in {"MASTER", "BACKUP"} or other.state.vrrp != "MASTER":
        return False
    if min(seen.state.vrrp_for_s, other.state.vrrp_for_s) < SETTLED_S:
        return False  # it may have become one just now
    if not seen.look.counters or not other.look.counters or seen.look.counters.received or seen.look.counters.errors:
        return False
    ends = (("saddr", peer, host, seen), ("daddr", host, peer, other))
    ruled = any(
        way == side and far == target for way, target, at, it in ends for side, far, _ in filters(site, at, it.look.ruleset)
    )
    return not ruled and not any(each.closed or each.drifted or each.unloaded for each in (seen, other))


def _strangers(site: Site, there: Mapping[Host, Balancer]) -> Iterator[Fault]:
    known = {each.look.mac for each in there.values()}
    if len(there) < len(site.load_balancers):
        return  # the one that does not answer us may well answer for the VIP
    strange = sorted({mac for each in there.values() for mac in each.look.answers} - known)
    for mac in strange:
        fix = f"find that machine (on a switch: show mac address-table address {mac}) and take {site.endpoint.vip} off it"
        yield Fault(
            topic="VIP", seen=f"another machine answers for the VIP: {mac}", evidence="arping, asked from the LBs", fix=fix
        )


def _state_only(there: Mapping[Host, Balancer]) -> list[Fault]:
    """Return what is wrong with the pair when nothing above says why."""
    states = {host: each.state for host, each in there.items()}
    idle = [(host.name, f"it does not do its work: {said}") for host, state in states.items() if (said := lb.not_serving(state))]
    apart = [("", said)] if len(there) and (said := lb.not_a_pair(states)) else []
    fix = "again in a moment: inv recover.vip; if it stays so, on each LB: journalctl -u keepalived -u haproxy -n 50"
    return [
        Fault(topic="VIP", host=where, seen=said, evidence="all that it depends on is in order", fix=fix)
        for where, said in (*idle, *apart)
    ]
