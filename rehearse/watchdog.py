"""Ends a twin when the process that made it is gone, however that ended: `python -m rehearse.watchdog LAB`.

Its standard input is a pipe that only the rehearsal holds. The kernel closes it with that process, also after SIGKILL.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from lab import saves
from lab.control import Lab, silent
from runbooks.errors import RunbookError

ROOT: Final = Path(__file__).resolve().parents[1]
ENDED: Final = b"ended\n"  # the rehearsal has removed its twin, or keeps it
ATTEMPTS: Final = 5


@contextmanager
def watched(lab: str) -> Iterator[Callable[[], None]]:
    """While the block runs, a process of its own stands ready to remove the lab: when the block ends, unless what is yielded was called.

    The block calls it when it has removed the lab itself. Where that failed, or a second Ctrl-C ended it, the other process does it.
    """
    process = subprocess.Popen(
        [sys.executable, "-m", "rehearse.watchdog", lab],
        stdin=subprocess.PIPE,
        bufsize=0,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        cwd=ROOT,
        start_new_session=True,
    )
    assert process.stdin  # noqa: S101 - for the type checker
    pipe = process.stdin

    def ended() -> None:
        with suppress(BrokenPipeError):  # somebody has killed it
            pipe.write(ENDED)

    try:
        yield ended
    finally:
        pipe.close()
        process.wait()


def main(lab: str) -> None:
    """Wait for the end of the rehearsal; remove the lab unless the rehearsal has said that this is done, and half a save of it."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    if os.read(0, 100) == ENDED:
        return
    for _ in range(ATTEMPTS):
        with suppress(RunbookError, OSError):  # a program of the rehearsal may still have been at work
            Lab(lab).down()
            break
        time.sleep(1)
    with suppress(RunbookError, OSError), saves.held(silent):
        saves.clear()


if __name__ == "__main__":
    main(sys.argv[1])
