"""The hosts' clocks compared with the clock of this machine."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import islice
from time import time
from typing import Any, TypeVar

from runbooks.commands import preflight
from runbooks.commands.base import Probe, batch, optional
from runbooks.engine.steps import Run
from runbooks.errors import RunbookError
from runbooks.inventory.model import Host
from runbooks.rules.preflight_peers import Clock

T = TypeVar("T")


def clocks(run: Run, hosts: Iterable[Host]) -> dict[Host, Clock]:
    """Return the clocks of the hosts that answer.

    At most ``ssh.parallel`` hosts at a time: time spent in a queue would widen the bounds. Call it last, when connections are open.
    """
    return {host: found for host, (found, _) in _asked(run, hosts, preflight.now(), lambda said: (said, said, None)).items()}


def clocks_and(run: Run, hosts: Iterable[Host], probe: Probe[T]) -> dict[Host, tuple[Clock, T | None]]:
    """As `clocks`, with what ``probe`` reads in the same round trip; None where it fails.

    The host reads its clock before and after it, so that the bounds are no wider than without it.
    """
    both = batch(preflight.now(), optional(probe), preflight.now(), in_turn=True)
    return _asked(run, hosts, both, lambda said: (said[0], said[2], said[1]))


def _asked(
    run: Run, hosts: Iterable[Host], probe: Probe[Any], parts: Callable[[Any], tuple[float, float, Any]]
) -> dict[Host, tuple[Clock, Any]]:
    found: dict[Host, tuple[Clock, Any]] = {}
    left = iter(hosts)
    while some := list(islice(left, run.site.ssh.parallel)):
        sent = time()
        said = run.read_each(dict.fromkeys(some, probe), fresh=True)
        received = time()
        for host, each in said.items():
            if not isinstance(each, RunbookError):
                first, last, more = parts(each)
                found[host] = Clock(last - received, first - sent), more
    return found
