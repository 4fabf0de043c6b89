"""Why is the VIP not where it should be, or likely not to be when it is needed? Pure: what the LBs said in, findings out."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from runbooks.commands.firewall import Openings
from runbooks.commands.lb import Backend, LbState
from runbooks.commands.vip import VipLook, interface
from runbooks.errors import RunbookError
from runbooks.inventory.model import Host, Site
from runbooks.rules import lb
from runbooks.rules.recover_vip_filter import Advert, Blocker, blockers
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


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong: where, what, and how it shows. ``repair`` is what is done about it; if nothing, ``command`` helps.

    ``blocks``: nothing can be repaired on that host before it is out of the way.
    """

    host: str
    cause: str
    evidence: str
    repair: str = ""
    command: str = ""
    blocks: bool = False


Seen = Mapping[Host, Balancer | RunbookError]


def findings(site: Site, seen: Seen) -> list[Finding]:
    """Return all that is wrong with the pair, host by host, and last between them."""
    found: list[Finding] = []
    for host, each in seen.items():
        if isinstance(each, RunbookError):
            found.append(_silent(site, host, each))
        else:
            found += _system(site, host, each)
            found += _configuration(host, each)
            found += _services(host, each)
            found += _strays(site, host, each, seen)
    there = {host: each for host, each in seen.items() if isinstance(each, Balancer)}
    found += _filters(site, there)
    found += _unheard(site, there)
    found += _strangers(site, there)
    return found or _state_only(there)


def repairable(seen: Seen, found: Iterable[Finding]) -> tuple[Host, ...]:
    """Return the LBs that can be worked on: they answer, and nothing that only a person can clear away is in the way."""
    blocked = {each.host for each in found if each.blocks}
    return tuple(host for host, each in seen.items() if isinstance(each, Balancer) and host.name not in blocked)


def left(found: Iterable[Finding]) -> list[Finding]:
    """Return what nobody but a person repairs."""
    return [each for each in found if not each.repair]


# ---- one host


def _silent(site: Site, host: Host, error: RunbookError) -> Finding:
    device = interface(site, host)
    return Finding(
        host.name,
        "does not answer, so nobody knows what it does with the VIP",
        str(error).partition("\n")[0],
        command=error.hint
        if "site.trust" in error.hint
        else f"at its console: ip -br address show dev {device} (is {host.address} there, is it UP?); systemctl status ssh; "
        f"if it was replaced by an empty machine: inv recover.lb --host {host}",
        blocks=True,
    )


def _system(site: Site, host: Host, seen: Balancer) -> Iterator[Finding]:
    device, look = interface(site, host), seen.look
    if look.link == "missing":
        command = "correct load_balancer.interface (or the host's own) in hosts.yaml, then inv lb.setup"
        yield Finding(host.name, f"it has no interface {device}", "keepalived speaks VRRP there", command=command, blocks=True)
    elif look.link not in {"up", "unknown"}:  # a tunnel or dummy says unknown
        command = f"on {host}: ip link set {device} up; else cable, switch port, virtual NIC"
        yield Finding(
            host.name, f"its interface {device} is {look.link}", f"/sys/class/net/{device}", command=command, blocks=True
        )
    elif not look.address:
        command = f"on {host}: ip address add {host.address}/PREFIX dev {device}; then in its network configuration"
        evidence = "keepalived sends its adverts from there"
        yield Finding(host.name, f"{device} lacks its address {host.address}", evidence, command=command, blocks=True)
    for path in look.full:
        command = f"on {host}: df -h {path}; du -xsh {path.rstrip('/')}/* | sort -h"
        yield Finding(host.name, f"the disk is full at {path}", "no byte or no inode is free", command=command, blocks=True)
    for unit in look.masked:
        command = f"on {host}: systemctl unmask {unit}; then inv recover.vip"
        yield Finding(host.name, f"somebody has masked {unit}", "systemctl is-enabled: masked", command=command, blocks=True)


