"""Files of secrets on this machine: read only when they are private, and never shown."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from runbooks.errors import InventoryError
from runbooks.local import files

VARIABLE: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
SHORTEST_SECRET: Final = 4  # shorter values would be found in every text


def private_text(path: Path, key: str) -> str:
    """Return the content of a file of secrets. Raises InventoryError, naming ``key``, when it cannot be read or others may read it."""
    try:
        open_to_others = files.open_to_others(path)
        content = path.read_text()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", "") or "it is no text"
        raise InventoryError(f"{key}: {path} cannot be read: {reason}", hint="create that file, mode 0600") from None
    if open_to_others:
        raise InventoryError(f"{key}: others may read {path}, and it holds secrets", hint=f"chmod 600 {path}")
    return content


def parse_environment(text: str, where: str) -> dict[str, str]:
    """Parse lines KEY=VALUE; a value may be in quotes. Raises InventoryError that names the line, never its value."""
    found = {}
    for number, line in enumerate(text.splitlines(), start=1):
        name, equals, value = line.strip().partition("=")
        if not name or name.startswith("#"):
            continue
        if not equals or not VARIABLE.fullmatch(name):
            raise InventoryError(
                f"{where}, line {number}: this is not KEY=VALUE", hint="one KEY=VALUE per line; # begins a comment"
            )
        if len(value) > 1 and value[0] == value[-1] and value[0] in "'\"":
            value = value[1:-1]
        found[name] = value
    return found


def masked(text: str, secrets: Iterable[str]) -> str:
    """Return ``text`` with each of ``secrets`` replaced by ***."""
    for secret in sorted((each for each in secrets if len(each) >= SHORTEST_SECRET), key=len, reverse=True):
        text = text.replace(secret, "***")
    return text
