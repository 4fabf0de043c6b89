"""Runs programs on the operator's machine (age, restic, etcdutl, crontab), never through a shell."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from types import FrameType
from typing import IO, Final

from runbooks.errors import CommandError, PrecheckError
from runbooks.text import indented

POLL_S = 0.2
TAIL_LINES = 5
LIFELINE: Final = (  # prctl(PR_SET_PDEATHSIG, SIGKILL), then exec, unless the parent has ended already
    "import ctypes, os, sys\n"
    "ctypes.CDLL(None).prctl(1, 9)\n"
    "os.getppid() == int(sys.argv[1]) and os.execv(sys.argv[2], sys.argv[2:])"
)


def _never() -> bool:
    return False


@dataclass(frozen=True, slots=True)
class Finished:
    """The exit status of a program, and what it printed."""

    exited: int
    stdout: str
    stderr: str


def find(name: str, *, why: str, package: str = "") -> str:
    """Return the full path of the program ``name``. Raises PrecheckError with ``why`` it is needed when it is not on the PATH."""
    found = shutil.which(name)
    if not found:
        raise PrecheckError(f"there is no {name} on this machine; {why}", hint=f"install the package {package or name}")
    return found


def run(  # noqa: PLR0913 - keywords, each with a default
    words: Sequence[str | Path],
    *,
    stdin: str | None = None,
    stdout: IO[bytes] | None = None,
    environ: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    timeout_s: float = 600,
    good: Sequence[int] = (0,),
    stop: Callable[[], bool] = _never,
) -> Finished:
    """Run a program to its end.

    ``stdout`` takes what it prints, as bytes, instead of the answer. ``environ`` is laid over ours. Raises CommandError when it
    exits otherwise than ``good`` or takes more than ``timeout_s`` seconds, and KeyboardInterrupt once ``stop`` is true; it is
    ended then.
    """
    line = _line(words)
    with subprocess.Popen(
        [str(word) for word in words],
        stdin=subprocess.DEVNULL if stdin is None else subprocess.PIPE,
        stdout=stdout or subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=dict(os.environ) | dict(environ or {}),
        cwd=cwd,
    ) as process:
        try:
            out, err = _talk(process, stdin, timeout_s, stop)
        except subprocess.TimeoutExpired:
            raise CommandError(f"`{line}` did not finish in {timeout_s:g} s and was ended") from None
        finally:
            _end(process)
    said = Finished(process.returncode, out.decode(errors="replace"), err.decode(errors="replace"))
    if said.exited not in good:
        raise CommandError(f"`{line}` exited {said.exited}{tail(said.stderr)}", exited=said.exited)
    return said


def tied_to_parent(words: Sequence[str | Path]) -> list[str | Path]:
    """Return a command line that runs ``words`` and is killed when this process ends, however it ends (Linux; unchanged elsewhere).

    For programs that run for long: they would go on when this process is killed.
    """
    if sys.platform != "linux":
        return [*words]
    found = shutil.which(str(words[0])) or words[0]
    return [sys.executable, "-I", "-S", "-c", LIFELINE, str(os.getpid()), found, *words[1:]]


def tail(text: str) -> str:
    """Return the last lines of ``text``, each indented and on a new line."""
    return indented(text.strip().splitlines()[-TAIL_LINES:])


def _line(words: Sequence[str | Path]) -> str:
    """Return the command as a person would type it, for messages."""
    if LIFELINE in words:
        words = words[list(words).index(LIFELINE) + 2 :]
    return " ".join([Path(words[0]).name, *map(str, words[1:])])


def _talk(process: subprocess.Popen[bytes], stdin: str | None, timeout_s: float, stop: Callable[[], bool]) -> tuple[bytes, bytes]:
    deadline = monotonic() + timeout_s
    given = None if stdin is None else stdin.encode()
    while True:
        try:
            out, err = process.communicate(given, timeout=min(POLL_S, max(deadline - monotonic(), 0.01)))
        except subprocess.TimeoutExpired:
            given = None  # communicate() keeps what it still has to send
            if stop():
                raise KeyboardInterrupt from None
            if monotonic() >= deadline:
                raise
        else:
            return out or b"", err or b""


def _end(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(5)
        except subprocess.TimeoutExpired:
            process.kill()


@contextmanager
def interruptible() -> Iterator[None]:
    """Make SIGINT, SIGTERM and SIGHUP raise KeyboardInterrupt once. Later ones are ignored, so that the cleanup is not interrupted."""

    def handle(number: int, frame: FrameType | None) -> None:
        for each in before:
            signal.signal(each, signal.SIG_IGN)
        raise KeyboardInterrupt

    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    for number in before:
        signal.signal(number, handle)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
