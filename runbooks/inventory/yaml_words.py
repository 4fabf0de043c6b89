"""How single values are written in a site file, so that every reader of YAML takes them for what they are. Pure."""

import re
from decimal import Decimal
from ipaddress import IPv4Network
from typing import Final

# Text that needs no quotes: names, paths, URLs, IPv6 addresses that begin with a letter. All else gets them.
PLAIN: Final = re.compile(r"(?!~\Z)[A-Za-z/~][A-Za-z0-9_./@~+-]*([:=]+[A-Za-z0-9_./@~+-]+)*")
WORDS: Final = frozenset({"y", "n", "yes", "no", "on", "off", "true", "false", "null", "nan", "inf"})
UNPRINTED: Final = ((0x100, "x", 2), (0x10000, "u", 4), (0x110000, "U", 8))


def word(value: object) -> str:
    r"""Return text, a number, true or false, or None as one word of YAML, in quotes where another reader may take it for another type.

    >>> [word(each) for each in ("lb1", "10.1.1.0/24", "1.30.0", "yes", 51, 0.5, True, None)]
    ['lb1', '10.1.1.0/24', '"1.30.0"', '"yes"', '51', '0.5', 'true', 'null']
    >>> print(word('a "b"\n'))
    "a \"b\"\n"
    """
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float):
        plain = format(Decimal(repr(value)), "f") if value - value == 0 else repr(value)
        return plain if "." in plain or not plain[-1:].isdigit() else f"{plain}.0"
    text = str(value)
    return text if (PLAIN.fullmatch(text) and text.lower() not in WORDS) or _ipv4(text) else _quoted(text)


def _ipv4(text: str) -> bool:
    """Whether ``text`` is an address or a network of IPv4, which no reader of YAML takes for a number."""
    try:
        return text.count(".") == 3 and bool(IPv4Network(text, strict=False))
    except ValueError:
        return False


def _quoted(text: str) -> str:
    return '"' + "".join(_letter(each) for each in text) + '"'


def _letter(letter: str) -> str:
    if letter in {'"', "\\"}:
        return f"\\{letter}"
    if letter == "\n":
        return "\\n"
    if letter.isprintable():
        return letter
    code = ord(letter)
    mark, digits = next((mark, digits) for below, mark, digits in UNPRINTED if code < below)
    return f"\\{mark}{code:0{digits}x}"
