"""Whether lb.setup would take something away from somebody on a load balancer. Pure: what a host serves in, refusals out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from runbooks.commands import lb_config, lb_kept, lb_own
from runbooks.commands.lb_claims import UNITS, Claims, Present
from runbooks.commands.lb_config import Bind
from runbooks.commands.lb_paths import HAPROXY_CFG, KEEPALIVED_CONF
from runbooks.inventory.model import Host, Site
from runbooks.text import listed

# The front ends of templates/haproxy.cfg.j2 and the key of hosts.yaml that each one's port is from.
KEYS: Final = {
    "api": "endpoint.port",
    "stats": "load_balancer.stats_port",
    "metrics": "load_balancer.metrics_port",
    "health": "load_balancer.health_port",
    "ingress-http": "load_balancer.ingress.http",
    "ingress-https": "load_balancer.ingress.https",
}


def held(host: Host, haproxy_cfg: str, claims: Claims) -> list[str]:
    """Return a line for each port of the configuration ``haproxy_cfg`` that another program than our HAProxy listens on.

    `haproxy -c` binds no port, and a reload that cannot bind one keeps the old worker: nobody would notice before the next restart.
    """
    return list(
        dict.fromkeys(
            f"{host}: TCP {bind} ({KEYS.get(bind.proxy, f'{HAPROXY_CFG}, {bind.proxy}')}) is held by {listener}"
            for bind in lb_config.binds(haproxy_cfg)
            for listener in claims.listeners
            if not listener.own and listener.port == bind.port and lb_config.overlap(bind.address, listener.address)
        )
    )


def elsewhere(host: Host, claims: Claims) -> list[str]:
    """Return a line for each service that does not read the file that lb.setup writes."""
    files = {"haproxy": HAPROXY_CFG, "keepalived": KEEPALIVED_CONF}
    found = []
    for unit in UNITS:
        if (named := claims.named.get(unit)) is not None and files[unit] not in named:
            found.append(
                f"{host}: {unit} is set to read {listed(named) or 'no file'}, not {files[unit]} "
                f"(systemctl cat {unit}; /etc/default/{unit} or /etc/sysconfig/{unit})"
            )
        elif (running := claims.running.get(unit)) is not None and files[unit] not in running:
            found.append(
                f"{host}: {unit} was started with {listed(running) or 'no file'}, not with {files[unit]}; a reload does not change that"
            )
    return found


def foreign(site: Site, host: Host, claims: Claims) -> list[str]:
    """Return a line for each configuration, or part of one, that is neither ours nor the package's default, with what it serves.

    Never lets a file pass that serves something that lb.setup did not set up: also not one of ours to which somebody has added it.
    """
    found = []
    for path, present in claims.files.items():
        what = _serves(path, present, site)
        if claims.is_foreign(path):
            serves = f"it serves {listed(what)}" if what else "what it serves cannot be told"
            found.append(f"{host}: {path} is not from lb.setup; {serves}")
        elif lb_config.is_ours(present.content) and what:
            found.append(f"{host}: {path} is from lb.setup, but somebody has added {listed(what)}")
    # In use beside our haproxy.cfg they lose nothing; on a host that is no LB of ours yet they show whose HAProxy it is.
    cfg = claims.files.get(HAPROXY_CFG)
    if not (cfg and lb_config.is_ours(cfg.content)):
        found += beside(host, claims)
    return found


def added(site: Site, claims: Claims) -> list[str]:
    """Return what somebody has added to files of lb.setup, one line for each file: only what is between marks would stay."""
    ours = {path: present for path, present in claims.files.items() if lb_config.is_ours(present.content)}
    return [
        f"does not stay, as it was added to a file of lb.setup ({path}): {listed(what)}"
        for path, present in ours.items()
        if (what := _serves(path, present, site))
    ]


def beside(host: Host, claims: Claims) -> list[str]:
    """Return a line for each file that HAProxy reads besides haproxy.cfg, with what it serves. lb.setup never changes such a file."""
    return [
        f"{host}: HAProxy also reads {path}, which is not from lb.setup"
        + (f"; it serves {listed(what)}" if (what := _sections(lb_config.services(text))) else "")
        for path, text in claims.beside.items()
        if not lb_config.says_nothing(text)
    ]


def _sections(services: Mapping[tuple[str, str], Sequence[str]]) -> list[str]:
    return [f"{name or kind} ({listed(at) or 'no TCP port'})" for (kind, name), at in services.items()]


def _serves(path: str, present: Present, site: Site) -> list[str]:
    """Return what a configuration serves; of one that is ours, only what lb.setup has never written."""
    text, ours = present.content, lb_config.is_ours(present.content)
    if path == HAPROXY_CFG:
        text = lb_kept.without(lb_own.without(text)) if ours else text
        return [
            f"{name or kind} ({listed(at) or 'no TCP port'})"
            for (kind, name), binds in lb_config.services(text).items()
            if (at := _added(site, kind, name, binds) if ours else binds) or not (ours and _is_template(kind, name))
        ]
    text = lb_kept.without(text) if ours else text
    own = lb_config.other_vips(text) if ours else []  # of VIPs that are, or were, in load_balancer.vips: one address each
    more = [f"the VIP {address}" for each in own for address in lb_config.virtual_addresses(each)[1:]]
    for each in own:
        text = text.replace(each, "")
    names, addresses = lb_config.instances(text), lb_config.virtual_addresses(text)
    # Of the API's VIP lb.setup writes one instance with one address; either may have been renamed in hosts.yaml since.
    known = (site.name, str(site.endpoint.vip)) if ours else ()
    return [
        *(f"the VRRP instance {each}" for each in names if each not in known and not (ours and len(names) == 1)),
        *(f"the VIP {each}" for each in addresses if each not in known and not (ours and len(addresses) == 1)),
        *more,
        *(f"the virtual server {each}" for each in lb_config.virtual_servers(text)),
        *(f"what `{each}` brings" for each in lb_config.includes(text)),
    ]


WITH_SERVERS = ("api", "ingress-http", "ingress-https")  # earlier versions wrote a frontend and a backend of the same name


def _is_template(kind: str, name: str) -> bool:
    return name in KEYS and kind in ({"listen", "frontend"} if name in WITH_SERVERS else {"frontend"})


def _added(site: Site, kind: str, name: str, binds: Sequence[str]) -> list[str]:
    """Return the addresses of a section that the template does not give it: all but one.

    That one may have had another address or port in hosts.yaml; the one with the present port goes first.
    """
    if not _is_template(kind, name) or not binds:
        return list(binds)
    balancer = site.load_balancer
    port = {
        "api": site.endpoint.port,
        "stats": balancer.stats_port,
        "metrics": balancer.metrics_port,
        "health": balancer.health_port,
        "ingress-http": 80,
        "ingress-https": 443,
    }[name]
    own = next((each for each in binds if each.endswith(f":{port}")), binds[0])
    at = binds.index(own)
    return [*binds[:at], *binds[at + 1 :]]


def unbound(haproxy_cfg: str, claims: Claims) -> list[Bind]:
    """Return where the configuration ``haproxy_cfg`` listens by its text, but HAProxy does not on the host."""
    own = [each for each in claims.listeners if each.own]
    return [
        bind
        for bind in lb_config.binds(haproxy_cfg)
        if not any(bind.port == each.port and lb_config.overlap(bind.address, each.address) for each in own)
    ]


def lost(conf: Mapping[Host, str], on: Mapping[Host, frozenset[str]]) -> list[str]:
    """Return the virtual addresses of the configurations of keepalived that are on no host."""
    wanted = dict.fromkeys(address for text in conf.values() for address in lb_config.virtual_addresses(text))
    return [each for each in wanted if not any(each in there for there in on.values())]
