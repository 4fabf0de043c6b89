"""Commands as values: built and quoted here, run by `engine.ssh`.

A Command has both the program that is sent to the host and the line that is printed. The program is sent through the SSH
channel, never on a command line, so that a secret in it appears in no process list.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any, Generic, TypeVar

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)

HOST_SCRIPTS = Path(__file__).resolve().parents[2] / "scripts" / "host"
MASK = "***"
SLACK_S = 20  # parts that run at the same time slow each other down
TEMPORARY_FAILURE = 75  # EX_TEMPFAIL of sysexits.h: a host script says "try again"


class Secret(str):
    """Text that is sent to a host but never printed."""

    __slots__ = ()

    def __repr__(self) -> str:
        return MASK


@dataclass(frozen=True, slots=True)
class Answer:
    """The result of a command.

    exited          its exit status.
    sent, received  when its program was sent and its end was known, by this machine's clock, in seconds since 1970; 0 in a part of an answer.
    """

    exited: int
    stdout: str
    stderr: str = ""
    sent: float = field(default=0.0, compare=False)
    received: float = field(default=0.0, compare=False)


@dataclass(frozen=True, slots=True)
class Command:
    """A program for bash on a host (``-o pipefail``, ``LC_ALL=C``, ``umask 077``), and the line that is printed for it.

    ``timeout`` is in seconds and is enforced on the host. ``root`` runs it with sudo. An exit status that is not in ``expect`` is
    an error.
    """

    program: str
    shown: str
    timeout: float = 60
    root: bool = True
    expect: frozenset[int] = frozenset({0})

    def __str__(self) -> str:
        return self.shown

    def __repr__(self) -> str:  # the program may hold a secret
        return f"Command({self.shown!r})"

    def expecting(self, *exits: int) -> Command:
        """Return the same command, for which only the exit statuses ``exits`` are no error."""
        return replace(self, expect=frozenset(exits))


@dataclass(frozen=True, slots=True)
class Probe(Generic[T_co]):
    """A command that only reads, and the parser for its answer. ``parse`` raises ValueError on an answer that it does not know."""

    command: Command
    parse: Callable[[Answer], T_co]


@dataclass(frozen=True, slots=True)
class Batch(Probe[T_co]):
    """Several probes in one round trip.

    ``split`` takes the answer apart: one answer for each of ``parts``, in their order; it raises ValueError when some are missing.
    ``read`` makes the result of such answers, wherever they come from; it raises ValueError as ``parse`` does. ``loose``: they may be
    of different moments; otherwise the parts are compared with each other, and all of them are read at once.
    """

    loose: bool
    parts: tuple[Probe[Any], ...]
    split: Callable[[Answer], tuple[Answer, ...]]
    read: Callable[[Sequence[Answer]], T_co]


def cmd(*words: str, timeout: float = 60, root: bool = True) -> Command:
    """Return the Command for one program with its arguments, each quoted.

    >>> cmd("systemctl", "reload", "haproxy").program
    'systemctl reload haproxy'
    """
    return Command(shlex.join(words), shlex.join(_masked(word) for word in words), timeout, root)


def script(
    name: str,
    variables: Mapping[str, str | Iterable[str]] | None = None,
    *,
    timeout: float = 60,
    root: bool = True,
    after: Sequence[str] = (),
) -> Command:
    """Return the Command for ``scripts/host/NAME.sh`` with its variables: text, or a bash array of several words.

    ``after`` names the scripts that define functions which it uses.

    >>> script("lock", {"ACTION": "show"}).shown
    'lock ACTION=show'
    """
    given = {key: value if isinstance(value, str) else list(value) for key, value in (variables or {}).items()}
    lines = [_assignment(key, value) for key, value in given.items()]
    shown = " ".join([name, *(f"{key}={_brief(value)}" for key, value in given.items())])
    scripts = [_host_script(each) for each in (*after, name)]
    return Command("\n".join([*lines, *scripts]), shown, timeout, root)


def following(first: Command, then: Command) -> Command:
    r"""Return ``then``, with the program of ``first`` before its own: functions that it calls.

    >>> following(cmd("a"), cmd("b")).program, following(cmd("a"), cmd("b")).shown
    ('a\nb', 'b')
    """
    return replace(then, program=f"{first.program}\n{then.program}")


def between(command: Command, look: Command) -> Command:
    r"""Return ``command`` with the one line that ``look`` prints before and after its output. Its exit status stays.

    >>> between(cmd("a"), cmd("date")).program.splitlines()
    ['date', '(', 'a', ')', 'ended=$?', 'echo', 'date', 'exit $ended']
    """
    return replace(command, program=f"{look.program}\n(\n{command.program}\n)\nended=$?\necho\n{look.program}\nexit $ended")


def batch(*probes: Probe[Any], in_turn: bool = False) -> Batch[tuple[Any, ...]]:
    """Return one probe for several, in one round trip; its result has their results in the same order.

    All of them run at the same time, so that one which waits holds up none of the others; ``in_turn``: one after the other, for one that
    the others would disturb. When a command's exit status is not in its ``expect``, the parser raises ValueError with the line that failed.
    """
    return _batch(probes, lambda results: results, in_turn=in_turn)


def named_batch(probes: Mapping[str, Probe[Any]]) -> Batch[dict[str, Any]]:
    """As `batch`, with the results by the names of the probes, and loose: what is known of them already is not asked again."""
    return _batch(tuple(probes.values()), lambda results: dict(zip(probes, results, strict=True)), loose=True)


def optional(probe: Probe[T]) -> Probe[T | None]:
    """Return ``probe`` for a batch whose other parts must not be lost with it: its result is None when it fails."""

    def parse(answer: Answer) -> T | None:
        try:
            return probe.parse(answer) if answer.exited in probe.command.expect else None
        except ValueError:
            return None

    return Probe(probe.command.expecting(*range(256)), parse)


def _batch(
    probes: tuple[Probe[Any], ...], join: Callable[[tuple[Any, ...]], T], *, in_turn: bool = False, loose: bool = False
) -> Batch[T]:
    # Each part runs in its own subshell, so that its variables and failures do not affect the others. The output of a part ends with
    # a digest of all the programs: no program prints it by chance, and a batch inside a batch has another one.
    digest = sha256("".join(probe.command.program for probe in probes).encode()).hexdigest()[:24]
    names = [f"part_{number}_{digest}" for number in range(len(probes))]
    parts = [f"{name}() {{\n{probe.command.program}\n}}" for name, probe in zip(names, probes, strict=True)]
    runs = [f"( {name}; ); printf '\\n@@{digest} %s\\n' \"$?\"" for name in names]
    command = Command(
        "\n".join([*parts, *(runs if in_turn else [" ".join(["cat", *(f"<({each})" for each in runs)])])]),
        "; ".join(probe.command.shown for probe in probes),
        sum(probe.command.timeout for probe in probes) if in_turn else max(probe.command.timeout for probe in probes) + SLACK_S,
        any(probe.command.root for probe in probes),
    )
    framed = re.compile(rf"(.*?)\n@@{digest} (\d+)\n", re.DOTALL)

    def split(answer: Answer) -> tuple[Answer, ...]:
        answers = tuple(Answer(int(exited), said) for said, exited in framed.findall(answer.stdout))
        if len(answers) != len(probes):
            raise ValueError(f"{len(answers)} of {len(probes)} answers came back from `{command}`")
        return answers

    def read(answers: Sequence[Answer]) -> T:
        return join(tuple(_reading(probe, each) for probe, each in zip(probes, answers, strict=True)))

    return Batch(command, lambda answer: read(split(answer)), loose, probes, split, read)


def _reading(probe: Probe[Any], answer: Answer) -> object:
    if answer.exited not in probe.command.expect:
        raise ValueError(f"`{probe.command}` exited {answer.exited}")
    return probe.parse(answer)


def _masked(word: str) -> str:
    return MASK if isinstance(word, Secret) else word


def _assignment(key: str, value: str | list[str]) -> str:
    if isinstance(value, str):
        return f"{key}={shlex.quote(value)}"
    return f"{key}=({shlex.join(value)})"


def _brief(value: str | list[str], limit: int = 60) -> str:
    words = [value] if isinstance(value, str) else value
    text = " ".join(_masked(word) for word in words)
    return shlex.quote(text if len(text) <= limit else f"{text[:limit]}...")


@cache
def _host_script(name: str) -> str:
    return (HOST_SCRIPTS / f"{name}.sh").read_text()
