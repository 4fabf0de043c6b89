"""Which tests may run beside each other: those that share a lab stay together, in their order; all others go where there is room.

There are two long rows of about the same length: a cluster, how it is built, changed, lost and recovered; and the lab itself with the
load balancers, followed by what only needs a cluster that is well, on another one. So two clusters are never built at the same time.
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

OTHER_CLUSTER = tuple(f"tests/lab/cluster/test_{what}" for what in ("etcd", "recover_doctor", "recover_whole", "save_", "verify"))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put what needs the other cluster behind everything else."""
    items.sort(key=lambda item: item.nodeid.startswith(OTHER_CLUSTER))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: Any, log: Any) -> LoadScopeScheduling:
    """Keep each row on one worker."""
    from xdist.scheduler import LoadScopeScheduling  # noqa: PLC0415 - only where tests run in parallel

    class Rows(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            path = nodeid.partition("::")[0]
            if not path.startswith("tests/lab/"):
                return path
            return "cluster" if path.startswith("tests/lab/cluster/") and not path.startswith(OTHER_CLUSTER) else "lab"

    return Rows(config, log)
