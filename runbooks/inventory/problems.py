"""Problems of a site file: one line for each, with its place; all of them in one error."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from runbooks.errors import InventoryError
from runbooks.text import first_few

Severity = Literal["error", "warning"]
MOST_SHOWN = 100


@dataclass(frozen=True, slots=True)
class Finding:
    """Something wrong with the value at ``key``, such as ``hosts[3].address``; "" is the whole file."""

    key: str
    message: str
    severity: Severity = "error"


@dataclass(frozen=True, slots=True)
class Problem:
    """A finding with its place. ``str()`` is the line that the operator reads; ``line`` 0 means the whole file."""

    file: str
    line: int
    key: str
    message: str
    severity: Severity = "error"

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}" if self.line else self.file
        return f"{place}: {self.key}: {self.message}" if self.key else f"{place}: {self.message}"


class SiteError(InventoryError):
    """The site file cannot be used; ``problems`` holds every reason, in the order of their lines."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(first_few([str(problem) for problem in self.problems], MOST_SHOWN)))


def by_line(problems: Iterable[Problem]) -> tuple[Problem, ...]:
    """Return ``problems`` without duplicates, in the order of their lines."""
    return tuple(sorted(set(problems), key=lambda problem: (problem.line, problem.key, problem.message)))


def quoted(text: str) -> str:
    """Return ``text`` for an error message: at most 60 characters, without control characters.

    For example, ``10.1.1.300`` stays as it is; a text with a line break or an escape sequence is shown like a Python string.
    """
    short = text if len(text) <= 60 else text[:57] + "..."
    return short if short and short.isprintable() and short == short.strip() else repr(short)


def shown(path: Path) -> str:
    """Return ``path`` relative to the working directory where possible, so that a terminal can open ``hosts.yaml:12``."""
    absolute = path.absolute()
    try:
        near = absolute.relative_to(Path.cwd())
    except (ValueError, OSError):  # not below it, or the working directory no longer exists
        near = absolute
    return quoted(str(near)) if not str(near).isprintable() else str(near)
