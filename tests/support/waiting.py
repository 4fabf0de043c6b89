"""Waiting for what comes true by itself."""

from __future__ import annotations

import time
from collections.abc import Callable


def eventually(what: Callable[[], object], expected: object = True, seconds: float = 90) -> None:
    """Ask ``what`` until it gives ``expected``, for half of the time at most: what is waited for needs the machine itself."""
    deadline = time.monotonic() + seconds
    while True:
        began = time.monotonic()
        if (seen := what()) == expected:
            return
        now = time.monotonic()
        assert now < deadline, f"still {seen!r} instead of {expected!r}" if not isinstance(seen, str) else seen
        time.sleep(max(0.2, now - began))
