"""Wait for an API server that has just been started."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final, TypeVar

from runbooks.text import printable

T = TypeVar("T")
WITHIN_S: Final = 120  # from the boot of a host until its API server answers: etcd and the API server start one after the other
POLL_S: Final = 2.0


def patiently(ask: Callable[[], T], missing: Callable[[T], str], who: str) -> T:
    """Return the first answer of ``ask`` in which nothing is ``missing``; after two minutes the last one.

    What is missing is printed each time that it changes. ``who``: the host that is waited for.
    """
    until, told = time.monotonic() + WITHIN_S, ""
    while True:
        said = ask()
        lacks = missing(said)
        if not lacks or time.monotonic() > until:
            return said
        if lacks != told:
            print(f"{who}: waiting up to {WITHIN_S} s: {printable(lacks)}", flush=True)
            told = lacks
        time.sleep(POLL_S)
