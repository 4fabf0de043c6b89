"""Build what takes minutes and is kept in the cache: under the lock of the cache, with progress lines."""

from __future__ import annotations

import fcntl
import os
import select
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from runbooks.errors import CommandError

Say = Callable[[str], None]


@contextmanager
def locked(path: Path, what: str, say: Say) -> Iterator[int]:
    """Hold the lock ``path`` while ``what`` is built. Builders inherit it: it is held until the last one is gone, even a killed one's."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say(f"another lab is building {what}; waiting for it")
            fcntl.flock(file, fcntl.LOCK_EX)
        yield file.fileno()


def follow(argv: Sequence[str], log: Path, lock: int, say: Say, environment: Mapping[str, str]) -> None:
    """Run the builder ``argv`` and print its current step, each time with the seconds so far.

    Its lines that start with "I: " name its steps; everything it prints goes to the end of ``log``. CommandError shows the last lines.
    """
    started, doing = time.monotonic(), "starting"
    settings = {**os.environ, **environment, "LC_ALL": "C", "DEBIAN_FRONTEND": "noninteractive"}
    with (
        log.open("a") as kept,
        subprocess.Popen(
            argv,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=settings,
            pass_fds=[lock],
            cwd="/",
        ) as builder,
    ):
        for line in lines(builder, every_s=10):
            kept.write(line)
            fresh = line.startswith("I: ") and not line.startswith("I: running --")
            doing = line[3:].strip() if fresh else doing
            if fresh or not line:
                say(f"  {time.monotonic() - started:3.0f} s  {doing}")
    if builder.returncode:
        said = "\n".join(log.read_text(errors="replace").splitlines()[-12:])
        raise CommandError(
            f"{doing.rstrip('.')}: exited {builder.returncode}:\n{said}", exited=builder.returncode, hint=f"the whole log: {log}"
        )


def lines(builder: subprocess.Popen[bytes], every_s: float) -> Iterator[str]:
    """Yield what ``builder`` prints, line by line, and "" whenever it was silent for ``every_s`` seconds."""
    assert builder.stdout is not None  # noqa: S101 - it was opened with a pipe
    rest = b""
    while True:
        if not select.select([builder.stdout], [], [], every_s)[0]:
            yield ""
            continue
        chunk = os.read(builder.stdout.fileno(), 65536)
        if not chunk:
            return
        *whole, rest = (rest + chunk).split(b"\n")
        yield from (f"{line.decode(errors='replace')}\n" for line in whole)
