"""Passwords and tokens that stand in somebody's setting: in the URL of a value, or as the value of a flag that is named after one.

Rather one too many than one too few: what looks like one is neither written into a file that others may read, nor printed.
"""

from __future__ import annotations

import re
from itertools import pairwise
from typing import Final

from runbooks.commands.base import MASK

LOGIN: Final = "a login in it"
SECRET: Final = "a password or token in it"  # noqa: S105 - no password
# https://www.rfc-editor.org/rfc/rfc3986#section-3.2.1; up to the last @, since people write passwords with a / as they are.
# A login name alone, as ssh has it, is no secret; with any other scheme it may be a token.
_URL: Final = re.compile(r"(?<![A-Za-z0-9+.-])(?!(?:ssh|sftp)://[^\s:/@]+@)(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*://)\S*@")
# The same without a scheme, as proxies are often written. The digest of an image (name:tag@sha256:...) is none.
_BARE: Final = re.compile(r"(?:^|(?<=[\s,;=\"']))[^\s:/@,;=\"']+:(?!//)[^\s@,\"']+@(?!sha\d+:)")
_TEXTS: Final = re.compile(
    r"-----BEGIN [A-Z ]*PRIVATE KEY|\b(?:Bearer|Basic)\s+[\w+/=.~-]{6,}|\beyJ[\w-]{8,}\.[\w-]{8,}\.[\w-]*",  # the last: a JWT
)
_WORDS: Final = frozenset({
    "password", "passwd", "passphrase", "pwd", "pass", "secret", "token", "apikey", "credential", "credentials", "bearer", "psk",
})  # fmt: skip
_PAIRS: Final = frozenset(
    {("api", "key"), ("access", "key"), ("private", "key"), ("encryption", "key"), ("auth", "key"), ("auth", "header")}
)
# What a name ends with that is about a secret, and has none: --token-auth-file, --authentication-token-webhook-cache-ttl.
_ABOUT: Final = frozenset({
    "file", "files", "path", "dir", "directory", "ttl", "url", "uri", "config", "kubeconfig", "version", "name", "id", "issuer", "audience",
    "audiences", "mode", "type", "plugin", "syncs", "period", "interval", "expiration", "duration", "timeout", "size", "count", "enabled",
    "format", "env", "age", "provider", "authentication",
})  # fmt: skip
# True, a number, a duration, a path; and what etcd has for --auth-token: https://etcd.io/docs/v3.5/op-guide/configuration/#auth
_HARMLESS: Final = re.compile(
    r"(?i)(?:true|false|yes|no|none|simple|jwt,\S*|/\S*|-?\d{1,9}|(?:\d{1,9}(?:\.\d+)?(?:ns|us|ms|s|m|h))+)?"
)


def reason(name: str, value: str) -> str:
    """Return what kind of secret ``value``, the value of a setting ``name``, seems to have in it; "" where it has none.

    >>> reason("https", "http://jo:geheim@proxy:3128"), reason("webhook-token", "abc"), reason("token-auth-file", "/etc/tokens")
    ('a login in it', 'a password or token in it', '')
    >>> reason("feature-gates", "BoundServiceAccountToken=true"), reason("args", "a=1,password=x")
    ('', 'a password or token in it')
    """
    if _URL.search(value) or _BARE.search(value):
        return LOGIN
    if _TEXTS.search(value) or (_is_named(name) and not _HARMLESS.fullmatch(value.strip())):
        return SECRET
    inside = [part.partition("=") for part in re.split(r"[\s,;?&]+", value)]
    if any(_is_named(key) and not _HARMLESS.fullmatch(each.strip("\"'")) for key, equals, each in inside if equals):
        return SECRET
    return ""


def shown(name: str, value: str | None) -> str | None:
    """Return the value of a setting as it may be printed.

    >>> shown("webhook-token", "abc"), shown("v", "2"), shown("v", None)
    ('***', '2', None)
    """
    return MASK if value and reason(name, value) else value


def hidden(text: str) -> str:
    """Return ``text`` without the logins in its URLs.

    >>> hidden("https://jo:geheim@etcd:2379, http://b:1")
    'https://***@etcd:2379, http://b:1'
    """
    return _URL.sub(r"\g<scheme>***@", text)


def _is_named(name: str) -> bool:
    """Whether a setting of that name has a password or a token as its value."""
    words = [each.lower() for each in re.findall(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])", name)]
    if not words or words[-1] in _ABOUT:
        return False
    return bool(_WORDS.intersection(words) or _PAIRS.intersection(pairwise(words)))
