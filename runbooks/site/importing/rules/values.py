"""Values of other tools' files: text, lists and mappings, or Unknown where a value only exists when that tool runs. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Final

from runbooks.commands import credentials

VAULT: Final = "$ANSIBLE_VAULT"
TRUE: Final = frozenset({"true", "yes", "on", "1"})
NUMBER: Final = re.compile(r"[0-9]{1,9}")
NONE: Final = frozenset({"", "~", "null", "none"})


@dataclass(frozen=True, slots=True)
class Unknown:
    """A value that is not evaluated. ``why`` is said to the operator, the value itself is not."""

    why: str


class FormatError(ValueError):
    """The file is not what it seems to be; ``line`` 0 means the whole file. The text has none of its values: there may be passwords."""

    def __init__(self, message: str, line: int = 0) -> None:
        super().__init__(message)
        self.line = line


def known(value: object) -> object | None:
    """Return ``value``, None where it is empty or missing, Unknown where it is encrypted, a template, an environment variable or has a password.

    >>> [known(each) for each in ("ops", "~", "{{ user }}")]
    ['ops', None, Unknown(why='a template')]
    """
    if not isinstance(value, str):
        return value
    text = value.strip()
    if text.lower() in NONE:
        return None
    if text.startswith(VAULT):
        return Unknown("encrypted with ansible-vault")
    if "{{" in text or "{%" in text:
        return Unknown("a template")
    if credentials.reason("", text):
        return Unknown("a text with a password in it")
    return Unknown("an environment variable") if re.search(r"\$(\{|[A-Za-z_])", text) else text


def number(value: object) -> object | None:
    """Return the number that a text of digits is, anything else as it is: then it is no number, and `inv site.check` says so.

    >>> number("6443"), number("x"), number(None)
    (6443, 'x', None)
    """
    return int(value) if isinstance(value, str) and NUMBER.fullmatch(value) else value


def inside(value: object, *keys: str) -> object | None:
    """Return what is at ``keys`` in nested mappings, as `known`; None where a key is missing."""
    for key in keys:
        if not isinstance(value, Mapping):
            return None
        value = value.get(key)
    return known(value)


def is_true(value: object) -> bool:
    """Whether ``value`` is one of the words for true."""
    return isinstance(value, str) and value.lower() in TRUE


def is_address(text: object) -> bool:
    """Whether ``text`` is an IP address."""
    try:
        ip_address(str(text))
    except ValueError:
        return False
    return True
