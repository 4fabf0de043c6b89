"""What a plain scalar (one without quotes) means to the programs of Kubernetes: sigs.k8s.io/yaml reads them as YAML 1.1 has them. Pure.

https://yaml.org/type/ ; without its base 60, which that reader leaves out.
"""

from __future__ import annotations

import math
import re
from typing import Final

_WORDS: Final = {"true": ("y", "yes", "true", "on"), "false": ("n", "no", "false", "off"), "null": ("null",)}
WORDS: Final = {
    spelled: meaning for meaning, words in _WORDS.items() for word in words for spelled in (word, word.capitalize(), word.upper())
} | {"~": "null", "": "null"}
INTEGER: Final = re.compile(r"([-+]?)(?:0[xX]([0-9a-fA-F]+)|0[bB]([01]+)|0[oO]?([0-7]+)|(0|[1-9][0-9]*))")
FLOAT: Final = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?")
BASES: Final = (16, 2, 8, 10)
MOST_DIGITS: Final = 80  # no number of Kubernetes has more; Python itself refuses thousands
EXPONENT_FROM: Final = 1e21  # Go writes larger numbers of JSON with an exponent


def canonical(plain: str) -> str:
    """Return the text of a plain scalar as JSON writes the same value; a string stays as it is.

    >>> [canonical(text) for text in ("yes", "Off", "~", "0x32", "050", "1_000", "0.50", "1m0s")]
    ['true', 'false', 'null', '50', '40', '1000', '0.5', '1m0s']
    """
    if plain in WORDS:
        return WORDS[plain]
    number = plain.replace("_", "") if plain[0] in "+-0123456789" else plain
    if len(number) > MOST_DIGITS:
        return plain
    if found := INTEGER.fullmatch(number):
        digits, base = next((digits, base) for digits, base in zip(found.groups()[1:], BASES, strict=True) if digits)
        return str(int(f"{found[1]}{digits}", base))
    if FLOAT.fullmatch(number) and math.isfinite(value := float(number)):
        return str(int(value)) if value.is_integer() and abs(value) < EXPONENT_FROM else repr(value)
    return plain
