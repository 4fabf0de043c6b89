"""Checks between the values of a site file. Pure. A check uses only values that are valid by themselves."""

from collections.abc import Callable, Iterator
from typing import Final

from runbooks.inventory import (
    checks_baseline,
    checks_drills,
    checks_monitoring,
    checks_networks,
    checks_nodes,
    checks_patches,
    checks_ports,
    checks_runtime,
    checks_values,
    checks_vips,
)
from runbooks.inventory.draft import Draft, DraftHost
from runbooks.inventory.problems import Finding

Findings = Iterator[Finding]
LB = "load_balancer"


def findings(draft: Draft) -> Findings:
    """Yield everything that is wrong between the values of ``draft``.

    A check leaves out what only follows from a key that is reported already (`Draft.blamed`), so the order of the checks counts.
    """
    for check in CHECKS:
        for one in check(draft):
            if one.severity == "error":
                draft.blamed.add(one.key)
            yield one


def names_are_unique(draft: Draft) -> Findings:
    """Every host needs its own name."""
    first: dict[str, DraftHost] = {}
    for host in draft.hosts:
        if host.name is not None and first.setdefault(host.name, host) is not host:
            yield Finding(f"{host.key}.name", f"{host.name} is already the name of the host on line {first[host.name].line}")


def roles_are_given(draft: Draft) -> Findings:
    """Every host needs a role, each only once: no runbook uses a host without a role."""
    for host in draft.hosts:
        if host.roles is None:
            continue
        if not host.roles:
            yield Finding(f"{host.key}.roles", f"{host} has no role: give it lb, control-plane or worker, or delete the host")
        for role in dict.fromkeys(host.roles):
            if host.roles.count(role) > 1:
                yield Finding(f"{host.key}.roles", f"{role} is given twice")


def enough_of_each_role(draft: Draft) -> Findings:
    """The site needs two LBs, between which the VIP moves, and a control plane host. An even number of members is a warning."""
    if not draft.roles_known:
        return
    balancers, control_plane, workers = (list(draft.with_role(role)) for role in ("lb", "control-plane", "worker"))
    if not balancers:
        yield Finding("hosts", "no host has the role lb: the VIP needs two")
    elif len(balancers) == 1:
        yield Finding("hosts", f"only {balancers[0]} has the role lb: the VIP needs a second one to move to")
    if not control_plane:
        yield Finding("hosts", "no host has the role control-plane: give it to three hosts")
    elif len(control_plane) % 2 == 0 and draft.text("kubernetes.etcd") == "stacked":
        count = len(control_plane)
        message = f"{count} hosts with the role control-plane tolerate no more failures than {count - 1}: use an odd number"
        yield Finding("hosts", message, "warning")
    if not workers:
        yield Finding("hosts", "no host has the role worker: nothing will run the workload", "warning")


def priorities_rank_the_lbs(draft: Draft) -> Findings:
    """Every LB needs its own VRRP priority; other hosts must not have one."""
    ranked: dict[int, DraftHost] = {}
    for host in draft.hosts:
        if host.roles is None:
            continue
        key = f"{host.key}.priority"
        if "lb" not in host.roles:
            if host.given("priority"):
                yield Finding(key, f"{host} is not an lb: delete the priority, or add lb to its roles")
        elif not host.given("priority"):
            yield Finding(key, f"{host} is an lb and needs one: a whole number from 1 to 254, the highest holds the VIP")
        elif host.priority is not None and ranked.setdefault(host.priority, host) is not host:
            other = ranked[host.priority]
            yield Finding(key, f"{host.priority} is already the priority of {other} on line {other.line}: they must differ")


def adverts_fit_the_version(draft: Draft) -> Findings:
    """With VRRP version 2 the advertisement interval is in whole seconds (RFC 3768, section 5.3.7)."""
    key = f"{LB}.vrrp.advert_ms"
    interval = draft.number(key)
    if draft.number(f"{LB}.vrrp.version") == 2 and interval is not None and interval % 1000:
        yield Finding(key, f"VRRP version 2 sends adverts in whole seconds: write 1000 instead of {interval}, or use version 3")


CHECKS: Final[tuple[Callable[[Draft], Findings], ...]] = (
    names_are_unique,
    *checks_values.CHECKS,
    *checks_vips.CHECKS,
    *checks_networks.CHECKS,
    roles_are_given,
    enough_of_each_role,
    priorities_rank_the_lbs,
    *checks_ports.CHECKS,
    adverts_fit_the_version,
    *checks_monitoring.CHECKS,
    *checks_nodes.CHECKS,
    *checks_runtime.CHECKS,
    *checks_patches.CHECKS,
    *checks_drills.CHECKS,
    *checks_baseline.CHECKS,
)
