"""What is never asked through a proxy: everything that belongs to the cluster. Pure."""

from __future__ import annotations

from runbooks.inventory.model import Site


def no_proxy(site: Site) -> str:
    """Return NO_PROXY for the services of a node: this machine, the cluster's networks and names, then the owner's own entries.

    Hosts are in it by their addresses, in the networks. Their names are not: each new host would change it on all nodes, and drain them for it.
    Go programs take addresses, networks (CIDR) and domains: https://pkg.go.dev/golang.org/x/net/http/httpproxy#Config
    """
    given = site.baseline.proxy.no_proxy if site.baseline.proxy else ()
    networks = (site.networks.management, site.networks.pods, site.networks.services, site.networks.storage)
    entries = (
        "localhost",
        "127.0.0.0/8",
        "::1",
        *(str(each) for each in networks if each),
        str(site.endpoint.vip),
        *([site.endpoint.name] if site.endpoint.name else []),
        ".svc",
        f".{site.kubernetes.domain}",
        *given,
    )
    return ",".join(dict.fromkeys(entries))
