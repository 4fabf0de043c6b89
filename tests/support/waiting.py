"""Waiting for what comes true by itself."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

# The longest that a second of waiting may take, in seconds: on a machine of two cores with a load of 40, all that is waited for takes many times as long.
SLOWEST = 4.0


class Patience:
    """How long something is waited for: ``seconds`` on a machine that has nothing else to do, up to SLOWEST times as long on a busy one.

    How long something takes says something of the machine, not of the code: no test may depend on it. What comes true by itself in seconds
    on an idle machine is waited for, at last, in any case.
    """

    def __init__(self, seconds: float) -> None:
        self._left = seconds
        self._last = time.monotonic()

    def over(self) -> bool:
        """Count the time since the last call, and return whether there is none left."""
        now = time.monotonic()
        self._left -= (now - self._last) / slowness(os.getloadavg()[0], os.cpu_count() or 1)
        self._last = now
        return self._left < 0


def slowness(load: float, cores: int) -> float:
    """Return how many times as long as on an idle machine something may take, from 1 to SLOWEST.

    >>> slowness(1.0, 2), slowness(6.0, 2), slowness(80.0, 2)
    (1.0, 3.0, 4.0)
    """
    return min(max(load / cores, 1.0), SLOWEST)


def again(call: Callable[[], T], refused: Callable[[T], bool], seconds: float) -> T:
    """Return what ``call`` gives, called again every two seconds while that is ``refused``. ``seconds``: see `Patience`."""
    patience = Patience(seconds)
    while refused(found := call()) and not patience.over():
        time.sleep(2)
    return found


def eventually(what: Callable[[], object], expected: object = True, seconds: float = 90) -> None:
    """Ask ``what`` until it gives ``expected``, for half of the time at most: what is waited for needs the machine itself.

    ``seconds``: see `Patience`.
    """
    patience = Patience(seconds)
    while True:
        began = time.monotonic()
        if (seen := what()) == expected:
            return
        assert not patience.over(), f"still {seen!r} instead of {expected!r}" if not isinstance(seen, str) else seen
        time.sleep(max(0.2, time.monotonic() - began))
