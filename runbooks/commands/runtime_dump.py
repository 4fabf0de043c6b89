"""All that containerd makes of its configuration, without passwords."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from runbooks.commands.base import Answer, Probe, script


def look() -> Probe[Mapping[str, Any]]:
    """Read `containerd config dump`. The parser raises ValueError when that is no TOML."""
    return Probe(replace(script("containerd-config"), shown="containerd config dump"), parse)


def parse(answer: Answer) -> Mapping[str, Any]:
    """Parse the dump. Raises ValueError when it is no TOML, or empty."""
    found = tomllib.loads(answer.stdout)
    if not found:
        raise ValueError("containerd config dump says nothing")
    return found
