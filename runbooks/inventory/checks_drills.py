"""Checks of the section ``drills``: objectives that a drill can decide. Pure."""

from collections.abc import Iterator
from typing import Final

from runbooks.inventory.draft import Draft
from runbooks.inventory.problems import Finding

Findings = Iterator[Finding]
KEY: Final = "drills"


def alerts_can_be_seen(draft: Draft) -> Findings:
    """Whether an alert fires is asked of Prometheus: without its address every drill would end with "could not tell"."""
    if draft.number(f"{KEY}.alert_s") is not None and draft.values.get("monitoring.prometheus") is None:
        yield Finding(f"{KEY}.alert_s", "needs monitoring.prometheus, the address of Prometheus: write that, or delete alert_s")


def faults_last_longer_than_outages(draft: Draft) -> Findings:
    """An outage that is allowed to last as long as the fault would hold when nothing fails over at all."""
    outage, hold = draft.number(f"{KEY}.outage_ms"), draft.number(f"{KEY}.hold_s")
    if outage is not None and hold is not None and outage >= hold * 1000:
        yield Finding(
            f"{KEY}.outage_ms",
            f"{outage} ms is as long as the fault itself ({KEY}.hold_s: {hold} s), so nothing would have to fail over: write less",
        )


CHECKS: Final = (alerts_can_be_seen, faults_last_longer_than_outages)
