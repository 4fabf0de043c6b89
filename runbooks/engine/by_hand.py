"""Manual instructions for a step, as a value. The text is in templates/by_hand; only pages render it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class ByHand:
    """The macro ``section`` of ``templates/by_hand/WING.md.j2``, and the arguments that it is called with."""

    wing: str
    section: str
    values: Mapping[str, Any]


def by_hand(wing: str, section: str, **values: Any) -> ByHand:
    """Return a reference to ``section`` of a wing's template, with its ``values``: hosts, paths, commands; no prose.

    >>> by_hand("lb", "run_service", unit="haproxy")
    ByHand(wing='lb', section='run_service', values={'unit': 'haproxy'})
    """
    return ByHand(wing, section, values)
