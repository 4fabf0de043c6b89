"""Who has a VIP in the network of a host, by ARP or neighbour discovery, as duplicate address detection asks.

https://www.rfc-editor.org/rfc/rfc5227 (IPv4), https://www.rfc-editor.org/rfc/rfc4862#section-5.4 (IPv6)
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from runbooks.commands.base import Answer, Probe, script
from runbooks.commands.lb import interface
from runbooks.inventory.model import Host, Site
from runbooks.inventory.words import Address


@dataclass(frozen=True, slots=True)
class Asked:
    """What one host knows. ``mac``: its own hardware address; ``here``: addresses that it has; ``answers``: who answers for others, by address."""

    mac: str = ""
    here: frozenset[str] = frozenset()
    answers: Mapping[str, str] = field(default_factory=dict)


def look(site: Site, host: Host, vips: Sequence[Address]) -> Probe[Asked]:
    """Ask for ``vips`` on the interface of ``host``. Takes a second for an address that does not answer."""
    family = str(site.endpoint.vip.version)
    variables = {"VIPS": [str(each) for each in vips], "FAMILY": family, "INTERFACE": interface(site, host)}
    return Probe(replace(script("vip-asked", variables, timeout=20), shown="who has the VIP (ARP, neighbour discovery)"), parse)


def parse(answer: Answer) -> Asked:
    r"""Parse what vip-asked.sh printed; other lines are skipped.

    >>> parse(Answer(0, "mac 52:54:00:00:00:01\nhere 10.1.1.9\nanswers 10.1.1.8 52:54:00:0A:00:02\n"))
    Asked(mac='52:54:00:00:00:01', here=frozenset({'10.1.1.9'}), answers={'10.1.1.8': '52:54:00:0a:00:02'})
    """
    lines = [line.split() for line in answer.stdout.splitlines()]
    return Asked(
        next((words[1].lower() for words in lines if words[0] == "mac" and len(words) == 2), ""),
        frozenset(words[1] for words in lines if words[0] == "here" and len(words) == 2),
        {words[1]: words[2].lower() for words in lines if words[0] == "answers" and len(words) == 3},
    )
