"""Site -> the files that its hosts shall have."""

from __future__ import annotations

from ipaddress import IPv6Address

from runbooks.commands.base import Secret
from runbooks.commands.files import File
from runbooks.commands.lb_paths import CHECK, FLAGS, HAPROXY_CFG, HOOK, KEEPALIVED_CONF, NOTIFY, SYSCTL_CONF
from runbooks.inventory.model import Host, Site
from runbooks.inventory.words import literal
from runbooks.render import ROOT, render

HIGHEST_PRIORITY = 254  # and close below it: keepalived then waits shortest before it takes over


def lb_files(site: Site, host: Host, auth_pass: Secret | None) -> tuple[File, ...]:
    """Return HAProxy's and keepalived's configuration for ``host``, and the helpers that the two need.

    ``auth_pass`` is for VRRP version 2 and is None with version 3.
    """
    balancer = site.load_balancer
    facts = {
        "site": site,
        "host": host,
        "lb": balancer,
        "vrrp": balancer.vrrp,
        "ingress": balancer.ingress,
        "limits": balancer.limits,
        "vip": literal(site.endpoint.vip),
        "loopback": "[::1]" if isinstance(site.endpoint.vip, IPv6Address) else "127.0.0.1",
        "peers": [peer for peer in site.load_balancers if peer != host],
        # Only their order counts in hosts.yaml. What is taken off an LB in trouble must outweigh any difference between two of them.
        "priority": HIGHEST_PRIORITY - site.load_balancers.index(host),
        "interface": host.interface or balancer.interface,
        "advert_s": f"{balancer.vrrp.advert_ms / 1000:g}",
        "auth_pass": auth_pass,
        "flags": FLAGS,
        "hook": HOOK,
        "check": CHECK,
    }
    return (
        File(HOOK, _script("lb-hook"), mode="0755"),
        File(NOTIFY, _script("lb-hook"), mode="0755"),
        File(CHECK, _script("check-haproxy"), mode="0755"),
        File(
            "/etc/systemd/system/haproxy.service.d/10-ha-runbooks.conf", render("haproxy-unit.conf", config=HAPROXY_CFG, **facts)
        ),
        File(
            "/etc/systemd/system/keepalived.service.d/10-ha-runbooks.conf",
            render("keepalived-unit.conf", config=KEEPALIVED_CONF, **facts),
        ),
        File(HAPROXY_CFG, render("haproxy.cfg", **facts)),
        File(KEEPALIVED_CONF, render("keepalived.conf", **{**facts, "hook": NOTIFY}), mode="0600", secret=auth_pass),
    )


def nonlocal_bind(site: Site) -> str:
    """Return the sysctl that lets HAProxy bind the VIP on the LB that does not hold it."""
    return f"net.ipv{site.endpoint.vip.version}.ip_nonlocal_bind"


def lb_sysctl(site: Site) -> File:
    """Return the file that makes `nonlocal_bind` survive a reboot."""
    return File(SYSCTL_CONF, f"# Lets HAProxy bind the VIP before this host holds it.\n{nonlocal_bind(site)} = 1\n")


def _script(name: str) -> str:
    return (ROOT / "scripts" / "lb" / f"{name}.sh").read_text(encoding="utf-8")
