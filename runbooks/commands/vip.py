"""What keeps the VIP where it is, as one load balancer can tell; and the few words that free it."""

from __future__ import annotations

import json
from base64 import b64decode
from dataclasses import dataclass, replace
from typing import Any

from runbooks.commands.base import Answer, Command, Probe, cmd, script
from runbooks.inventory.model import Host, Site

SAMPLE_S = 2  # long enough for two adverts of VRRP's own default, one a second


@dataclass(frozen=True, slots=True)
class Counters:
    """VRRP's adverts while the sample was taken, as keepalived counted them; ``errors`` are those that it refused."""

    received: int
    sent: int
    errors: int


@dataclass(frozen=True, slots=True, kw_only=True)
class VipLook:
    """One LB's view. ``link`` is the interface's state in the kernel's words, or "missing".

    ``vip_on`` are the devices that carry the VIP. ``counters`` is None when keepalived does not tell. ``arriving`` counts by peer
    the adverts that reached the interface, before any filter; a peer is missing where tcpdump is. ``answers`` are the hardware
    addresses that answer for the VIP. ``full`` are file systems without room. ``said`` is the last line of a service that is not
    active. ``ruleset`` is nftables' own JSON. ``vrrp`` is keepalived's state by its own word, "" when it does not tell.
    """

    link: str
    mac: str
    address: bool
    vip_on: tuple[str, ...]
    masked: tuple[str, ...]
    said: dict[str, str]
    full: tuple[str, ...]
    counters: Counters | None
    arriving: dict[str, int]
    pings: dict[str, bool]
    answers: tuple[str, ...]
    ruleset: tuple[dict[str, Any], ...]
    vrrp: str = ""


def interface(site: Site, host: Host) -> str:
    """Return the interface on which ``host`` speaks VRRP."""
    return host.interface or site.load_balancer.interface


def look(site: Site, host: Host, sample_s: int = SAMPLE_S) -> Probe[VipLook]:
    """See what keeps the VIP where it is; takes ``sample_s`` seconds."""
    variables = {
        "VIP": str(site.endpoint.vip),
        "FAMILY": str(site.endpoint.vip.version),
        "INTERFACE": interface(site, host),
        "ADDRESS": str(host.address),
        "PEERS": [str(peer.address) for peer in site.load_balancers if peer != host],
        "SAMPLE": str(sample_s),
    }
    return Probe(replace(script("vip-look", variables, timeout=sample_s + 25), shown="vip-look"), parse)


def parse(answer: Answer) -> VipLook:
    """Read lines of ``key value``. Raises ValueError when what must be there is not, or makes no sense."""
    lines = [line.split(" ", 1) for line in answer.stdout.splitlines() if " " in line]

    def every(key: str) -> tuple[str, ...]:
        return tuple(value.strip() for name, value in lines if name == key)

    def pairs(key: str) -> dict[str, str]:
        return {first: rest for first, _, rest in (value.partition(" ") for value in every(key))}

    try:
        counted = {when: [int(word) for word in numbers.split()] for when, numbers in pairs("counters").items()}
        return VipLook(
            link=every("link")[0],
            mac=next(iter(every("mac")), "").lower(),
            address=bool(every("address")),
            vip_on=every("vip_on"),
            masked=every("masked"),
            said=pairs("said"),
            full=every("full"),
            counters=_grown(counted.get("before"), counted.get("after")),
            arriving={peer: int(number) for peer, number in pairs("arriving").items()},
            pings={peer: word == "yes" for peer, word in pairs("ping").items()},
            answers=tuple(each.lower() for each in every("answers_for_vip")),
            ruleset=_ruleset(next(iter(every("ruleset")), "")),
            vrrp=next(iter(every("vrrp")), ""),
        )
    except (IndexError, KeyError, TypeError) as error:
        raise ValueError(f"vip-look said something unexpected: {error!r}") from None


def accept(peer: Host, *, family: str, table: str, chain: str, direction: str) -> Command:
    """Let VRRP from (``saddr``) or to (``daddr``) ``peer`` pass, before every other rule of that chain."""
    variables = {
        "FAMILY": family,
        "TABLE": table,
        "CHAIN": chain,
        "IP": "ip" if peer.address.version == 4 else "ip6",
        "DIRECTION": direction,
        "PEER": str(peer.address),
    }
    return script("vip-accept", variables)


def restart(unit: str) -> Command:
    """Start a service anew that runs but does not do its work: haproxy at once, keepalived if it does not come back by itself."""
    return script("vip-restart", {"UNIT": unit}, timeout=90)


def note(state: str) -> Command:
    """Write down what keepalived's state is."""
    return script("vip-note", {"STATE": state})


def drop_stray(site: Site, device: str) -> Command:
    """Take the VIP off a device that it does not belong on."""
    vip = site.endpoint.vip
    return cmd("ip", "address", "delete", f"{vip}/{vip.max_prefixlen}", "dev", device)


def _grown(before: list[int] | None, after: list[int] | None) -> Counters | None:
    """Return the difference; keepalived that was started meanwhile has begun to count anew."""
    if not after:
        return None
    base = before if before and all(new >= old for new, old in zip(after, before, strict=True)) else [0, 0, 0]
    return Counters(*(new - old for new, old in zip(after, base, strict=True)))


def _ruleset(encoded: str) -> tuple[dict[str, Any], ...]:
    text = b64decode(encoded).decode(errors="replace").strip()
    found = json.loads(text).get("nftables", []) if text else []
    return tuple(each for each in found if isinstance(each, dict))
