"""All that containerd makes of its configuration, without passwords."""

from __future__ import annotations

import tomllib
from base64 import b64decode
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

from runbooks.commands.base import Answer, Probe, script

Dump = Mapping[str, Any]
MARK: Final = "@@ default\n"


@dataclass(frozen=True, slots=True)
class Both:
    """What is in force (``dump``), and what that containerd would do without a file (``default``)."""

    dump: Dump = field(default_factory=dict)
    default: Dump = field(default_factory=dict)


def look() -> Probe[Dump]:
    """Read `containerd config dump`. The parser raises ValueError when that is no TOML."""
    command = script("containerd-config", {"DEFAULT": "no"}, after=("containerd-own",))
    return Probe(replace(command, shown="containerd config dump"), parse)


def look_both() -> Probe[Both]:
    """Read `containerd config dump` and `containerd config default`. The parser raises ValueError when one is no TOML."""
    command = script("containerd-config", {"DEFAULT": "yes"}, timeout=30, after=("containerd-own",))
    return Probe(replace(command, shown="containerd config dump; containerd config default"), parse_both)


def parse(answer: Answer) -> Dump:
    """Parse the dump. Raises ValueError when it is no TOML, or empty."""
    return _said(answer.stdout)


def parse_both(answer: Answer) -> Both:
    """Parse both. Raises ValueError when one is no TOML, or empty."""
    dump, _, default = answer.stdout.partition(MARK)
    return Both(_said(dump), _said(default))


def parse_tried(answer: Answer) -> Dump:
    """Parse the dump of a containerd that was only tried: the line "all TEXT" (in base64) of runtime-new.sh; empty without it."""
    texts = [line.removeprefix("all ") for line in answer.stdout.splitlines() if line.startswith("all ")]
    return _said(b64decode(texts[0]).decode()) if texts else {}


def imports(dump: Dump) -> list[str]:
    """Return the files that containerd has read, as its dump names them; 2.x names patterns, too."""
    found = dump.get("imports", [])
    return [str(each) for each in found] if isinstance(found, list) else []


def _said(text: str) -> Dump:
    found = tomllib.loads(text)
    if not found:
        raise ValueError("containerd config dump says nothing")
    return found
