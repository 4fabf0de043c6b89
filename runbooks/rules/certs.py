"""How long a certificate is still valid, in words and days. Pure."""

from __future__ import annotations

from runbooks.commands.certs import KUBELET_PKI, Certificate
from runbooks.text import DAY, counted


def days_left(certificate: Certificate, clock: int) -> int:
    """Return the whole days until a certificate expires; negative when it has expired. ``clock`` is in seconds since 1970."""
    return (certificate.ends - clock) // DAY


def ending(certificate: Certificate, clock: int) -> str:
    """Return when it expires, in words: "ends in 12 days" or "ended 3 days ago"."""
    days = days_left(certificate, clock)
    return f"ended {counted(-days, 'day')} ago" if days < 0 else f"ends in {counted(days, 'day')}"


def short(path: str) -> str:
    """Return a path without its well-known directory: pki/ca.crt, kubelet.crt, admin.conf."""
    return path.removeprefix("/etc/kubernetes/").removeprefix(f"{KUBELET_PKI}/")
