"""The runbooks' own commands, carried out on the twin: the same code in a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final

from lab.names import Instance
from lab.process import DIES
from runbooks.errors import OutcomeError
from runbooks.text import indented

ROOT: Final = Path(__file__).resolve().parents[1]
OF_THE_SITE: Final = {
    "RUNBOOKS_SITE",
    "RUNBOOKS_LAB",
    "RUNBOOKS_VRRP_AUTH_PASS",
}  # others may hold a registry's password: password_env
TAIL: Final = 25  # lines of a command that failed
STOP: Final = b"stop\n"


@dataclass(frozen=True, slots=True)
class Ended:
    """How a command ended: its exit status, and the last lines that it printed."""

    exited: int
    said: str = ""


def environ(instance: Instance) -> Mapping[str, str]:
    """Return the environment of a command that acts on the twin, whatever site the operator's own shell names."""
    mine = {key: value for key, value in os.environ.items() if key not in OF_THE_SITE}
    return mine | {"RUNBOOKS_SITE": str(instance.site), "RUNBOOKS_LAB": instance.name}


def inv(instance: Instance, *words: str, shown: bool = False) -> Ended:
    """Run ``inv WORDS`` on the twin. It dies with this process. ``shown``: what it prints goes to the terminal, too."""
    last: deque[str] = deque(maxlen=TAIL)
    process = subprocess.Popen(
        [*DIES, sys.executable, "-m", "invoke", *words],
        cwd=ROOT,
        env=environ(instance),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    assert process.stdout  # noqa: S101 - for the type checker
    for line in process.stdout:
        last.append(line.decode(errors="replace").rstrip("\n"))
        if shown:
            print(last[-1], flush=True)
    return Ended(status(process.wait()), "\n".join(last))


def status(code: int) -> int:
    """Return the exit status as a shell has it, for a program that a signal has ended too.

    >>> status(3), status(-9)
    (3, 137)
    """
    return code if code >= 0 else 128 - code


def must(instance: Instance, *words: str, good: Sequence[int] = (0,)) -> None:
    """Run ``inv WORDS`` on the twin. Raises OutcomeError, with its last lines, unless it ends with one of ``good``."""
    ended = inv(instance, *words)
    if ended.exited not in good:
        raise OutcomeError(
            f"the twin cannot be built: inv {words[0]} ended with {ended.exited} there:{indented(ended.said.splitlines())}",
            hint="--keep leaves the twin for a look",
        )


@contextmanager
def clients(instance: Instance, result: Path) -> Iterator[str]:
    """Measure while the block runs what clients of the twin's VIP see; ``result`` is the file for it. Yields why not, or ""."""
    process = subprocess.Popen(
        [*DIES, sys.executable, "-m", "rehearse.clients", str(result)],
        cwd=ROOT,
        env=environ(instance),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    said = _line(process.stdout)
    try:
        yield "" if said == "ready" else said or "the measuring process did not begin"
    finally:
        if process.stdin and process.poll() is None:
            process.stdin.write(STOP)
            process.stdin.close()
        process.wait()


def _line(stream: IO[bytes] | None) -> str:
    return stream.readline().decode(errors="replace").strip() if stream else ""
