"""Moved to `runbooks.rules.upgrade_skew`, where other wings read it too; this name goes once nobody imports it."""

from runbooks.rules.upgrade_skew import (
    NODE_PARTS,
    NODE_SINCE,
    OLDER_BEFORE,
    POLICY,
    PROXY_OF_KUBELET,
    SERVER_SINCE,
    SERVERS_APART,
    TOPIC,
    Skew,
    now,
    older_allowed,
    why_not,
    with_target,
)

__all__ = [
    "NODE_PARTS",
    "NODE_SINCE",
    "OLDER_BEFORE",
    "POLICY",
    "PROXY_OF_KUBELET",
    "SERVERS_APART",
    "SERVER_SINCE",
    "TOPIC",
    "Skew",
    "now",
    "older_allowed",
    "why_not",
    "with_target",
]
