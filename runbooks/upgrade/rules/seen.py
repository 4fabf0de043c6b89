"""Moved to `runbooks.rules.upgrade_seen`, where other wings read it too; this name goes once nobody imports it."""

from runbooks.rules.upgrade_seen import (
    CONTROL_PLANE,
    SERVER,
    NodeSeen,
    Seen,
    Version,
    each,
    minors,
    newest,
    text,
    version_in,
)

__all__ = [
    "CONTROL_PLANE",
    "SERVER",
    "NodeSeen",
    "Seen",
    "Version",
    "each",
    "minors",
    "newest",
    "text",
    "version_in",
]
