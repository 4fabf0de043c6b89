"""Assumptions of the pages, for procedures that depend on what is found on the hosts."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

from runbooks.inventory.model import Host, Site

MADE: Final = datetime(2026, 1, 7, 2, 17, tzinfo=UTC)


def second(site: Site) -> Host:
    """Return the second control plane host, or the first when it is the only one."""
    return site.control_plane[1 % len(site.control_plane)]
