"""The note on a host that a command works on: with it, an interrupted run goes on. One file of JSON, written whole or not at all."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, TypeVar

from runbooks.commands.base import Answer, Command, Probe, cmd, script

T = TypeVar("T")


def write(path: str, note: Mapping[str, Any], says: str) -> Command:
    """Write ``note`` to ``path``. ``says``: what it says, in words, for the log."""
    command = script("work-note", {"ACTION": "write", "NOTE": path, "CONTENT": json.dumps(note)})
    return replace(command, shown=f"note in {path}: {says}")


def read(path: str, parse: Callable[[Answer], T]) -> Probe[T]:
    """Read the note at ``path``; its text is empty when there is none."""
    return Probe(replace(script("work-note", {"ACTION": "read", "NOTE": path}), shown=f"cat {path}"), parse)


def parsed(text: str, path: str, make: Callable[[Any], T]) -> T:
    """Return what ``make`` makes of the text of a note. Raises ValueError when it is none of ours.

    >>> parsed('{"a": 1}', "/note.json", lambda said: said["a"])
    1
    """
    try:
        return make(json.loads(text))
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{path} cannot be read: {error}") from None


def forget(path: str) -> Command:
    """Take the note away."""
    return cmd("rm", "-f", "--", path)
