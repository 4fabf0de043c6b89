"""How many differences there are, for node_exporter's textfile collector: ``monitoring.differences`` in hosts.yaml."""

from __future__ import annotations

import sys
import time
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from runbooks.day2.rules.difference import TOPICS, Difference, Unread
from runbooks.errors import RunbookError
from runbooks.local import files
from runbooks.rules.metrics import Family, render

if TYPE_CHECKING:
    from runbooks.engine.session import Session

PREFIX: Final = "ha_runbooks_site_"
READABLE: Final = 0o644  # node_exporter runs as another user; there are only numbers in it


def tell(session: Session, found: Sequence[Difference], unread: Sequence[Unread]) -> None:
    """Write the file, when hosts.yaml names one. A failure is only a warning: the differences themselves are printed."""
    path = session.site.monitoring and session.site.monitoring.differences
    if not path:
        return
    try:
        files.replace(path, render(families(found, unread, time.time()), session.site.name).encode(), mode=READABLE)
    except RunbookError as error:
        print(f"warning: monitoring.differences was not updated: {error}", file=sys.stderr)


def families(found: Sequence[Difference], unread: Sequence[Unread], now_s: float) -> list[Family]:
    """Return the metrics: differences and what could not be compared, by topic, and when that was (seconds since 1970)."""
    counts, left = Counter(each.topic for each in found), Counter(each.topic for each in unread)
    return [
        Family(
            f"{PREFIX}differences",
            "Differences between hosts.yaml and what is in force, by topic.",
            {(("topic", topic),): float(counts[topic]) for topic in TOPICS},
        ),
        Family(
            f"{PREFIX}not_compared",
            "What cluster.diff could not read, by topic: nobody knows whether it differs.",
            {(("topic", topic),): float(left[topic]) for topic in TOPICS},
        ),
        Family(f"{PREFIX}compared_timestamp_seconds", "When cluster.diff was last run to its end.", {(): now_s}),
    ]
