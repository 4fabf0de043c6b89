"""A block of lines of ours in a file that belongs to somebody else. Pure. Everything else of the file stays byte for byte."""

from __future__ import annotations

from typing import Final

BEGIN: Final = "# ha-runbooks: begin (from hosts.yaml; changes between these lines are lost)"
JOINED: Final = "# ha-runbooks: begin (from hosts.yaml; changes between these lines are lost; the line before had no end)"
END: Final = "# ha-runbooks: end"
OFF: Final = "#ha-runbooks# "  # before a line that is switched off


class BlockError(ValueError):
    """The marks of the block do not fit together: somebody has edited them. The text says what to do."""


def _marks(lines: list[str]) -> tuple[int, int] | None:
    begins = [number for number, line in enumerate(lines) if line in {BEGIN, JOINED}]
    ends = [number for number, line in enumerate(lines) if line == END]
    if not begins and not ends:
        return None
    if len(begins) != 1 or len(ends) != 1 or begins[0] > ends[0]:
        raise BlockError(
            f'the lines "{BEGIN}" and "{END}" are not there once each, in this order: delete them, and what is of ours'
        )
    return begins[0], ends[0]


def without(text: str) -> str:
    """Return ``text`` as it was before `with_block`. Raises BlockError for marks that do not fit."""
    lines = text.split("\n")
    marks = _marks(lines)
    if not marks:
        return text
    begin, end = marks
    before, after = lines[:begin], lines[end + 1 :]
    if lines[begin] == JOINED and after == [""]:
        after = []
    return "\n".join([*before, *after])


def with_block(text: str, block: list[str], *, after: str = "") -> str:
    r"""Return ``text`` with the lines ``block`` as ours: at its end, or behind the first line that is ``after``.

    In place of an earlier block; without lines, none. Raises BlockError for marks that do not fit.

    >>> with_block("a\n", ["b"]).splitlines()[2]
    'b'
    """
    bare = without(text)
    if not block:
        return bare
    lines = bare.split("\n")
    place = next((number + 1 for number, line in enumerate(lines) if after and line.strip() == after), None)
    if place is not None and place < len(lines):
        return "\n".join([*lines[:place], BEGIN, *block, END, *lines[place:]])
    if lines[-1] == "":
        return "\n".join([*lines[:-1], BEGIN, *block, END, ""])
    return "\n".join([*lines, JOINED, *block, END, ""])


def has_block(text: str) -> bool:
    """Return whether a line of ours is in ``text``: a mark, or a line that was switched off."""
    return any(line in {BEGIN, JOINED, END} or line.startswith(OFF) for line in text.split("\n"))


def switched_on(text: str) -> str:
    """Return ``text`` with the lines that were switched off as they were."""
    return "\n".join(line.removeprefix(OFF) for line in text.split("\n"))
