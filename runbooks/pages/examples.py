"""What pages take for seen, where a procedure depends on what is found on hosts."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

from runbooks.inventory.model import Host, Site

MADE: Final = datetime(2026, 1, 7, 2, 17, tzinfo=UTC)


def second(site: Site) -> Host:
    """A control plane host that is not the first, where there is one."""
    return site.control_plane[1 % len(site.control_plane)]
