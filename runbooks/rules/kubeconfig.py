"""The certificates in the text of a kubeconfig. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from runbooks.commands import certs, kubeconfig
from runbooks.commands.certs import Certificate
from runbooks.commands.kubeconfig import Kubeconfig


def client(text: str, path: str) -> Certificate | None:
    """Return the first client certificate in the kubeconfig ``text``, None when there is no readable one."""
    return _first(_read(text).certificates, path)


def authority(text: str) -> str:
    """Return the fingerprint of the first CA in the kubeconfig ``text``, or ""."""
    found = _first(_read(text).authorities, "")
    return found.fingerprint if found else ""


def _read(text: str) -> Kubeconfig:
    try:
        return kubeconfig.parse(text)
    except ValueError:
        return Kubeconfig()


def _first(encoded: Sequence[str], path: str) -> Certificate | None:
    """Return the first of ``encoded`` (PEM in base64), None when there is none, or when it is not a certificate."""
    return certs.read(path, encoded[0]) if encoded else None
