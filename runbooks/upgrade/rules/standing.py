"""Moved to `runbooks.rules.upgrade_standing`, where other wings read it too; this name goes once nobody imports it."""

from runbooks.rules.upgrade_standing import (
    TOPIC,
    Standing,
    State,
    findings,
    standing,
)

__all__ = [
    "TOPIC",
    "Standing",
    "State",
    "findings",
    "standing",
]
