"""Preflight check of the proxies that systemd gives to containerd and the kubelet. Pure: facts in, a finding out."""

from __future__ import annotations

from ipaddress import ip_network

from runbooks.commands.preflight_facts import Facts
from runbooks.inventory.model import Host, Site
from runbooks.inventory.words import Address, Network
from runbooks.rules.finding import Finding
from runbooks.rules.preflight_finding import good, warn
from runbooks.text import listed


def proxies(site: Site, host: Host, facts: Facts) -> Finding | None:
    """Warns when a service has a proxy, and its NO_PROXY does not take the whole cluster out. None without any proxy.

    Both are Go programs: the kubelet would ask the proxy for the API server. What their NO_PROXY means:
    https://pkg.go.dev/golang.org/x/net/http/httpproxy#Config
    """
    if not facts.proxied:
        return None
    wanted: dict[str, Address | Network | str] = {
        f"the VIP {site.endpoint.vip}": site.endpoint.vip,
        f"the hosts ({site.networks.management})": site.networks.management,
        f"services ({site.networks.services})": site.networks.services,
        f"pods ({site.networks.pods})": site.networks.pods,
    }
    if site.endpoint.name:
        wanted[site.endpoint.name] = site.endpoint.name
    bad = {unit: [what for what, each in wanted.items() if not _left_out(text, each)] for unit, text in facts.proxied.items()}
    bad = {unit: missing for unit, missing in bad.items() if missing}
    if not bad:
        return good(f"{listed(sorted(facts.proxied))}: a proxy, but not for the cluster")
    entries = ",".join(dict.fromkeys(str(each) for each in wanted.values()))
    return warn(
        "; ".join(f"{unit} would ask its proxy for {listed(missing)}" for unit, missing in sorted(bad.items())),
        f"NO_PROXY={entries},.svc,.{site.kubernetes.domain} in `systemctl edit {' '.join(sorted(bad))}`, then `systemctl restart` them",
    )


def _left_out(no_proxy: str, wanted: Address | Network | str) -> bool:
    """Return whether a Go program does not ask its proxy for ``wanted``: an address, every address of a network, or a name."""
    return any(_covers(entry.strip(), wanted) for entry in no_proxy.split(","))


def _covers(entry: str, wanted: Address | Network | str) -> bool:
    if entry == "*":
        return True
    if isinstance(wanted, str):
        name = entry.lower().removeprefix("*")
        return bool(name) and (wanted == name or wanted.endswith(name if name.startswith(".") else f".{name}"))
    try:
        net = ip_network(entry.strip("[]"), strict=False)
    except ValueError:
        return False
    if net.version != wanted.version:
        return False
    network = ip_network(wanted)
    return int(net.network_address) <= int(network.network_address) and int(network.broadcast_address) <= int(
        net.broadcast_address
    )
