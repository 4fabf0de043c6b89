"""Which tests may run beside each other: those that share a lab stay together, in their order; all others go where there is room."""

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
    """Keep the tests of one lab on one worker; the two labs, and all that need none, run at the same time."""
    from xdist.scheduler import LoadScopeScheduling  # noqa: PLC0415 - only where tests run in parallel

    class ByLab(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            path = nodeid.partition("::")[0]
            return next((lab for lab in ("tests/lab/cluster", "tests/lab") if path.startswith(f"{lab}/")), path)

    return ByLab(config, log)
