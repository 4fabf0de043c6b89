"""The certificates in the text of a kubeconfig, read without any program's help. Pure."""

from __future__ import annotations

import re
from base64 import b64decode
from datetime import UTC, datetime
from hashlib import sha256

from runbooks.commands.certs import Certificate

SEQUENCE, UTC_TIME, GENERAL_TIME, VERSION = 0x30, 0x17, 0x18, 0xA0  # tags of DER


def client(text: str, path: str) -> Certificate | None:
    """Return the client certificate in the kubeconfig ``text``, None when there is none that can be read."""
    return _certificate(text, "client-certificate-data", path)


def authority(text: str) -> str:
    """Return the fingerprint of the CA in the kubeconfig ``text``, or ""."""
    found = _certificate(text, "certificate-authority-data", "")
    return found.fingerprint if found else ""


def _certificate(text: str, key: str, path: str) -> Certificate | None:
    found = re.search(rf"(?m)^[ -]*{key}: *[\"']?([A-Za-z0-9+/=]+)[\"']?\s*$", text)
    try:
        pem = b64decode(found[1]).decode("ascii") if found else ""
        body = re.search(r"-----BEGIN CERTIFICATE-----([A-Za-z0-9+/=\s]+)-----END CERTIFICATE-----", pem)
        der = b64decode(body[1]) if body else b""
        starts, ends = validity(der)
    except ValueError:
        return None
    digest = sha256(der).hexdigest().upper()
    return Certificate(path, ends, ":".join(digest[at : at + 2] for at in range(0, 64, 2)), starts)


def validity(der: bytes) -> tuple[int, int]:
    """Return from when until when an X.509 certificate (DER) is valid, in seconds since 1970. Raises ValueError on anything else.

    RFC 5280, 4.1: the certificate holds a sequence of version (may be left out), serial number, signature, issuer, validity.
    """
    _, whole = _part(der, 0)
    _, inner = _part(whole[0], 0)
    body, at = inner[0], 0
    tag, (_, after) = _part(body, at)
    at = after if tag == VERSION else 0
    for _ in range(3):
        _, (_, at) = _part(body, at)
    tag, (times, _) = _part(body, at)
    if tag != SEQUENCE:
        raise ValueError("there is no validity in this certificate")
    first, (starts, after) = _part(times, 0)
    second, (ends, _) = _part(times, after)
    return _moment(first, starts), _moment(second, ends)


def _part(data: bytes, at: int) -> tuple[int, tuple[bytes, int]]:
    """Return the tag of the element at ``at``, its content, and where the next one begins."""
    try:
        tag, size, start = data[at], data[at + 1], at + 2
        if size > 0x80:
            size, start = int.from_bytes(data[start : start + size - 0x80], "big"), start + size - 0x80
    except IndexError:
        raise ValueError("this certificate ends too early") from None
    if start + size > len(data):
        raise ValueError("this certificate ends too early")
    return tag, (data[start : start + size], start + size)


def _moment(tag: int, text: bytes) -> int:
    if tag not in {UTC_TIME, GENERAL_TIME}:
        raise ValueError("there is no date in this certificate")
    written = text.decode("ascii")
    if tag == UTC_TIME:  # RFC 5280: two digits of the year, from 50 on those of the last century
        written = ("19" if written[:2] >= "50" else "20") + written
    return int(datetime.strptime(written, "%Y%m%d%H%M%SZ").replace(tzinfo=UTC).timestamp())
