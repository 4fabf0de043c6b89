"""What is wrong between the load balancers: adverts that are dropped or lost, and other machines with the VIP. Pure.

VRRP is RFC 9568: the master sends adverts; a backup that hears none becomes master.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from runbooks.commands.lb import interface
from runbooks.inventory.model import Host, Site
from runbooks.recover.rules.load_balancer import SETTLED_S, Fault, LbView
from runbooks.recover.rules.packet_filter import can_be_preceded, vrrp_blockers


def filter_faults(site: Site, views: Mapping[Host, LbView]) -> Iterator[Fault]:
    """Return the packet filters' rules and policies that drop VRRP."""
    for host, view in views.items():
        for direction, peer, blocker in vrrp_blockers(site, host, view.vip.ruleset):
            way = f"from {peer}" if direction == "saddr" else f"to {peer}"
            automatic = can_be_preceded(blocker, firewalld=view.firewalld)
            if view.closed and not automatic:
                continue
            chain = f"{blocker.family} {blocker.table} {blocker.chain}"
            yield Fault(
                topic="packet filter",
                host=host.name,
                seen=f"its packet filter drops VRRP {way}",
                evidence=str(blocker),
                fix="insert a rule before it that accepts VRRP; then add that rule to your packet filter's own configuration, too"
                if automatic
                else f"on {host}: nft -a list chain {chain}; let IP protocol 112 {way} pass",
                automatic=automatic,
            )


def lost_adverts(site: Site, views: Mapping[Host, LbView]) -> Iterator[Fault]:
    """Return each master whose adverts another LB does not hear, unless another fault explains that."""
    for host, view in views.items():
        for peer, master in views.items():
            if peer != host and _hears_nothing(site, host, view, peer, master):
                yield _lost(site, host, view, peer, master)


def foreign_holders(site: Site, views: Mapping[Host, LbView]) -> Iterator[Fault]:
    """Return the machines that answer for the VIP but are no LB. Returns nothing unless every LB could be asked for its address."""
    if len(views) < len(site.load_balancers):
        return
    known = {each.vip.mac for each in views.values()}
    for other in site.load_balancer.vips:
        for mac in sorted(
            {mac for each in views.values() if (seen := each.vip.others.get(other.name)) for mac in seen.answers} - known
        ):
            cause = f"another machine answers for the VIP {other.name}: {mac}"
            fix = f"find that machine (on a switch: show mac address-table address {mac}) and take {other.address} off it"
            yield Fault(topic="VIP", seen=cause, evidence="arping, run on the LBs", fix=fix)
    for mac in sorted({mac for each in views.values() for mac in each.vip.answers} - known):
        cause = f"another machine answers for the VIP: {mac}"
        fix = f"find that machine (on a switch: show mac address-table address {mac}) and take {site.endpoint.vip} off it"
        yield Fault(topic="VIP", seen=cause, evidence="arping, run on the LBs", fix=fix)


def _hears_nothing(site: Site, host: Host, view: LbView, peer: Host, master: LbView) -> bool:
    """Whether ``host`` hears no advert of the master ``peer``, and no fault on either of them explains it.

    An LB in FAULT does not listen. One that became master less than SETTLED_S seconds ago may still be sending its first advert.
    """
    masters = master.state.vrrp == "MASTER" or any(each.vrrp == "MASTER" for each in master.state.others)
    if view.state.vrrp not in {"MASTER", "BACKUP"} or not masters:
        return False
    if min(view.state.vrrp_for_s, master.state.vrrp_for_s) < SETTLED_S:
        return False
    if not view.vip.counters or not master.vip.counters or view.vip.counters.received or view.vip.counters.errors:
        return False
    incoming = [far for way, far, _ in vrrp_blockers(site, host, view.vip.ruleset) if way == "saddr"]
    outgoing = [far for way, far, _ in vrrp_blockers(site, peer, master.vip.ruleset) if way == "daddr"]
    explained = peer in incoming or host in outgoing
    return not explained and not any(each.closed or each.drifted or each.unloaded for each in (view, master))


def _lost(site: Site, host: Host, view: LbView, peer: Host, master: LbView) -> Fault:
    """Say where the adverts from ``peer`` to ``host`` are lost: before they are sent, on the network, or on ``host`` itself."""
    number = master.vip.counters.sent if master.vip.counters else 0
    if not number:
        cause, evidence = "is VRRP master, but sends no adverts", f"keepalived counted none in 2 s; {host} heard none"
        fix = f"on {peer}: journalctl -u keepalived -n 20; ip route get {host.address}; ip rule"
        return Fault(topic="VRRP", host=peer.name, seen=cause, evidence=evidence, fix=fix)
    sent = f"{peer} sent {number} adverts within 2 s, {host} heard none"
    if arrived := view.vip.arriving.get(str(peer.address)):
        fix = f"on {host}: nft list ruleset; iptables-legacy -S; sysctl net.ipv4.conf.all.rp_filter"
        evidence = f"{sent}, although {arrived} reached its interface"
        return Fault(
            topic="VRRP", host=host.name, seen=f"something on this host drops VRRP from {peer}", evidence=evidence, fix=fix
        )
    evidence = f"{sent}; a ping {'passes' if view.vip.pings.get(str(peer.address)) else 'does not pass either'}"
    fix = (
        f"let IP protocol 112 pass from {peer.address} to {host.address}: switch, VLAN, security group, the hypervisor's filter; "
        f"see it arrive on {host}: tcpdump -ni {interface(site, host)} ip proto 112; until then, to have one holder, but no failover: "
        f"systemctl stop keepalived on {site.load_balancers[-1]}"
    )
    return Fault(topic="VRRP", host=host.name, seen=f"VRRP from {peer} is lost on the way", evidence=evidence, fix=fix)
