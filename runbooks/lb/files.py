"""The files of a load balancer, made from hosts.yaml."""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import sha256
from ipaddress import IPv6Address
from typing import Any

from runbooks.commands.base import Secret
from runbooks.commands.files import File
from runbooks.commands.lb import interface
from runbooks.commands.lb_kept import NOTHING, Kept
from runbooks.commands.lb_paths import (
    CHECK,
    FLAGS,
    HAPROXY_CFG,
    HOOK,
    KEEPALIVED_CONF,
    MARK,
    NOTIFY,
    SYSCTL_CONF,
    TAKEN_OUT,
    TELL_VIP,
    UNCHECKED,
)
from runbooks.inventory.model import Host, Site
from runbooks.inventory.words import literal
from runbooks.lb import own_sections
from runbooks.render import ROOT, render

# The higher a VRRP priority, the sooner a backup takes over (skew time, RFC 9568). 255 is reserved for an owner of the address.
HIGHEST_PRIORITY = 254


def lb_files(site: Site, host: Host, auth_pass: Secret | None, kept: Kept = NOTHING) -> tuple[File, ...]:
    """Return the files of ``host``: HAProxy's and keepalived's configuration, their systemd drop-ins and scripts.

    ``auth_pass`` is the password of VRRP version 2; None with version 3, which has none. ``kept`` is what the host has from before
    lb.setup; only the host knows it.
    """
    facts = _facts(site, host, auth_pass)
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
        _haproxy_cfg(facts, kept),
        File(
            KEEPALIVED_CONF,
            render("keepalived.conf", **{**facts, "hook": NOTIFY}) + kept.marked("vrrp"),
            mode="0600",
            secret=auth_pass,
        ),
    )


def _facts(site: Site, host: Host, auth_pass: Secret | None) -> dict[str, Any]:
    balancer = site.load_balancer
    return {
        "site": site,
        "host": host,
        "lb": balancer,
        "vrrp": balancer.vrrp,
        "ingress": balancer.ingress,
        "limits": balancer.limits,
        "vip": literal(site.endpoint.vip),
        "ingress_vip": literal(site.ingress_vip),
        "loopback": "[::1]" if isinstance(site.endpoint.vip, IPv6Address) else "127.0.0.1",
        "peers": [peer for peer in site.load_balancers if peer != host],
        "instances": _instances(site, host),
        "interface": interface(site, host),
        "advert_s": f"{balancer.vrrp.advert_ms / 1000:g}",
        "auth_pass": auth_pass,
        "flags": FLAGS,
        "hook": HOOK,
        "check": CHECK,
    }


def _instances(site: Site, host: Host) -> list[dict[str, object]]:
    """Return the VRRP instances of ``host``, that of the API's VIP first. ``tell``: the words with which the hook is called.

    Only the order of hosts.yaml's priorities counts: a failed check must lower an LB's priority below every other LB's.
    """
    main: dict[str, object] = {
        "name": site.name,
        "vip": "",
        "id": site.load_balancer.vrrp.id,
        "priority": HIGHEST_PRIORITY - site.load_balancers.index(host),
        "address": site.endpoint.vip,
        "tell": "state",
    }
    others: list[dict[str, object]] = [
        {
            "name": f"{site.name}-{vip.name}",
            "vip": vip.name,
            "id": vip.vrrp_id,
            "priority": HIGHEST_PRIORITY - site.order_of(vip).index(host),
            "address": vip.address,
            "tell": f"{TELL_VIP} {site.name} {vip.name}",
        }
        for vip in site.load_balancer.vips
    ]
    return [main, *others]


def problems(site: Site) -> list[tuple[str, str]]:
    """Return the keys of hosts.yaml whose files cannot be part of haproxy.cfg, and why."""
    texts = [_ours(_facts(site, host, None), "") for host in site.load_balancers]
    return list(dict.fromkeys(each for text in texts for each in own_sections.problems(site, text)))


def _haproxy_cfg(facts: Mapping[str, Any], kept: Kept) -> File:
    """Render haproxy.cfg, with the digest of its other lines in it: the running HAProxy tells it, and no other configuration has it.

    The operator's own sections, and those from before lb.setup, may have hashes of passwords, so that with them only root reads the file.
    Those from before come last: their `defaults` are for what follows, also for files that HAProxy reads besides this one.
    """
    bare = _ours(facts, "", kept)
    own = own_sections.own_sections(facts["site"], _ours(facts, ""))
    end = own + kept.marked("sections")
    digest = sha256(f"{bare}{end}".encode()).hexdigest()[:32]
    return File(HAPROXY_CFG, _ours(facts, digest, kept) + end, mode="0600" if end else "0644")


def _ours(facts: Mapping[str, Any], digest: str, kept: Kept = NOTHING) -> str:
    words = {"mark": MARK, "unchecked": UNCHECKED, "taken_out": TAKEN_OUT, "digest": digest}
    return render("haproxy.cfg", **facts, **words, kept_global=kept.marked("global"))


def nonlocal_bind(site: Site) -> str:
    """Return the name of the sysctl that lets HAProxy bind the VIP on an LB that does not hold it."""
    return f"net.ipv{site.endpoint.vip.version}.ip_nonlocal_bind"


def lb_sysctl(site: Site) -> File:
    """Return the sysctl.d file that sets `nonlocal_bind` at boot."""
    return File(SYSCTL_CONF, f"# Lets HAProxy bind the VIP before this host holds it.\n{nonlocal_bind(site)} = 1\n")


def _script(name: str) -> str:
    return (ROOT / "scripts" / "lb" / f"{name}.sh").read_text(encoding="utf-8")
