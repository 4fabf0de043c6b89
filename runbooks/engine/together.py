"""Several readings at the same time, where each of them asks one host after another or goes several rounds."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from runbooks.engine.steps import Run

AT_ONCE = 8  # each opens a session on the hosts that it asks; sshd allows ten by default, and `slots` waits where it allows fewer


def together(run: Run, **tasks: Callable[[], Any]) -> dict[str, Any]:
    """Call ``tasks``, which only read, at the same time; return their results by name when all have ended. Raises the first error of one."""
    with ThreadPoolExecutor(max_workers=AT_ONCE) as pool:
        try:
            futures = {name: pool.submit(task) for name, task in tasks.items()}
            return {name: future.result() for name, future in futures.items()}
        except KeyboardInterrupt:
            run.transport.abort()  # otherwise the pool would wait for its threads, and these for their hosts
            raise
