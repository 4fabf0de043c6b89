"""firewalld on a host: what it lets in on one interface, and how to open more.

firewalld has two sets of rules: the runtime ones, in force now, and the permanent ones, in force after a restart. Each gets what it
lacks. Nothing is ever removed, and firewalld is never reloaded, because a reload drops rules that exist at runtime only.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import Any

from runbooks.commands.base import Answer, Command, Probe, script


@dataclass(frozen=True, slots=True)
class Openings:
    """What a zone lets in: ports such as ``6443/tcp``, ranges such as ``6000-6500/tcp``, and firewalld's rich rules."""

    ports: tuple[str, ...] = ()
    rules: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.ports or self.rules)

    def __str__(self) -> str:
        return ", ".join([*self.ports, *self.rules])


@dataclass(frozen=True, slots=True)
class Firewall:
    """A running firewalld: the zone of the interface, and what it lets in now (runtime) and after a restart (permanent)."""

    zone: str
    now: Openings
    kept: Openings


def look(interface: str = "", address: str = "") -> Probe[Firewall | None]:
    """Ask what firewalld lets in on ``interface``, or on the one that has ``address``; None when firewalld does not run."""
    return Probe(script("firewall-look", {"INTERFACE": interface, "ADDRESS": address}, timeout=20), parse)


def parse(answer: Answer) -> Firewall | None:
    r"""Read three lines: the zone, then its runtime and its permanent settings as JSON of D-Bus.

    >>> nothing, port = '{"data": [{}]}', '{"data": [{"ports": {"type": "a(ss)", "data": [["80", "tcp"]]}}]}'
    >>> parse(Answer(0, f"public\n{port}\n{nothing}\n"))
    Firewall(zone='public', now=Openings(ports=('80/tcp',), rules=()), kept=Openings(ports=(), rules=()))
    """
    lines = answer.stdout.splitlines()
    if not lines:
        return None
    if len(lines) != 3:
        raise ValueError("firewall-look did not print three lines")
    return Firewall(lines[0], _openings(lines[1]), _openings(lines[2]))


def allow(zone: str, now: Openings, kept: Openings) -> Command:
    """Add ``now`` to the zone's runtime rules and ``kept`` to its permanent ones."""
    variables = {
        "ZONE": zone,
        "NOW_PORTS": now.ports,
        "NOW_RULES": now.rules,
        "KEPT_PORTS": kept.ports,
        "KEPT_RULES": kept.rules,
    }
    parts = (("now and after a restart", now),) if now == kept else (("now", now), ("after a restart", kept))
    what = "; ".join(f"{when}: {openings}" for when, openings in parts if openings)
    return replace(script("firewall-allow", variables), shown=f"firewall-allow in zone {zone}, {what}")


def _openings(line: str) -> Openings:
    def value(settings: Any, key: str) -> list[Any]:
        return list(settings[key]["data"]) if key in settings else []

    try:
        (settings,) = json.loads(line)["data"]
        ports = tuple(f"{port}/{protocol}" for port, protocol in value(settings, "ports"))
        return Openings(ports, tuple(value(settings, "rules_str")))
    except (KeyError, TypeError) as error:
        raise ValueError(f"firewalld's settings have an unexpected form: {error!r}") from None
