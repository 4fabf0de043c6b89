"""What decides where the VIP is, as one load balancer sees it, and the commands that repair it."""

from __future__ import annotations

import json
from base64 import b64decode
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from runbooks.commands.base import Answer, Command, Probe, cmd, script
from runbooks.commands.lb import interface
from runbooks.commands.lb_paths import OTHER_STATES, STATE
from runbooks.inventory.model import Host, Site
from runbooks.inventory.words import Address

SAMPLE_S = 2  # long enough for two adverts at VRRP's default of one a second


@dataclass(frozen=True, slots=True)
class Counters:
    """How many VRRP adverts keepalived counted during the sample; ``errors`` are those that it rejected."""

    received: int
    sent: int
    errors: int


@dataclass(frozen=True, slots=True)
class OtherSeen:
    """A VIP beside the one of the API, as in `VipFacts`: ``on``, ``answers`` and ``vrrp``."""

    on: tuple[str, ...] = ()
    answers: tuple[str, ...] = ()
    vrrp: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class VipFacts:
    """What one LB sees.

    ``link`` is the state of the VRRP interface in the kernel's words, or "missing"; ``address``: it has the host's address.
    ``vip_on`` are the devices that carry the VIP. ``masked`` are masked services, ``last_log`` the last log line of each service that
    is not active. ``full`` are the paths whose file system is full. ``counters`` is None when keepalived does not report them.
    ``arriving`` counts, by peer, the adverts that reached the interface before any filter; empty without tcpdump.
    ``pings``: which peers answer a ping. ``answers`` are the hardware addresses that answer for the VIP; empty without arping.
    ``ruleset`` is the packet filter as `nft -j list ruleset` prints it. ``vrrp`` is the state that keepalived reports, "" when it
    does not. ``others`` are the VIPs beside the one of the API, by name.
    """

    link: str
    mac: str
    address: bool
    vip_on: tuple[str, ...]
    masked: tuple[str, ...]
    last_log: dict[str, str]
    full: tuple[str, ...]
    counters: Counters | None
    arriving: dict[str, int]
    pings: dict[str, bool]
    answers: tuple[str, ...]
    ruleset: tuple[dict[str, Any], ...]
    vrrp: str = ""
    others: Mapping[str, OtherSeen] = field(default_factory=dict)


def look(site: Site, host: Host, sample_s: int = SAMPLE_S) -> Probe[VipFacts]:
    """Ask what decides where the VIP is. Takes ``sample_s`` seconds; with 0, nothing is counted and no other host is asked."""
    variables = {
        "VIP": str(site.endpoint.vip),
        "FAMILY": str(site.endpoint.vip.version),
        "INTERFACE": interface(site, host),
        "ADDRESS": str(host.address),
        "PEERS": [str(peer.address) for peer in site.load_balancers if peer != host],
        "SAMPLE": str(sample_s),
        "VIPS": [f"{each.name} {each.address} {site.name}-{each.name}" for each in site.load_balancer.vips],
    }
    command = replace(script("vip-look", variables, timeout=sample_s + 25), shown="vip-look")
    instances = {f"{site.name}-{each.name}": each.name for each in site.load_balancer.vips}
    return Probe(command, lambda answer: parse(answer, instances))


def parse(answer: Answer, instances: Mapping[str, str] | None = None) -> VipFacts:
    """Read lines of ``key value``. Raises ValueError when a required line is missing or malformed.

    ``instances``: the names of the VIPs beside the one of the API, by those of their VRRP instances.
    """
    lines = [line.split(" ", 1) for line in answer.stdout.splitlines() if " " in line]

    def every(key: str) -> tuple[str, ...]:
        return tuple(value.strip() for name, value in lines if name == key)

    def pairs(key: str) -> dict[str, str]:
        return {first: rest for first, _, rest in (value.partition(" ") for value in every(key))}

    try:
        counted = {when: [int(word) for word in numbers.split()] for when, numbers in pairs("counters").items()}
        return VipFacts(
            link=every("link")[0],
            mac=next(iter(every("mac")), "").lower(),
            address=bool(every("address")),
            vip_on=every("vip_on"),
            masked=every("masked"),
            last_log=pairs("said"),
            full=every("full"),
            counters=_grown(counted.get("before"), counted.get("after")),
            arriving={peer: int(number) for peer, number in pairs("arriving").items()},
            pings={peer: word == "yes" for peer, word in pairs("ping").items()},
            answers=tuple(each.lower() for each in every("answers_for_vip")),
            ruleset=_ruleset(next(iter(every("ruleset")), "")),
            vrrp=next(iter(every("vrrp")), ""),
            others={
                name: OtherSeen(
                    on=tuple(device for word, _, device in map(_parted, every("other_on")) if word == name),
                    answers=tuple(mac.lower() for word, _, mac in map(_parted, every("answers_for")) if word == name),
                    vrrp=pairs("vrrp_of").get(instance, ""),
                )
                for instance, name in (instances or {}).items()
            },
        )
    except (IndexError, KeyError, TypeError) as error:
        raise ValueError(f"vip-look printed something unexpected: {error!r}") from None


def accept(peer: Host, *, family: str, table: str, chain: str, direction: str) -> Command:
    """Insert a rule that accepts VRRP from ("saddr") or to ("daddr") ``peer``, before every other rule of that chain."""
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
    """Restart a service that runs but does not work: haproxy at once, keepalived if it has not recovered after five seconds."""
    return script("vip-restart", {"UNIT": unit}, timeout=90)


def note(state: str, name: str = "") -> Command:
    """Correct the recorded VRRP state, of the VIP ``name`` or ("") of the API's."""
    return script("vip-note", {"STATE": state, "FILE": f"{OTHER_STATES}/{name}.state" if name else STATE})


def drop_stray(vip: Address, device: str) -> Command:
    """Delete a VIP from ``device``."""
    return cmd("ip", "address", "delete", f"{vip}/{vip.max_prefixlen}", "dev", device)


def _parted(text: str) -> tuple[str, str, str]:
    return text.partition(" ")


def _grown(before: list[int] | None, after: list[int] | None) -> Counters | None:
    """Return the difference. When keepalived was restarted in between, its counters have started at 0 again."""
    if not after:
        return None
    base = before if before and all(new >= old for new, old in zip(after, before, strict=True)) else [0, 0, 0]
    return Counters(*(new - old for new, old in zip(after, base, strict=True)))


def _ruleset(encoded: str) -> tuple[dict[str, Any], ...]:
    text = b64decode(encoded).decode(errors="replace").strip()
    found = json.loads(text).get("nftables", []) if text else []
    return tuple(each for each in found if isinstance(each, dict))
