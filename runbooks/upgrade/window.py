"""The time until which an upgrade may begin with another node."""

from __future__ import annotations

from datetime import datetime

from runbooks.errors import DegradedError
from runbooks.inventory.model import Host
from runbooks.upgrade.context import Upgrade


def may_begin(upgrade: Upgrade, host: Host) -> None:
    """Raise DegradedError when the time of --until is over: no other node is begun. A node that was begun is always finished."""
    until = upgrade.choices.until
    if until and host not in upgrade.begun and datetime.now(until.tzinfo) >= until:
        raise DegradedError(
            f"{host} is not begun: it is {datetime.now(until.tzinfo):%H:%M}, and --until was {until:%H:%M}",
            hint=f"inv upgrade.run --to {upgrade.version} goes on with it",
        )
    upgrade.begun.add(host)
