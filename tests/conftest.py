"""Which tests may run beside each other: those that share a lab stay together, in their order; all others go where there is room.

There are two long rows of them, about as long as each other: the cluster, from its beginning to its end without its recoveries; and
its recoveries, on a cluster of their own, with the lab's and the load balancers' tests after them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import settings

if TYPE_CHECKING:
    from xdist.scheduler import LoadScopeScheduling

# How long an example takes says something of the machine, not of the code.
settings.register_profile("ours", deadline=None)
settings.load_profile("ours")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: Any, log: Any) -> LoadScopeScheduling:
    """Keep the tests of one lab on one worker; the two rows, and all that need no lab, run at the same time."""
    from xdist.scheduler import LoadScopeScheduling  # noqa: PLC0415 - only where tests run in parallel

    class ByLab(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            path = nodeid.partition("::")[0]
            if not path.startswith("tests/lab/"):
                return path
            return "cluster" if path.startswith("tests/lab/cluster/") and "/test_recover_" not in path else "recoveries"

    return ByLab(config, log)
