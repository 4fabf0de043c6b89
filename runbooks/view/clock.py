"""The hosts' clocks compared with the clock of this machine."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice
from time import time

from runbooks.commands import preflight
from runbooks.engine.steps import Run
from runbooks.errors import RunbookError
from runbooks.inventory.model import Host
from runbooks.rules.preflight_peers import Clock


def clocks(run: Run, hosts: Iterable[Host]) -> dict[Host, Clock]:
    """Return the clocks of the hosts that answer.

    At most ``ssh.parallel`` hosts at a time: time spent in a queue would widen the bounds. Call it last, when connections are open.
    """
    found: dict[Host, Clock] = {}
    left = iter(hosts)
    while some := list(islice(left, run.site.ssh.parallel)):
        sent = time()
        said = run.read_each(dict.fromkeys(some, preflight.now()), fresh=True)
        received = time()
        read = {host: each for host, each in said.items() if not isinstance(each, RunbookError)}
        found |= {host: Clock(each - received, each - sent) for host, each in read.items()}
    return found
