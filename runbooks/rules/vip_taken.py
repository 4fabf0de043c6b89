"""Whether somebody else has a VIP before keepalived takes it. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from runbooks.commands.vip_asked import Asked
from runbooks.inventory.model import Host
from runbooks.inventory.words import Address


@dataclass(frozen=True, slots=True)
class Taken:
    """A VIP that a machine has which is none of the load balancers. ``mac``: its hardware address; ``seen_by``: the LB to which it answered."""

    name: str
    address: Address
    mac: str
    seen_by: Host

    @property
    def key(self) -> str:
        """The key of hosts.yaml that has the address."""
        return "endpoint.vip" if self.name == "api" else f"load_balancer.vips, {self.name}"


def taken(vips: Mapping[str, Address], seen: Mapping[Host, Asked]) -> list[Taken]:
    """Return the VIPs (by name) that somebody else has, by what the load balancers have ``seen``.

    Never names one that a load balancer of the pair has now: that pair serves it, and `inv recover.vip` looks for a second holder. Nor one for
    which only a load balancer answers.
    """
    own = {each.mac for each in seen.values() if each.mac}
    found = []
    for name, address in vips.items():
        if any(str(address) in each.here for each in seen.values()):
            continue
        answers = [(each.answers[str(address)], host) for host, each in seen.items() if str(address) in each.answers]
        if stranger := next(((mac, host) for mac, host in answers if mac not in own), None):
            found.append(Taken(name, address, *stranger))
    return found
