"""Findings of single preflight checks; `preflight.judge` adds topic and host. Pure."""

from __future__ import annotations

from runbooks.rules.finding import Finding


def good(seen: str) -> Finding:
    """Return the finding of a check that passed."""
    return Finding("ok", seen=seen)


def warn(seen: str, fix: str) -> Finding:
    """Return a warning: unwise, or it could not be checked. It does not stop an installation."""
    return Finding("warn", seen=seen, fix=fix)


def fail(seen: str, fix: str) -> Finding:
    """Return a failure: Kubernetes would not start here, or not keep running."""
    return Finding("fail", seen=seen, fix=fix)
