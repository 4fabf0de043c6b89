"""What hosts.yaml needs besides, with a guess or the place where a person finds it. Pure."""

from __future__ import annotations

import re
from typing import Final

from runbooks.inventory.words import NAME
from runbooks.site.importing.rules.found import Found, network_of, with_priorities

WHERE: Final = {
    "endpoint.vip": "virtual_ipaddress in keepalived.conf",
    "networks.management": "the network of the hosts and the VIP",
    "networks.pods": "podSubnet in `kubectl -n kube-system get configmap kubeadm-config -o yaml`",
    "networks.services": "serviceSubnet in `kubectl -n kube-system get configmap kubeadm-config -o yaml`",
    "kubernetes.version": "`kubectl version`",
    "load_balancer.interface": "interface in keepalived.conf",
    "load_balancer.vrrp.id": "virtual_router_id in keepalived.conf",
}
LBS: Final = 2


def complete(found: Found, label: str) -> None:
    """Add what hosts.yaml needs and ``found`` has not. ``label``: what the file or its directory is called, for the name of the site."""
    word = re.sub(r"[^a-z0-9]+", "-", label.lower()).strip("-")
    name = word if re.search(NAME, word) else "site"
    found.guess("name", name, "the name of the file or its directory")
    with_priorities(found.machines)
    vip = found.facts.get("endpoint.vip")
    addresses = [machine.address.value for machine in found.machines]
    found.guess("networks.management", network_of([*addresses, vip and vip.value]), "the addresses of the hosts and the VIP")
    for key, where in WHERE.items():
        found.miss(key, where)
    balancers = sum("lb" in machine.roles for machine in found.machines)
    if balancers < LBS:
        found.notes.append(
            f"{'no load balancer is' if not balancers else 'only one load balancer is'} in it; hosts.yaml needs two or more:"
            " - {name: lb1, address: ADDRESS, roles: [lb], priority: 254}"
        )