def _configuration(host: Host, seen: Balancer) -> Iterator[Finding]:
    if seen.missing:
        yield Finding(host.name, "is not installed", ", ".join(seen.missing), repair="installed")
    if not seen.missing and not seen.state.nonlocal_bind:
        yield Finding(
            host.name, "HAProxy may not listen on the VIP while the other LB has it", "ip_nonlocal_bind is 0", "set to 1"
        )
    if seen.closed:
        yield Finding(host.name, "firewalld does not let in what it must", str(seen.closed), repair="opened")
    if seen.switched_off:
        yield Finding(host.name, "SELinux forbids HAProxy its ports", ", ".join(seen.switched_off), repair="allowed")
    if seen.drifted:
        cause = "its configuration is not what hosts.yaml says"
        yield Finding(host.name, cause, ", ".join(seen.drifted), repair="put back, checked first (inv lb.setup's own step)")
    for unit in seen.unloaded:
        yield Finding(
            host.name, f"{unit} runs with another configuration than its file", "it was changed and not loaded", "reloaded"
        )


def _services(host: Host, seen: Balancer) -> Iterator[Finding]:
    state, look = seen.state, seen.look
    for name, unit in (("haproxy", state.haproxy), ("keepalived", state.keepalived)):
        if name in look.masked or name in seen.missing:
            continue
        if unit.active != "active":
            evidence = look.said.get(name) or f"systemctl: {unit.sub}"
            yield Finding(host.name, f"{name} is {unit.active}", evidence, repair="started")
        elif unit.enabled != "enabled":
            yield Finding(host.name, f"{name} would not start at boot", f"systemctl: {unit.enabled}", repair="enabled")
    if state.haproxy.active == "active":
        if seen.backends is None:
            yield Finding(host.name, "haproxy hangs", "it runs, but does not answer on its own socket", repair="restarted")
        elif state.haproxy_down:
            yield Finding(
                host.name, "haproxy is flagged as down although it runs", "/run/ha-runbooks/haproxy_down", "flag taken back"
            )
    if look.vrrp and seen.noted and noted_wrongly(state, look.vrrp, seen.noted):
        evidence = f"/run/ha-runbooks/vrrp_state says {seen.noted}, keepalived itself {look.vrrp}"
        yield Finding(host.name, "its state is noted wrongly, so lb.status shows what is not so", evidence, repair="noted anew")
    if keepalived_stuck(seen):
        evidence = (
            f"keepalived is in state {state.vrrp or 'unknown'} for {age_text(state.vrrp_for_s)}, and nothing else explains it"
        )
        yield Finding(host.name, "keepalived takes no part", evidence, repair="restarted")


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


def _strays(site: Site, host: Host, seen: Balancer, everyone: Seen) -> Iterator[Finding]:
    for device in stray_devices(interface(site, host), seen.state, seen.look.vip_on):
        other = any(isinstance(each, Balancer) and each.state.vrrp == "MASTER" for name, each in everyone.items() if name != host)
        cause = f"the VIP lies on {device}, and keepalived did not put it there"
        evidence = f"keepalived is {seen.state.vrrp or 'not running'} there"
        vip = f"{site.endpoint.vip}/{site.endpoint.vip.max_prefixlen}"
        command = f"on {host}: ip address delete {vip} dev {device}"
        own = seen.state.vrrp == "MASTER"
        yield Finding(host.name, cause, evidence, repair="taken away" if other or own else "", command=command)


# ---- between them


def filters(site: Site, host: Host, ruleset: Sequence[Mapping[str, Any]]) -> list[tuple[str, Host, Blocker]]:
    """Return what in this host's packet filter drops VRRP: ``saddr`` or ``daddr``, the other LB, and the rule."""
    device = interface(site, host)
    found = []
    for peer in site.load_balancers:
        if peer == host or peer.address.version != host.address.version:
            continue
        heard = Advert(hook="input", source=peer.address, target=host.address, interface=device)
        told = Advert(hook="output", source=host.address, target=peer.address, interface=device)
        found += [("saddr", peer, each) for each in blockers(ruleset, heard)]
        found += [("daddr", peer, each) for each in blockers(ruleset, told)]
    return found


