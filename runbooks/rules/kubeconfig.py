"""The certificates in the text of a kubeconfig. Pure."""

from __future__ import annotations

from base64 import b64decode
from collections.abc import Sequence

from runbooks.commands import kubeconfig
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
    if not encoded:
        return None
    from cryptography import x509  # noqa: PLC0415 - start-up time
    from cryptography.hazmat.primitives.hashes import SHA256  # noqa: PLC0415

    try:
        found = x509.load_pem_x509_certificate(b64decode(encoded[0]))
    except (ValueError, x509.InvalidVersion):
        return None
    starts, ends = (int(each.timestamp()) for each in (found.not_valid_before_utc, found.not_valid_after_utc))
    return Certificate(path=path, ends=ends, fingerprint=found.fingerprint(SHA256()).hex(":").upper(), starts=starts)
