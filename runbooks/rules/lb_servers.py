"""Whether HAProxy has the servers that hosts.yaml and the cluster have. Pure: what HAProxy says, as findings."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence

from runbooks.commands.haproxy import Backend
from runbooks.commands.lb import LbState
from runbooks.commands.lb_paths import UNCHECKED
from runbooks.errors import RunbookError
from runbooks.inventory.checks_ports import API_PORT
from runbooks.inventory.model import Host, Site
from runbooks.inventory.words import literal
from runbooks.rules.finding import Finding
from runbooks.text import listed

TOPIC = "LB servers"
API = "api"  # the proxy of the API servers, as in templates/haproxy.cfg.j2


def backends_of(proxy: str) -> tuple[str, ...]:
    """Return where a server's state is set: those of the API also in the backend that is used when all checks fail, and there first."""
    return (UNCHECKED, API) if proxy == API else (proxy,)


def wanted(site: Site) -> dict[str, dict[str, str]]:
    """Return the servers by hosts.yaml: of each proxy, the names with "ADDRESS:PORT"."""
    ingress = site.load_balancer.ingress
    found = {API: {host.name: f"{literal(host.address)}:{API_PORT}" for host in site.control_plane}}
    for proxy, on, port in (
        ("ingress-http", ingress.http, ingress.http_node_port),
        ("ingress-https", ingress.https, ingress.https_node_port),
    ):
        if on:
            found[proxy] = {host.name: f"{literal(host.address)}:{port}" for host in site.workers}
    return found


def findings(
    site: Site,
    balancers: Mapping[Host, tuple[LbState, Sequence[Backend] | None] | RunbookError],
    *,
    joined: Collection[Host] = (),
    unlisted: Collection[str] = (),
) -> list[Finding]:
    """Return how the servers of the LBs that answer differ from hosts.yaml; the same difference on two LBs is one finding.

    ``joined``: the hosts that are in the cluster. ``unlisted``: its control plane nodes that hosts.yaml does not have. A missing API
    server that is in the cluster is a failure: clients do not reach it, and when the others are lost, the API is lost although it runs.
    """
    on: dict[Finding, list[str]] = {}
    for balancer, seen in balancers.items():
        if isinstance(seen, RunbookError) or not seen[1] or seen[0].foreign:
            continue  # `rules.verify_hosts` reports it
        for each in _of_one(site, seen[1], {host.name for host in joined}, unlisted):
            on.setdefault(each, []).append(balancer.name)
    return [Finding(each.severity, topic=TOPIC, host=listed(names), seen=each.seen, why=each.why, fix=each.fix)
            for each, names in on.items()]  # fmt: skip


def _of_one(site: Site, backends: Sequence[Backend], joined: Collection[str], unlisted: Collection[str]) -> Iterator[Finding]:
    for proxy, servers in wanted(site).items():
        there = {each.server: each.address for each in backends if each.proxy == proxy}
        if proxy == API and not there:
            continue  # `rules.verify_hosts` reports it
        if missing := [name for name in servers if name not in there]:
            yield _missing(proxy, missing, joined)
        for name, address in there.items():
            if name not in servers:
                yield _superfluous(proxy, name, name in unlisted)
            elif address and address != servers[name]:
                seen = f"{proxy} has {name} at {address}, hosts.yaml has {servers[name]}"
                yield Finding("fail", seen=seen, why="clients are sent to the wrong address", fix="inv lb.setup")
        if proxy == API and (unknown := [name for name in unlisted if name not in there]):
            yield _unknown(unknown)


def _missing(proxy: str, names: Sequence[str], joined: Collection[str]) -> Finding:
    grave = proxy == API and any(name in joined for name in names)
    what = "API server" if proxy == API else "worker"
    why = f"no connection reaches {'them' if len(names) > 1 else 'it'}, also when every other {what} is down"
    return Finding("fail" if grave else "warn", seen=f"{proxy} does not know {listed(names)}", why=why, fix="inv lb.setup")


def _superfluous(proxy: str, name: str, member: bool) -> Finding:
    fix = f"add {name} to hosts.yaml, or take it out of the cluster; then inv lb.setup" if member else "inv lb.setup removes it"
    why = f"{name} is a control plane host of the cluster; the next inv lb.setup would remove it from the LBs" if member else ""
    return Finding("warn", seen=f"{proxy} has {name}, which is not in hosts.yaml", why=why, fix=fix)


def _unknown(names: Sequence[str]) -> Finding:
    return Finding(
        "warn",
        seen=f"{API} does not know {listed(names)}, in the cluster as control plane, and not in hosts.yaml either",
        why="no connection reaches its API server, also when every other one is down",
        fix=f"add {listed(names)} to hosts.yaml; then inv lb.setup",
    )
