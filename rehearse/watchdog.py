"""Ends a twin when the process that made it is gone, however that ended: `python -m rehearse.watchdog LAB`.

Its standard input is a pipe that only the rehearsal holds. The kernel closes it with that process, also after SIGKILL.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from lab.control import Lab

ROOT: Final = Path(__file__).resolve().parents[1]
ENDED: Final = b"ended\n"  # the rehearsal has removed its twin, or keeps it


@contextmanager
def watched(lab: str) -> Iterator[None]:
    """While the block runs, a process of its own stands ready to remove the lab."""
    process = subprocess.Popen(
        [sys.executable, "-m", "rehearse.watchdog", lab],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        cwd=ROOT,
        start_new_session=True,
    )
    assert process.stdin  # noqa: S101 - for the type checker
    try:
        yield
    finally:
        process.stdin.write(ENDED)
        process.stdin.close()
        process.wait()


def main(lab: str) -> None:
    """Wait for the end of the rehearsal; remove the lab unless the rehearsal has said that this is done."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    if os.read(0, 100) != ENDED:
        Lab(lab).down()


if __name__ == "__main__":
    main(sys.argv[1])
