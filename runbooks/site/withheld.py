"""What of the values for a site file is not written, since whoever may read the file would read a password or a token. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from runbooks.commands.credentials import reason
from runbooks.inventory.written import Noted
from runbooks.text import listed

GUESS: Final = "guessed:"
WAY_OUT: Final = (
    "give it by a file (such as the program's own --...-file flag), or let the other side know these hosts by their addresses; "
    "or write it there yourself, with chmod 600 and outside git"
)


def without(tree: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, str]]:
    """Return the values of a site file (see `inventory.written`) without those that have a secret, and why each was left out, by its key.

    Where one was, the group has a comment that says so; a group that had nothing else is left out with it. The secret is neither there nor
    in the reason.
    """
    left: dict[str, str] = {}
    found, _ = _group(tree, "", left)
    return found, left


def _without(given: Any, key: str, left: dict[str, str]) -> tuple[Any, list[str]]:
    """Return a value without its secrets, and what was left out where nothing else is left."""
    value, comment = (given.value, given.comment) if isinstance(given, Noted) else (given, "")
    kept: Any
    if isinstance(value, Mapping):
        kept, found = _group(value, key, left)
    elif isinstance(value, list | tuple):
        kept, found = _list(value, key, left)
    else:
        return given, []
    if found and not kept:
        return None, found
    notes = [*([comment] if comment else []), *([_comment(found)] if found else [])]
    return (Noted(kept, "; ".join(notes)) if notes else kept), []


def _comment(found: Sequence[str]) -> str:
    return f"{GUESS} left out, as others may read this file: {listed(found)}"


def _group(value: Mapping[str, Any], key: str, left: dict[str, str]) -> tuple[dict[str, Any], list[str]]:
    kept: dict[str, Any] = {}
    found: list[str] = []
    for name, each in value.items():
        inner = f"{key}.{name}" if key else str(name)
        if why := _why(str(name), each):
            left[inner] = why
            found.append(f"{name} has {why}")
            continue
        one, lost = _without(each, inner, left)
        if lost and not key:  # a group at the top has room for the comment
            kept[name] = Noted({}, _comment(lost))
            continue
        found += [f"{name}.{text}" for text in lost]
        kept |= {} if lost else {name: one}
    return kept, found


def _list(value: Sequence[Any], key: str, left: dict[str, str]) -> tuple[list[Any], list[str]]:
    kept: list[Any] = []
    found: list[str] = []
    for number, each in enumerate(value):
        inner = f"{key}[{_name(each, number)}]"
        if why := _why("", each):
            left[inner] = why
            found.append(f"entry {number + 1} has {why}")
            continue
        one, lost = _without(each, inner, left)
        found += lost
        kept += [] if lost else [one]
    return kept, found


def _why(name: str, given: Any) -> str:
    value = given.value if isinstance(given, Noted) else given
    return reason(name, value) if isinstance(value, str) else ""


def _name(given: Any, number: int) -> str:
    value = given.value if isinstance(given, Noted) else given
    name = value.get("name", number) if isinstance(value, Mapping) else number
    return str(name.value if isinstance(name, Noted) else name)
