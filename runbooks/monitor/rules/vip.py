"""Alerts about the VIP and keepalived. Pure.

keepalived's state comes from its notify hook (scripts/lb/lb-hook.sh) as a file for node_exporter; the daemon is never signalled, as exporters
do at each scrape. That the VIP answers is proved from outside: the job ``apiserver-vip`` asks the API server through it.
"""

from __future__ import annotations

from typing import Final

from runbooks.monitor.rules.alert import Alert, Group
from runbooks.monitor.rules.scope import Scope
from runbooks.text import HOUR, listed

FAULT: Final = 'state="FAULT"'
TO_MASTER: Final = 'to="MASTER"'
THEN: Final = (
    "[recover.vip](recover.vip.md) finds out why the VIP is on no load balancer or on two, and repairs what is safely repaired."
)


def group(scope: Scope) -> Group:
    """Return the alerts about the VIP and keepalived."""
    return Group(
        name="vip",
        title="Load balancers: VIP and keepalived",
        alerts=(*_holders(scope), *_others(scope), *_keepalived(scope), *_moves(scope)),
    )


def _holders(scope: Scope) -> tuple[Alert, ...]:
    master, vip = scope.textfile("vrrp_master"), scope.site.endpoint.vip
    balancers = len(scope.site.load_balancers)
    return (
        Alert(
            name="VIPUnreachable",
            expr=f"{scope.of('apiserver-vip')('up')} == 0",
            severity="critical",
            for_s=scope.wait(60),
            summary=f"The API cannot be reached through the VIP {vip}",
            description=f"Prometheus gets no answer from the API through the VIP {vip}. Clients get none either.",
            command="inv lb.status",
            then=f"Which part is broken: no LB holds the VIP (VIPWithoutHolder), HAProxy (HAProxyNoServer), or the API servers (KubeAPIDown). {THEN}",
        ),
        Alert(
            name="VIPWithoutHolder",
            expr=f"sum by (site) ({master}) == 0\n  and\ncount by (site) ({master}) == {balancers}",
            severity="critical",
            for_s=scope.wait(30),
            summary=f"No load balancer holds the VIP {vip}",
            description=f"keepalived is MASTER on none of the load balancers, so nobody has the VIP {vip}.",
            command="inv recover.vip --plan",
            then=THEN,
        ),
        Alert(
            name="VIPHeldTwice",
            expr=f"sum by (site) ({master}) > 1",
            severity="critical",
            for_s=scope.wait(60),
            summary=f"{{{{ $value }}}} load balancers hold the VIP {vip}",
            description=f"keepalived is MASTER on {{{{ $value }}}} load balancers at once: they do not hear each other. Connections to {vip} break.",
            command="inv recover.vip --plan",
            then=f"Usually a firewall or switch that drops VRRP (IP protocol 112) between the LBs. {THEN}",
        ),
    )


def _others(scope: Scope) -> tuple[Alert, ...]:
    """Return the alerts about the VIPs beside the one of the API; none where there is no such VIP."""
    site = scope.site
    if not site.load_balancer.vips:
        return ()
    names = "|".join(vip.name for vip in site.load_balancer.vips)
    master = scope.textfile("vip_master", f'vip=~"{names}"')
    balancers = len(site.load_balancers)
    named = listed(f"{vip.name} {vip.address}" for vip in site.load_balancer.vips)
    return (
        Alert(
            name="OtherVIPWithoutHolder",
            expr=f"sum by (site, vip) ({master}) == 0\n  and\ncount by (site, vip) ({master}) == {balancers}",
            severity="critical",
            for_s=scope.wait(30),
            summary="No load balancer holds the VIP {{ $labels.vip }}",
            description=f"keepalived is MASTER of {{{{ $labels.vip }}}} on none of the load balancers ({named}): its clients are not served.",
            command="inv recover.vip --plan",
            then=THEN,
        ),
        Alert(
            name="OtherVIPHeldTwice",
            expr=f"sum by (site, vip) ({master}) > 1",
            severity="critical",
            for_s=scope.wait(60),
            summary="{{ $value }} load balancers hold the VIP {{ $labels.vip }}",
            description=f"keepalived is MASTER of {{{{ $labels.vip }}}} on {{{{ $value }}}} load balancers at once ({named}): they do not hear each other.",
            command="inv recover.vip --plan",
            then=f"Usually a firewall or switch that drops VRRP (IP protocol 112) between the LBs. {THEN}",
        ),
    )


def _keepalived(scope: Scope) -> tuple[Alert, ...]:
    there = scope.of("node-exporter")("up", scope.on(*scope.site.load_balancers))
    return (
        Alert(
            name="KeepalivedStateUnknown",
            expr=f"{there} == 1\n  unless on (instance)\n{scope.textfile('vrrp_master')}",
            severity="warning",
            for_s=scope.wait(600),
            summary="keepalived on {{ $labels.instance }} has told no state",
            description="node_exporter on {{ $labels.instance }} answers, but knows nothing of keepalived. The alerts about the VIP are blind there.",
            command="inv lb.status",
            then="On the host: `systemctl status keepalived`, and whether the file is there: `ls -l /run/ha-runbooks/lb.prom`. [Monitoring](../monitoring.md).",
        ),
        Alert(
            name="KeepalivedFault",
            expr=f"{scope.textfile('vrrp_state', FAULT)} == 1",
            severity="critical",
            for_s=scope.wait(60),
            summary="keepalived on {{ $labels.instance }} is in FAULT",
            description="keepalived on {{ $labels.instance }} cannot take the VIP: its interface or HAProxy is down. When the other load balancer"
            " fails, nobody takes over.",
            command="inv lb.status",
            then="On the host: `systemctl status haproxy`, `ip link`. [lb.setup](lb.setup.md) repairs the configuration.",
        ),
    )


def _moves(scope: Scope) -> tuple[Alert, ...]:
    moves, home = scope.textfile("vrrp_transitions_total"), scope.site.load_balancers[0]
    first = scope.textfile("vrrp_master", scope.on(home))
    return (
        Alert(
            name="KeepalivedFlapping",
            expr=f"sum by (site, instance) (increase({moves}[{scope.range(900)}])) > 5",
            severity="warning",
            summary="keepalived on {{ $labels.instance }} changes its state again and again",
            description='keepalived on {{ $labels.instance }} changed its state {{ printf "%.0f" $value }} times in 15 minutes. At each change of'
            " the VIP connections end.",
            command="inv lb.status",
            then=f"`journalctl -u keepalived` on both LBs: lost adverts (network, busy host), or a check that comes and goes. {THEN}",
        ),
        Alert(
            name="VIPMoved",
            expr=f"increase({scope.textfile('vrrp_transitions_total', TO_MASTER)}[{scope.range(600)}]) > 0",
            severity="info",
            summary="The VIP has moved to {{ $labels.instance }}",
            description="{{ $labels.instance }} has taken the VIP within the last ten minutes. Connections through it were made anew.",
            command="inv lb.status",
            then="As expected after `inv lb.failover`, an upgrade or a drill. Otherwise find out what the other LB had: `inv doctor`.",
        ),
        Alert(
            name="VIPNotAtHome",
            expr=f"{first} == 0",
            severity="info",
            for_s=scope.wait(4 * HOUR),
            summary=f"{home} has not held the VIP for hours",
            description=f"{home} has the highest priority and is there, but another load balancer has held the VIP for hours.",
            command="inv lb.status",
            then="After maintenance: `inv lb.failover` hands it back. `inv lb.status` says whether an LB is still drained.",
        ),
    )