def ours_to_pass(blocker: Blocker, *, firewalld: bool) -> bool:
    """Whether a rule of ours may go before it: firewalld keeps its own tables, and drops what others put there."""
    return not (firewalld and blocker.table == "firewalld") and blocker.family != "netdev"


def _filters(site: Site, there: Mapping[Host, Balancer]) -> Iterator[Finding]:
    for host, seen in there.items():
        for direction, peer, blocker in filters(site, host, seen.look.ruleset):
            way = f"from {peer}" if direction == "saddr" else f"to {peer}"
            if ours_to_pass(blocker, firewalld=seen.firewalld):
                repair = "a rule that accepts it goes before; keep it: your packet filter's own configuration has to say so, too"
                yield Finding(host.name, f"its packet filter drops VRRP {way}", str(blocker), repair=repair)
            elif not seen.closed:
                command = f"on {host}: nft -a list chain {blocker.family} {blocker.table} {blocker.chain}; let IP protocol 112 {way} pass"
                yield Finding(host.name, f"its packet filter drops VRRP {way}", str(blocker), command=command)


def _unheard(site: Site, there: Mapping[Host, Balancer]) -> Iterator[Finding]:
    """Return the directions in which adverts are due and not heard, unless something that was found explains it."""
    for host, seen in there.items():
        for peer, other in there.items():
            if peer != host and _mute(site, host, seen, peer, other):
                yield _lost(site, host, seen, peer, other)


def _lost(site: Site, host: Host, seen: Balancer, peer: Host, other: Balancer) -> Finding:
    number = other.look.counters.sent if other.look.counters else 0
    if not number:
        evidence = f"keepalived counted none in 2 s; {host} heard none"
        command = f"on {peer}: journalctl -u keepalived -n 20; ip route get {host.address}; ip rule"
        return Finding(peer.name, "is VRRP master, but its adverts do not leave it", evidence, command=command)
    sent = f"{peer} sent {number} adverts within 2 s, {host} heard none"
    if arrived := seen.look.arriving.get(str(peer.address)):
        command = f"on {host}: nft list ruleset; iptables-legacy -S; sysctl net.ipv4.conf.all.rp_filter"
        evidence = f"{sent}, although {arrived} reached its interface"
        return Finding(host.name, f"something on it drops VRRP from {peer}", evidence, command=command)
    evidence = f"{sent}; a ping {'passes' if seen.look.pings.get(str(peer.address)) else 'does not pass either'}"
    command = (
        f"let IP protocol 112 pass from {peer.address} to {host.address}: switch, VLAN, security group, the hypervisor's filter; "
        f"see it arrive on {host}: tcpdump -ni {interface(site, host)} ip proto 112; meanwhile one holder only, without failover: "
        f"systemctl stop keepalived on {site.load_balancers[-1]}"
    )
    return Finding(host.name, f"VRRP from {peer} is lost on its way", evidence, command=command)


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


def _strangers(site: Site, there: Mapping[Host, Balancer]) -> Iterator[Finding]:
    known = {each.look.mac for each in there.values()}
    if len(there) < len(site.load_balancers):
        return  # the one that does not answer us may well answer for the VIP
    strange = sorted({mac for each in there.values() for mac in each.look.answers} - known)
    for mac in strange:
        command = f"find that machine (on a switch: show mac address-table address {mac}) and take {site.endpoint.vip} off it"
        yield Finding("", f"another machine answers for the VIP: {mac}", "arping, asked from the LBs", command=command)


def _state_only(there: Mapping[Host, Balancer]) -> list[Finding]:
    """Return what is wrong with the pair when nothing above says why."""
    states = {host: each.state for host, each in there.items()}
    idle = [(host.name, f"it does not do its work: {said}") for host, state in states.items() if (said := lb.not_serving(state))]
    apart = [("", said)] if len(there) and (said := lb.not_a_pair(states)) else []
    command = "again in a moment: inv recover.vip; if it stays so, on each LB: journalctl -u keepalived -u haproxy -n 50"
    return [Finding(where, said, "all that it depends on is in order", command=command) for where, said in (*idle, *apart)]
