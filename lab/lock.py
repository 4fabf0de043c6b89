"""The lock of a lab: only one command at a time changes it."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from lab.names import RUN

if TYPE_CHECKING:
    from lab.names import Instance


@contextmanager
def exclusive(instance: Instance, say: Callable[[str], None]) -> Iterator[None]:
    """Hold the lock of the lab; wait while another process holds it. The kernel releases it when its holder dies."""
    while True:
        RUN.mkdir(mode=0o755, exist_ok=True)
        with instance.lock.open("w") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                say(f"another command is changing the lab {instance.name}; waiting for it")
                fcntl.flock(file, fcntl.LOCK_EX)
            # `lab.down` removes the file. A lock on a removed file excludes no other process, so start again.
            if not names(instance.lock, os.fstat(file.fileno())):
                continue
            yield
            return


def names(path: os.PathLike[str], held: os.stat_result) -> bool:
    """Return whether ``path`` is still the file that ``held`` describes."""
    try:
        return os.path.samestat(os.stat(path), held)  # noqa: PTH116 - os.path.samestat's own kind
    except FileNotFoundError:
        return False
