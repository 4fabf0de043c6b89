"""What a single preflight check returns: a finding whose topic and host `preflight.judge` fills in. Pure."""

from __future__ import annotations

from runbooks.rules.finding import Finding


def good(seen: str) -> Finding:
    """Nothing to do."""
    return Finding("ok", seen=seen)


def warn(seen: str, fix: str) -> Finding:
    """Unwise, or not to be told; it stops nothing."""
    return Finding("warn", seen=seen, fix=fix)


def fail(seen: str, fix: str) -> Finding:
    """Kubernetes would not come up, or not stay up, here."""
    return Finding("fail", seen=seen, fix=fix)
