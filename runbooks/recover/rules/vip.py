"""Why the VIP is not on exactly one load balancer, or would not be after a failover. Pure: what the LBs reported in, faults out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from runbooks.commands.lb import interface
from runbooks.errors import RunbookError
from runbooks.inventory.model import Host, Site
from runbooks.recover.rules.load_balancer import Fault, LbView, Views, host_faults
from runbooks.recover.rules.vrrp import filter_faults, foreign_holders, lost_adverts
from runbooks.rules import lb


def faults(site: Site, views: Views) -> list[Fault]:
    """Return everything that is wrong: host by host, then between the hosts."""
    found: list[Fault] = []
    for host, each in views.items():
        if isinstance(each, LbView):
            found += host_faults(site, host, each, views)
        else:
            found.append(_unreachable(site, host, each))
    answering = {host: each for host, each in views.items() if isinstance(each, LbView)}
    found += filter_faults(site, answering)
    found += lost_adverts(site, answering)
    found += foreign_holders(site, answering)
    return found or _unexplained(answering)


def repairable(views: Views, found: Iterable[Fault]) -> tuple[Host, ...]:
    """Return the LBs that can be repaired now: they answer, and have no fault that a person has to remove first."""
    blocked = {each.host for each in found if each.blocks}
    return tuple(host for host, each in views.items() if isinstance(each, LbView) and host.name not in blocked)


def manual(found: Iterable[Fault]) -> list[Fault]:
    """Return the faults that a person has to repair."""
    return [each for each in found if not each.automatic]


def _unreachable(site: Site, host: Host, error: RunbookError) -> Fault:
    device = interface(site, host)
    return Fault(
        host=host.name,
        seen="does not answer, so its state is unknown",
        evidence=str(error).partition("\n")[0],
        fix=error.hint
        if "site.trust" in error.hint
        else f"at its console: ip -br address show dev {device} (is {host.address} there, is it UP?); systemctl status ssh; "
        f"if it was replaced by an empty machine: inv recover.lb --host {host}",
        blocks=True,
    )


def _unexplained(views: Mapping[Host, LbView]) -> list[Fault]:
    """Return what is wrong with the pair when no cause was found."""
    states = {host: each.state for host, each in views.items()}
    idle = [(host.name, f"does not serve: {reason}") for host, state in states.items() if (reason := lb.not_serving(state))]
    apart = [("", reason)] if views and (reason := lb.not_a_pair(states)) else []
    fix = "run inv recover.vip again in a moment; if nothing changes, on each LB: journalctl -u keepalived -u haproxy -n 50"
    return [
        Fault(topic="VIP", host=where, seen=reason, evidence="every known cause was ruled out", fix=fix)
        for where, reason in (*idle, *apart)
    ]
